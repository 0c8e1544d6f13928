"""Tables of reference catalogues as files: each format yields its rows in blocks, whatever the size of the file."""

from __future__ import annotations

import gzip
from pathlib import Path

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.fits_table import FitsReader
from ztfdb.ingest.readers.hdf5 import Hdf5Reader
from ztfdb.ingest.readers.ipac import IpacReader, is_ipac
from ztfdb.ingest.readers.limits import HEAD, check_columns, check_content
from ztfdb.ingest.readers.parquet import ParquetReader
from ztfdb.ingest.readers.text import TextReader
from ztfdb.ingest.readers.votable import VotableReader
from ztfdb.surveys.blocks import BadRow, Block, TableReader
from ztfdb.texts import failure

__all__ = ["BadRow", "Block", "TableReader", "open_table"]


def open_table(path: str | Path) -> TableReader:
    """Open a table by what the file begins with, not by its name.

    Parameters
    ----------
    path : str or Path
        CSV (or separated by tabs, semicolons, bars), IPAC, FITS, VOTable, Parquet or HDF5; text, FITS and VOTable also
        compressed by gzip.

    Raises
    ------
    CatalogueFileError
        If it cannot be read, or is none of these.
    MissingExtraError
        If its format needs a package that is not installed.
    """
    path = Path(path)
    reader = _open(path)
    check_columns(path, len(reader.names))
    return reader


def _open(path: Path) -> TableReader:
    packed = False
    if "\0" in str(path):
        raise CatalogueFileError(path, "cannot be read: no file has such a name")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head[:2] == b"\x1f\x8b":
            packed = True
            with gzip.open(path) as file:
                head = file.read(HEAD)
    except (OSError, EOFError) as exc:
        raise CatalogueFileError(path, f"cannot be read: {failure(exc)}") from exc
    if head.startswith(b"SIMPLE  ="):
        check_content(path, packed=packed, mark=None)
        return FitsReader(path)
    if head.startswith(b"PAR1"):
        return ParquetReader(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return Hdf5Reader(path)
    if b"<VOTABLE" in head or head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml"):
        check_content(path, packed=packed, mark=b"<")
        return VotableReader(path)
    if not head.strip():
        raise CatalogueFileError(path, "is empty")
    if b"\0" in head:
        raise CatalogueFileError(path, "is no table that ztfdb reads: CSV, IPAC, FITS, VOTable, Parquet or HDF5")
    check_content(path, packed=packed, mark=b"\n")
    if is_ipac(head):
        return IpacReader(path)
    return TextReader(path)
