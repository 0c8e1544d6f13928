"""What a file may ask of us before its rows are read: bounded time and memory, whatever it claims to be."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from ztfdb.errors import CatalogueFileError

MAX_COLUMNS = 10_000
"""Most columns of a table; Gaia's have 150."""

MAX_RECORD = 16 * 1024 * 1024
"""Longest line of text, and longest text between two tags of XML, bytes."""

MAX_CELL = 1024 * 1024
"""Most values of one cell of a VOTable: a reader makes room for them in every row."""

MAX_STREAM = 256 * 1024 * 1024
"""Longest binary stream of a VOTable, which is held in memory, bytes."""

MAX_IN_MEMORY = 1024 * 1024 * 1024
"""Largest table of a kind that is read as a whole (ASCII and compressed FITS), bytes."""

MAX_WHOLE = 256 * 1024 * 1024
"""Largest table that is held in memory with all its columns, as one of positions, bytes: five million rows."""

FREE_UNPACKED = 256 * 1024 * 1024
MAX_RATIO = 100
"""A file that unpacks to more than `FREE_UNPACKED` bytes may not unpack to more than so many times its size: real
catalogues come to some 3 to 20."""

HEAD = 256 * 1024
"""Bytes at the beginning that tell the format; IRSA's tables begin with a comment on every column."""

PIECE = 1024 * 1024


def check_columns(path: Path, n: int) -> None:
    """Refuse a table of more columns than any catalogue has."""
    if n > MAX_COLUMNS:
        raise CatalogueFileError(path, f"has {n:,} columns; at most {MAX_COLUMNS:,} are read")


def check_cell(path: Path, arraysize: str) -> None:
    """Refuse a field of a VOTable whose cells would take more room than a record may."""
    n = math.prod(int(side[:20]) for side in re.findall(r"\d+", arraysize))
    if n > MAX_CELL:
        raise CatalogueFileError(path, f"has cells of arraysize {arraysize[:40]}; at most {MAX_CELL:,} values are read")


def check_content(path: Path, *, packed: bool, mark: bytes | None, most: int | None = None) -> None:
    """Pass over a file once, in little memory, and refuse what no reader could hold.

    Parameters
    ----------
    path : Path
    packed : bool
        It is a gzip stream.
    mark : bytes or None
        What ends a record: the end of a line, or ``<`` of XML; None for binary formats.
    most : int, optional
        Bytes to which it may unpack; `MAX_RATIO` times its size by default.

    Raises
    ------
    CatalogueFileError
        If it unpacks to far too much, has a line or field beyond `MAX_RECORD`, or XML with entities of its own.
    """
    if not packed and mark is None:
        return
    allowed = max(FREE_UNPACKED, MAX_RATIO * path.stat().st_size) if most is None else most
    total = run = 0
    limit, before = MAX_RECORD, b""
    try:
        with cast(BinaryIO, gzip.open(path)) if packed else path.open("rb") as file:
            while piece := file.read(PIECE):
                total += len(piece)
                if packed and total > allowed:
                    times = f", {MAX_RATIO} times its size" if most is None else ""
                    raise CatalogueFileError(path, f"unpacks to more than {allowed:,} bytes{times}")
                if mark is None:
                    continue
                if mark == b"<":
                    _check_entities(path, before + piece)
                run = _check_runs(path, piece, mark, run, limit)
                if mark == b"<" and mark in piece:
                    last = (before + piece).rfind(mark)
                    limit = MAX_STREAM if (before + piece)[last:].startswith(b"<STREAM") else MAX_RECORD
                before = piece[-16:]
    except (OSError, EOFError, zlib.error) as exc:
        raise CatalogueFileError(path, f"breaks off: {exc}") from exc


def _check_entities(path: Path, text: bytes) -> None:
    if b"<!ENTITY" in text:
        raise CatalogueFileError(path, "declares entities, which may unfold to anything: no VOTable needs them")


def _check_runs(path: Path, piece: bytes, mark: bytes, run: int, limit: int) -> int:
    """Return how long the record at the end of this piece is so far."""
    first = piece.find(mark)
    run += len(piece) if first < 0 else first
    if run > limit:
        raise CatalogueFileError(path, f"holds a line or field of more than {limit:,} bytes")
    return run if first < 0 else len(piece) - piece.rfind(mark) - 1
