"""SQLite files with some bytes of one page flipped, and what differs then, as plain sqlite3 sees it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import ztfdb
from tests.support.measured import make_measured
from ztfdb.errors import ZtfdbError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import store_image
from ztfdb.store.meta_rows import create_meta

N_FLIPPED = 16


def fill(url: str, n_image: int = 4, n_source: int = 1500) -> tuple[bytes, int]:
    """Store images in an archive and return its file's content and page size."""
    engine = make_engine(url)
    with writing(sessions(engine)) as session:
        create_meta(session, ExtractionSettings().to_dict())
        for rcid in range(n_image):
            measured = make_measured(f"/data/{rcid}_sciimg.fits", content=str(rcid), n_source=n_source, rcid=rcid)
            store_image(session, measured)
    engine.dispose()
    file = Path(url.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        (size,) = connection.execute("pragma page_size").fetchone()
    return file.read_bytes(), size


def damage(content: bytes, size: int, page: int) -> bytes:
    """Flip bytes in the middle of a page."""
    start = page * size + size // 2
    flipped = bytes(byte ^ 0x15 for byte in content[start : start + N_FLIPPED])
    return content[:start] + flipped + content[start + N_FLIPPED :]


def seen_by_sqlite(file: Path) -> tuple[bool, Any, Any]:
    """Return whether the structure is sound, the rows that have a checksum, and all others; None where unreadable."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.text_factory = bytes
        try:
            sound = connection.execute("pragma integrity_check").fetchall() == [(b"ok",)]
            names = [
                name.decode() for (name,) in connection.execute("select name from sqlite_schema where type='table'")
            ]
            rows = {name: connection.execute(f"select * from {name}").fetchall() for name in names}
        except sqlite3.Error:
            return False, None, None
    kept = {name: rows.pop(name) for name in ("source", "psf_source", "image", "image_header", "image_file")}
    return sound, kept, rows


def problems_of(file: Path) -> set[Any]:
    """Return what `verify --deep` says, an error as a problem."""
    try:
        with ztfdb.open(f"sqlite:///{file}", read_only=True) as archive:
            return set(archive.verify(deep=True).drop(columns="role").itertuples(index=False, name=None))
    except ZtfdbError as exc:
        return {str(exc)}


def check_pages(content: bytes, size: int, folder: Path, n_page: int) -> dict[str, int]:
    """Damage pages one by one; return how many were noticed, how many need not be, and how many other rows differ.

    What is noticed must be damage, and damage of the structure or of rows with a checksum must be noticed.
    """
    whole = folder / "whole.sqlite"
    whole.write_bytes(content)
    before, sound = seen_by_sqlite(whole), problems_of(whole)
    assert before[0]
    counts = {"noticed": 0, "same": 0, "other": 0}
    for k in range(n_page):
        page = 1 + k * (len(content) // size - 1) // n_page
        file = folder / f"page{page}.sqlite"
        file.write_bytes(damage(content, size, page))
        now, noticed = seen_by_sqlite(file), problems_of(file) != sound
        file.unlink()
        if not now[0] or now[1] != before[1]:
            assert noticed, page
        if now == before:
            assert not noticed, page
        counts["noticed" if noticed else "same" if now == before else "other"] += 1
    return counts
