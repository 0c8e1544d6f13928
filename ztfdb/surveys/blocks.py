"""Shared by the readers of all formats: blocks of rows, and unreadable rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Columns, IntArray

ROWS = 50_000
"""Rows of a block, if the format allows a choice: a few MB."""

Wanted = Mapping[str, str]
"""Columns to read with their kinds, by name in the file: ``i`` integer, ``f`` number, ``O`` anything."""


@dataclass(frozen=True)
class BadRow:
    """A row that was skipped.

    Attributes
    ----------
    line : int
        Line of a text file or VOTable, else row; from 1.
    reason : str
    """

    line: int
    reason: str


@dataclass
class Block:
    """Some consecutive rows of a file.

    Attributes
    ----------
    line : ndarray of int64, shape (n_row,)
        Line (or row) of each row in the file, from 1.
    columns : dict of ndarray, each of shape (n_row,)
        By the names in the file: int64 for kind ``i``, float64 with NaN for kind ``f``, objects for ``O``.
    missing : dict of ndarray of bool
        Rows without a value, for columns of kind ``i`` that have any.
    bad : list of BadRow
        Unreadable rows of this part of the file; they are not in the columns.
    """

    line: IntArray
    columns: Columns
    missing: dict[str, BoolArray] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.line)


class TableReader(Protocol):
    """One open table.

    Attributes
    ----------
    format : str
        ``csv``, ``fits``, ``votable``, ``parquet`` or ``hdf5``.
    names : tuple of str
        Names of its columns.
    units : mapping of str
        Units by name, of columns for which the file has one.
    """

    format: str
    names: tuple[str, ...]
    units: Mapping[str, str]

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield blocks of the requested columns."""


def integers(values: NDArray[Any], missing: BoolArray | None = None) -> tuple[NDArray[np.int64], BoolArray]:
    """Return numbers as 64-bit integers, and which of them are missing or not integers.

    Parameters
    ----------
    values : ndarray
        Integers of any width, or floats; floats that are not whole, or beyond 2^53 (which have lost digits), count as
        missing.
    missing : ndarray of bool, optional
        Rows without a value.
    """
    none = np.zeros(len(values), bool) if missing is None else missing.copy()
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            none |= ~(np.abs(values) <= 2.0**53) | (values != np.round(values))
    elif values.dtype.kind == "u":
        none |= values > np.uint64(2**63 - 1)
    elif values.dtype.kind not in "ib":
        return _parsed_integers(values, none)
    return np.where(none, 0, values).astype(np.int64), none


def numbers(values: NDArray[Any], missing: BoolArray | None = None) -> NDArray[np.float64]:
    """Return numbers as doubles, NaN if missing."""
    if values.dtype.kind in "OSU":
        found = np.array([_number(value) for value in values.tolist()], dtype=np.float64)
    else:
        found = values.astype(np.float64)
    if missing is not None and missing.any():
        found = np.where(missing, np.nan, found)
    return found


def converted(line: IntArray, given: Mapping[str, tuple[NDArray[Any], BoolArray | None]], wanted: Wanted) -> Block:
    """Make a block from the columns of a binary format.

    Parameters
    ----------
    line : ndarray of int64
    given : mapping of str to (values, missing)
    wanted : mapping of str to str
    """
    block = Block(line, {})
    for name, kind in wanted.items():
        values, missing = given[name]
        if kind == "i":
            block.columns[name], none = integers(values, missing)
            if none.any():
                block.missing[name] = none
        elif kind == "f":
            block.columns[name] = numbers(values, missing)
        else:
            block.columns[name] = _objects(values, missing)
    return block


def _objects(values: NDArray[Any], missing: BoolArray | None) -> NDArray[Any]:
    found = np.empty(len(values), dtype=object)
    found[:] = [v.decode("utf-8", "replace").strip() if isinstance(v, bytes) else v for v in values.tolist()]
    if missing is not None:
        found[missing] = None
    return found


def _parsed_integers(values: NDArray[Any], none: BoolArray) -> tuple[NDArray[np.int64], BoolArray]:
    """Parse integers from text, because some services return 64-bit ids as strings."""
    found = np.zeros(len(values), np.int64)
    for row, value in enumerate(values.tolist()):
        try:
            found[row] = int(value)
        except (TypeError, ValueError, OverflowError):
            none[row] = True
    return found, none


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def sequence_rows(first: int, n: int) -> IntArray:
    """Return the row numbers of a block that starts at row `first` (from 1)."""
    return np.arange(first, first + n, dtype=np.int64)
