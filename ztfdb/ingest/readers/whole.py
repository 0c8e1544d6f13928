"""Tables that are held in memory as a whole, as tables of positions are: the limits of catalogue files, and of size."""

from __future__ import annotations

import gzip
from pathlib import Path

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.fits_table import FitsReader
from ztfdb.ingest.readers.limits import HEAD, MAX_WHOLE, check_columns, check_content
from ztfdb.ingest.readers.parquet import ParquetReader
from ztfdb.ingest.readers.votable import VotableReader

_ZIP = b"PK\x03\x04"
_PACKED_OTHERWISE = (b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x1f\x9d")
"""What bzip2, xz, zstd and compress begin with: astropy would unpack them to any size."""


def check_whole(path: str | Path) -> None:
    """Refuse a table that would take far more time or memory than a table of positions does.

    Parameters
    ----------
    path : str or Path
        Text, IPAC, ECSV, VOTable, FITS or Parquet; text, VOTable and FITS also compressed by gzip.

    Raises
    ------
    CatalogueFileError
        If it or what it unpacks to is larger than `MAX_WHOLE`, it is compressed by anything but gzip, or it goes
        beyond a limit of catalogue files.
    """
    path = Path(path)
    if path.is_file():
        _check_size(path, path.stat().st_size)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        packed = head[:2] == b"\x1f\x8b"
        if packed:
            with gzip.open(path) as unpacked:
                head = unpacked.read(HEAD)
    except EOFError as exc:
        raise CatalogueFileError(path, f"breaks off: {exc}") from exc
    if head.startswith(_ZIP):
        raise CatalogueFileError(path, "is a spreadsheet or a zip archive: save it as CSV, or unpack it")
    if head.startswith(_PACKED_OTHERWISE):
        raise CatalogueFileError(path, "is compressed, and not by gzip: unpack it first")
    _check_kind(path, head, packed)


def _check_kind(path: Path, head: bytes, packed: bool) -> None:
    if head.startswith(b"SIMPLE  ="):
        check_content(path, packed=packed, mark=None, most=MAX_WHOLE)
        _check_size(path, FitsReader(path).n_byte)
    elif head.startswith(b"PAR1"):
        reader = ParquetReader(path)
        check_columns(path, len(reader.names))
        _check_size(path, reader.n_byte)
    elif b"<VOTABLE" in head or head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml"):
        check_content(path, packed=packed, mark=b"<", most=MAX_WHOLE)
        check_columns(path, len(VotableReader(path).names))
    elif b"\0" not in head:
        check_content(path, packed=packed, mark=b"\n", most=MAX_WHOLE)


def _check_size(path: Path, n_byte: int) -> None:
    if n_byte > MAX_WHOLE:
        raise CatalogueFileError(path, f"holds {n_byte:,} bytes; a table read as a whole may have {MAX_WHOLE:,}")
