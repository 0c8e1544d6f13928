"""IPAC tables, as IRSA hands them out: stretches of rows under the file's header, each read by astropy."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import ascii as tables
from astropy.table import Table

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.files import open_unpacked
from ztfdb.ingest.readers.limits import check_columns
from ztfdb.surveys.blocks import Block, Wanted, converted, sequence_rows

STRETCH = 2 * 1024 * 1024
"""Bytes of rows read at a time; astropy takes some ten times as much for them."""

_HEADER_LINES = 4
"""Names, types, units and what stands for NULL; a file may end after the second."""


def is_ipac(head: bytes) -> bool:
    """Tell whether a file begins as an IPAC table does: keywords after backslashes, then two lines between bars."""
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"\\")]
    return len(lines) > 1 and all(_in_header(line) for line in lines[:2])


class IpacReader:
    """An IPAC table; a block's lines are its rows, counted from 1."""

    format = "ipac"

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_unpacked(self._path) as file:
            self._header, self._offset = self._find_rows(file)
        empty = self._table([], 0)
        self.names: tuple[str, ...] = tuple(empty.colnames)
        self.units: Mapping[str, str] = {
            name: str(empty[name].unit) for name in self.names if empty[name].unit is not None
        }

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.surveys.blocks.TableReader`."""
        n_row = 0
        with open_unpacked(self._path) as file:
            file.seek(self._offset)
            while lines := self._lines(file):
                part = self._table(lines, n_row)
                if len(part):
                    yield converted(sequence_rows(n_row + 1, len(part)), _given(part, wanted), wanted)
                n_row += len(part)

    def _find_rows(self, file: BinaryIO) -> tuple[list[str], int]:
        """Return the lines between bars, and where the rows begin."""
        header: list[bytes] = []
        offset = 0
        for line in file:  # of a length that is bounded, as `check_content` has found
            if _in_header(line):
                header.append(line)
                check_columns(self._path, line.count(b"|") - 1)
            elif header and line.strip() and not line.startswith(b"\\"):
                break
            offset += len(line)
            if len(header) > _HEADER_LINES:
                raise CatalogueFileError(
                    self._path, f"is no IPAC table: its header has more than {_HEADER_LINES} lines"
                )
        return _decoded(header), offset

    def _lines(self, file: BinaryIO) -> list[str]:
        try:
            return _decoded(file.readlines(STRETCH))
        except (OSError, EOFError, zlib.error) as exc:
            raise CatalogueFileError(self._path, f"breaks off: {exc}") from exc

    def _table(self, lines: list[str], n_before: int) -> Table:
        """Read rows by the types that the header names."""
        reader = tables.get_reader(tables.Ipac)
        try:
            return reader.read([*self._header, *lines])
        except (ValueError, TypeError, IndexError) as exc:  # astropy's errors are ValueErrors
            after = f" after row {n_before:,}" if n_before else ""
            raise CatalogueFileError(self._path, f"is no IPAC table that can be read{after}: {exc}") from exc
        finally:
            reader.header.data = None  # else a cycle keeps the lines of many stretches until a garbage collection


def _in_header(line: bytes) -> bool:
    return line.startswith(b"|") and line.rstrip().endswith(b"|")


def _decoded(lines: list[bytes]) -> list[str]:
    return [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines]


def _given(part: Table, wanted: Wanted) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in wanted:
        missing = np.ma.getmaskarray(part[name])
        values = np.asarray(np.ma.getdata(part[name]))
        given[name] = (values.astype(object) if values.dtype.kind == "U" else values, missing)
    return given
