"""FITS tables, read row range by row range (a memory map would count as memory used)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray
from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.limits import MAX_IN_MEMORY, MAX_RECORD, check_columns
from ztfdb.surveys.blocks import ROWS, Block, Wanted, converted, sequence_rows


class FitsReader:
    """The first table of a FITS file."""

    format = "fits"

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a file that is cut off is found below, by its size
                self._find_table()
        except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as exc:
            raise CatalogueFileError(path, f"is no FITS table that can be read: {exc}") from exc
        self._check_size()

    @property
    def n_byte(self) -> int:
        """Bytes of its rows."""
        return int(self._n_row * self._dtype.itemsize)

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.surveys.blocks.TableReader`."""
        if not self._plain:
            yield from self._whole(wanted)
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            at_once = min(ROWS, max(1, MAX_RECORD // max(1, self._dtype.itemsize)))
            for start in range(0, self._n_row, at_once):
                n = min(at_once, self._n_row - start)
                rows = np.fromfile(file, self._dtype, n)
                given = {name: self._raw(name, rows[name]) for name in wanted}
                yield converted(sequence_rows(start + 1, n), given, wanted)

    def _find_table(self) -> None:
        with fits.open(self._path, memmap=False, lazy_load_hdus=True) as hdus:
            tables = fits.BinTableHDU | fits.TableHDU
            index = next((k for k, hdu in enumerate(hdus) if isinstance(hdu, tables)), None)
            if index is None:
                raise CatalogueFileError(self._path, "is FITS, but holds no table")
            self._index = index
            self._take(hdus[index])

    def _take(self, hdu: Any) -> None:
        self.names = tuple(hdu.columns.names)
        self.units: Mapping[str, str] = {c.name: str(c.unit) for c in hdu.columns if c.unit}
        self._n_row = int(hdu.header["NAXIS2"])
        self._dtype = np.dtype(hdu.columns.dtype).newbyteorder(">")
        self._facts = {c.name: (c.null, c.bscale, c.bzero) for c in hdu.columns}
        info = hdu.fileinfo()
        self._offset = int(info["datLoc"])
        with self._path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        self._plain = isinstance(hdu, fits.BinTableHDU) and not compressed
        if self._plain and self._dtype.itemsize != int(hdu.header["NAXIS1"]):
            raise CatalogueFileError(self._path, f"its columns do not fill its rows of {hdu.header['NAXIS1']} bytes")

    def _check_size(self) -> None:
        check_columns(self._path, len(self.names))
        if not self._plain and self.n_byte > MAX_IN_MEMORY:
            raise CatalogueFileError(
                self._path, f"{self.n_byte:,} bytes of ASCII or packed rows; at most {MAX_IN_MEMORY:,} are read"
            )
        wanted = self._offset + self.n_byte
        if self._plain and self._path.stat().st_size < wanted:
            raise CatalogueFileError(
                self._path, f"is cut off: {self._n_row} rows need {wanted} bytes, found {self._path.stat().st_size}"
            )

    def _raw(self, name: str, values: NDArray[Any]) -> tuple[NDArray[Any], BoolArray | None]:
        """Bring stored values to what they mean: TNULL, TSCAL and TZERO."""
        null, scale, zero = self._facts[name]
        native = values.astype(values.dtype.newbyteorder("="))
        missing = native == null if null not in (None, "") and native.dtype.kind in "iu" else None
        if native.dtype.kind in "iuf" and (scale not in (None, "", 1) or zero not in (None, "", 0)):
            if scale in (None, "", 1) and float(zero).is_integer():
                native = native.astype(np.int64) + np.int64(zero) if abs(zero) < 2**63 else _unsigned(native)
            else:
                native = native * float(scale or 1) + float(zero or 0)
        return native, missing

    def _whole(self, wanted: Wanted) -> Iterator[Block]:
        """Read a compressed or ASCII table: there is no way to its rows but through memory."""
        with fits.open(self._path, memmap=False) as hdus:
            data = hdus[self._index].data
            for start in range(0, len(data), ROWS):
                part = data[start : start + ROWS]
                given = {}
                for name in wanted:
                    values = np.asarray(part[name])
                    null = self._facts[name][0]
                    missing = values == null if null not in (None, "") and values.dtype.kind in "iu" else None
                    given[name] = (values.astype(values.dtype.newbyteorder("=")), missing)
                yield converted(sequence_rows(start + 1, len(part)), given, wanted)


def _unsigned(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Undo the TZERO = 2^63 by which FITS stores unsigned 64-bit integers."""
    return np.asarray(values.view(np.uint64) ^ np.uint64(2**63))
