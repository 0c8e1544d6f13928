"""A consistent copy of a SQLite archive, made while others read and write it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from sqlalchemy import URL

from ztfdb.arrays import Progress
from ztfdb.errors import StoreError
from ztfdb.store.address import mask_password
from ztfdb.store.engine import make_engine
from ztfdb.store.faults import driver_errors
from ztfdb.store.interrupt import signals_heard
from ztfdb.store.revision import VERSIONS
from ztfdb.texts import failure

PAGES_AT_ONCE = 4096
"""Pages (32 MB) copied between two progress reports."""


def backup(url: URL, file: str | Path, *, progress: Progress | None = None) -> Path:
    """Copy a SQLite archive by SQLite's own backup.

    One read transaction lasts from the first page to the last. So the copy is of one moment, blocks nobody, and never
    restarts because of a write. It is written next to `file`, checked, and then renamed to it.

    Parameters
    ----------
    url : URL
        Of the archive, which may be of any schema revision.
    file : str or Path
        Must not exist yet.
    progress : callable, optional
        Called with the number of pages done, and of all.

    Returns
    -------
    Path
        The copy, one file, an archive like the original.

    Raises
    ------
    StoreError
        If there is no archive, or it is in PostgreSQL (use pg_dump); if `file` exists already, or cannot be written; if
        the copy fails SQLite's check, which means that the original is damaged.
    """
    if url.get_backend_name() != "sqlite":
        raise StoreError(f"{mask_password(url)} is in PostgreSQL: back it up with pg_dump -Fc, or by base backups")
    target = Path(file).absolute()
    if not Path(url.database or "").is_file():
        raise StoreError(f"there is no archive at {mask_password(url)}")
    if os.path.lexists(target):
        raise StoreError(f"{target} is there already: a backup never overwrites")
    if not os.path.isdir(target.parent):  # noqa: PTH112 (where Path raises, writing says why)
        raise StoreError(f"{target.parent} is not a folder: a backup needs an existing one")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.touch(mode=0o644)
        _copy(url, part, progress)
        try:
            os.link(part, target)  # where two make the same backup, one is refused
        except FileExistsError as exc:
            raise StoreError(f"{target} is there already: a backup never overwrites") from exc
        except OSError:  # a file system without links
            part.rename(target)
    except OSError as exc:
        raise StoreError(f"{target} cannot be written: {failure(exc)}") from exc
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):  # it could not be written, and that is the error
                part.with_name(part.name + suffix).unlink(missing_ok=True)
    return target


def _copy(url: URL, part: Path, progress: Progress | None) -> None:
    engine = make_engine(url, read_only=True)
    try:
        with engine.begin() as connection, driver_errors(), contextlib.closing(sqlite3.connect(part)) as copy:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            # also starts the transaction's snapshot
            if source.execute("select count(*) from sqlite_master where name = ?", (VERSIONS,)).fetchone() == (0,):
                raise StoreError(f"{mask_password(url)} holds no archive")

            def follow(status: int, remaining: int, total: int) -> None:
                if progress is not None:
                    progress(total - remaining, total)

            try:
                source.backup(copy, pages=PAGES_AT_ONCE, progress=follow, sleep=0.0)
            except sqlite3.OperationalError as exc:
                if "full" in str(exc):  # nothing but the copy is written
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from exc
                raise
            with signals_heard(copy):
                problem = copy.execute("pragma quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreError(f"{mask_password(url)} is damaged, and so is its copy, which is removed: {problem}")
    finally:
        engine.dispose()
