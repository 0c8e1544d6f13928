"""FITS binary tables, written in batches of rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from ztfdb.adql.tables import Column
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.params import shown

FITS_BLOCK = 2880
"""Bytes that the size of a part of a FITS file is a multiple of."""

MOST_FITS_COLUMNS = 999
"""Maximum of TFIELDS (FITS standard 4.0, section 7.3.1)."""

MOST_FITS_NAME = 68
"""Characters of a text that fits into one card of a header, with quotes doubled (section 4.2.1)."""


class FitsWriter:
    """A FITS binary table; a missing integer is the smallest of its type, declared by TNULL.

    Its header has the number of rows and the widths of texts, so that the rows wait in a temporary file.

    Raises
    ------
    ServiceError
        If FITS has no place for these columns.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        from ztfdb.store.spool import Spool  # a service starts without

        names = [column.name for column in columns]
        _check_fits_names(names)
        self._columns = columns
        self._kinds = [_FITS_KINDS.get(column.datatype, _FITS_TEXT) for column in columns]
        self._width = [1] * len(columns)
        self._spool = Spool(names)

    def head(self) -> bytes:
        """Return nothing."""
        return b""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Keep some rows."""
        if rows:
            made = [kind.array(values) for kind, values in zip(self._kinds, zip(*rows, strict=True), strict=True)]
            self._width = [max(width, one.dtype.itemsize) for width, one in zip(self._width, made, strict=True)]
            self._spool.add(made)
        return b""

    def tail(self, overflow: bool = False, error: str | None = None) -> Iterator[bytes]:
        """Yield the file."""
        import numpy as np

        with closing(self._spool) as spool:
            if error is not None:
                raise ServiceError(error)
            widths = zip(self._kinds, self._width, strict=True)
            types = [kind.dtype if kind.dtype != "S" else f"S{width}" for kind, width in widths]
            record = np.dtype([(f"f{at}", one) for at, one in enumerate(types)])
            yield self._header(spool.n_row, record.itemsize, overflow)
            for columns in spool:
                made = np.empty(len(columns[0]), record)
                for at, values in enumerate(columns):
                    made[f"f{at}"] = values
                yield made.tobytes()
            yield bytes(-spool.n_row * record.itemsize % FITS_BLOCK)

    def _header(self, n_row: int, row_bytes: int, overflow: bool) -> bytes:
        """Return the headers of the file."""
        from astropy.io import fits

        header = fits.Header(
            [
                ("XTENSION", "BINTABLE", "binary table extension"),
                ("BITPIX", 8),
                ("NAXIS", 2),
                ("NAXIS1", row_bytes, "bytes of a row"),
                ("NAXIS2", n_row, "number of rows"),
                ("PCOUNT", 0),
                ("GCOUNT", 1),
                ("TFIELDS", len(self._columns), "number of columns"),
            ]
        )
        columns = zip(self._columns, self._kinds, self._width, strict=True)
        for number, (column, kind, width) in enumerate(columns, 1):
            header[f"TTYPE{number}"] = column.name
            header[f"TFORM{number}"] = f"{width}A" if kind.dtype == "S" else kind.letter
            if column.unit:
                header[f"TUNIT{number}"] = column.unit
            if isinstance(kind.missing, int):
                header[f"TNULL{number}"] = kind.missing
            if column.ucd:
                header[f"TUCD{number}"] = column.ucd
        header["OVERFLOW"] = (overflow, "the rows were truncated at the limit")
        texts: list[str] = [fits.PrimaryHDU().header.tostring(), header.tostring()]
        return "".join(texts).encode("ascii")


def _check_fits_names(names: Sequence[str]) -> None:
    if len(names) > MOST_FITS_COLUMNS:
        raise ServiceError(f"the answer has {len(names)} columns, a FITS table has at most {MOST_FITS_COLUMNS}")
    for name, n in Counter(map(str.lower, names)).items():
        if n > 1:
            raise ServiceError(f"{n} columns have the name {shown(name)}, FITS needs one for each: use AS")
        if not (name.isascii() and name.isprintable()) or len(name.replace("'", "''")) > MOST_FITS_NAME:
            most = f"at most {MOST_FITS_NAME} ASCII characters"
            raise ServiceError(f"the column {shown(name)} has no name for FITS, expected {most}: use AS")


class _FitsKind(NamedTuple):
    """How FITS and numpy call a type, and the value that stands for NULL."""

    letter: str
    dtype: str
    missing: float | str

    def array(self, values: Sequence[Any]) -> Any:
        """Return values as an array."""
        import numpy as np

        if self.dtype == "S":
            return np.array(["" if v is None else str(v).encode("ascii", "replace") for v in values], "S")
        return np.array([self.missing if v is None else v for v in values], self.dtype)


_FITS_TEXT = _FitsKind("A", "S", "")
_FITS_KINDS = {
    "short": _FitsKind("I", ">i2", -(1 << 15)),
    "int": _FitsKind("J", ">i4", -(1 << 31)),
    "long": _FitsKind("K", ">i8", -(1 << 63)),
    "float": _FitsKind("E", ">f4", math.nan),
    "double": _FitsKind("D", ">f8", math.nan),
}
