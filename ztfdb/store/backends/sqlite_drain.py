"""Columns out of the pages of a small SQLite database, into which a statement's rows went by INSERT … SELECT.

A driver makes a Python object of each value, which takes several times as long as reading it. Here SQLite copies the
rows into a table of their own, and numpy reads that table's pages by the documented file format: the way of
`ztfdb.store.backends.sqlite_feed`, backwards.

References
----------
https://www.sqlite.org/fileformat2.html: sections 1.6 (b-tree pages), 2.1 (record format).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Columns, Float64Array, Int64Array
from ztfdb.store.backends.sqlite_feed import MOST_COLUMNS, PAGE, Bytes

PAGES_AT_ONCE = 32
"""2 MB: what is read of a row is still in the processor's cache when its next column is."""

_LEAF, _INTERIOR = 0x0D, 0x05
_HEADERS = {_LEAF: 8, _INTERIOR: 12}
_MORE = 0x80
"""Set in all bytes of a varint but its last."""

_NULL, _FLOAT, _ZERO, _ONE, _FIRST_TEXT = 0, 7, 8, 9, 12
_SIZES = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0, *((k - 12) // 2 for k in range(12, 128))], np.int64)
"""Bytes of a value by its serial type, as far as that takes one byte."""

_PADDING = 8


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table as they lie in its pages.

    Attributes
    ----------
    content : ndarray of uint8
        The pages, with some bytes behind them.
    types : ndarray of uint8, shape (n_row, n_column)
        Serial types of the values.
    body : ndarray of int64, shape (n_row,)
        Where the first value of each row begins.
    """

    content: Bytes
    types: Bytes
    body: Int64Array

    def __len__(self) -> int:
        return len(self.types)

    def values(self) -> Iterator[Values]:
        """Yield the columns, one after the other."""
        at = self.body
        for kinds in self.types.T:
            kinds = np.ascontiguousarray(kinds)
            yield Values(self.content, kinds, at)
            at = at + _SIZES[kinds]

    def after(self, n_float: int) -> Rows:
        """Return the rows without the first columns."""
        sizes = _SIZES[self.types[:, :n_float]].sum(axis=1)
        return Rows(self.content, self.types[:, n_float:], self.body + sizes)

    def columns(self) -> list[Any]:
        """Return each column: floats, NaN where NULL; a pair of integers and where they are NULL; or Python values."""
        return [one.column() for one in self.values()]

    def take(self, rows: Int64Array) -> Rows:
        """Return some of the rows."""
        return Rows(self.content, self.types[rows], self.body[rows])

    def eights(self, n_column: int) -> Float64Array:
        """Return the first columns, all of which take eight bytes, as big-endian floats, shape (n_row, n_column)."""
        shape = len(self.content) - 8 * n_column + 1, n_column
        return np.ndarray(shape, ">f8", self.content, 0, (1, 8))[self.body]


@dataclass(frozen=True, eq=False)
class Values:
    """One column of rows.

    Attributes
    ----------
    content : ndarray of uint8
    kinds : ndarray of uint8, shape (n_row,)
        Serial types.
    at : ndarray of int64, shape (n_row,)
        Where the values begin.
    """

    content: Bytes
    kinds: Bytes
    at: Int64Array

    def nulls(self) -> BoolArray:
        """Tell which values are NULL."""
        return np.asarray(self.kinds == _NULL)

    def are_integers(self) -> bool:
        """Whether there are integers and NULL alone."""
        return bool(((self.kinds < _FLOAT) | (self.kinds == _ZERO) | (self.kinds == _ONE)).all())

    def are_floats(self) -> bool:
        """Whether there are floats and NULL alone."""
        return bool(((self.kinds == _FLOAT) | (self.kinds == _NULL)).all())

    def are_texts(self) -> bool:
        """Whether there are texts and NULL alone."""
        return bool((((self.kinds > _FIRST_TEXT) & (self.kinds & 1 == 1)) | (self.kinds == _NULL)).all())

    def integers(self) -> Int64Array:
        """Return the integers; anything where a value is none."""
        bits = 64 - 8 * _SIZES[self.kinds]
        found = self._eight_bytes(">i8").astype(np.int64) >> np.minimum(bits, 63)
        constant = (self.kinds == _ZERO) | (self.kinds == _ONE)
        return np.where(constant, self.kinds == _ONE, found) if constant.any() else found

    def floats(self) -> Float64Array:
        """Return the floats, NaN where NULL."""
        found = self._eight_bytes(">f8").astype(np.float64)
        missing = self.nulls()
        if missing.any():
            found[missing] = np.nan
        return found

    def column(self) -> Any:
        """Return floats, NaN where NULL; a pair of integers and where they are NULL; or Python values."""
        if self.are_integers():
            return self.integers(), self.nulls()
        if self.are_floats():
            return self.floats()
        return self.texts() if self.are_texts() else self.objects()

    def objects(self) -> list[Any]:
        """Return values of any types."""
        found: list[Any] = [None] * len(self.kinds)
        integers, floats = self.integers().tolist(), self._eight_bytes(">f8").tolist()
        for row, (kind, start) in enumerate(zip(self.kinds.tolist(), self.at.tolist(), strict=True)):
            if kind >= _FIRST_TEXT:
                content = self.content[start : start + int(_SIZES[kind])].tobytes()
                found[row] = content.decode() if kind % 2 else content
            elif kind != _NULL:
                found[row] = floats[row] if kind == _FLOAT else integers[row]
        return found

    def texts(self) -> list[str | None]:
        """Return the texts, None where NULL."""
        content, sizes = self.content.tobytes(), _SIZES[self.kinds].tolist()
        places = zip(self.at.tolist(), sizes, strict=True)
        found: list[str | None] = [content[start : start + size].decode() for start, size in places]
        for row in np.flatnonzero(self.nulls()).tolist():
            found[row] = None
        return found

    def _eight_bytes(self, dtype: str) -> NDArray[Any]:
        """Return eight bytes from each place on."""
        return np.ndarray((len(self.content) - _PADDING + 1,), dtype, self.content, 0, (1,))[self.at]


def drained(
    driver: sqlite3.Connection, drain: str, select: str, params: Mapping[str, Any], n_column: int
) -> list[Rows] | None:
    """Return the rows of a statement, in its order; None where one of them is not for this way.

    Parameters
    ----------
    driver : sqlite3.Connection
    drain : str
        Name of an attached database in memory, of pages of `PAGE`, that is used with this number of columns alone.
    select : str
        A SELECT of `n_column` columns, up to `MOST_COLUMNS`.
    params : mapping
    n_column : int
    """
    driver.execute(f"create table if not exists {drain}.rows ({', '.join(f'c{k}' for k in range(n_column))})")
    driver.execute(f"insert into {drain}.rows {select}", params)
    ((root,),) = driver.execute(f"select rootpage from {drain}.sqlite_master")
    pages = np.frombuffer(driver.serialize(name=drain), np.uint8).reshape(-1, PAGE)
    driver.execute(f"delete from {drain}.rows")
    numbers = list(leaves(lambda number: pages[number - 1], root))
    found = []
    for first in range(0, len(numbers), PAGES_AT_ONCE):
        rows = read_leaves([pages[number - 1] for number in numbers[first : first + PAGES_AT_ONCE]], n_column)
        if rows is None:
            return None
        found.append(rows)
    return found


def numbers_of(parts: list[Rows], dtypes: Mapping[str, Any]) -> Columns | None:
    """Return the columns of rows of numbers; None where a value is not of its column's kind, or does not fit it.

    Parameters
    ----------
    parts : list of Rows
    dtypes : mapping of str to dtype
        By column, those of floats first. NULL is NaN among floats, and of the wrong kind among integers.
    """
    kinds = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
    found: Columns = {name: np.empty(sum(map(len, parts)), kind) for name, kind in kinds.items()}
    n_float = sum(kind.kind == "f" for kind in kinds.values())
    start = 0
    for part in parts:
        columns = [column[start : start + len(part)] for column in found.values()]
        if not (_fill_floats(columns[:n_float], part) and _fill_integers(columns[n_float:], part.after(n_float))):
            return None
        start += len(part)
    return found


def _fill_floats(columns: list[NDArray[Any]], rows: Rows) -> bool:
    """Fill the leading columns, all of them at once where no value of a row is NULL."""
    if not columns:
        return True
    whole = np.asarray((rows.types[:, : len(columns)] == _FLOAT).all(axis=1))
    plain = np.flatnonzero(whole)
    values = (rows if len(plain) == len(rows) else rows.take(plain)).eights(len(columns))
    if len(plain) == len(rows):
        for column, some in zip(columns, values.T, strict=True):
            column[:] = some
        return True
    other = np.flatnonzero(~whole)
    for column, some, own in zip(columns, values.T, rows.take(other).values(), strict=False):
        column[plain] = some
        if own.are_floats():
            column[other] = own.floats()
        elif own.are_integers():
            column[other] = np.where(own.nulls(), np.nan, own.integers())
        else:
            return False
    return True


def _fill_integers(columns: list[NDArray[Any]], rows: Rows) -> bool:
    for column, own in zip(columns, rows.values(), strict=True):
        if column.dtype.kind != "i" or not own.are_integers() or own.nulls().any():
            return False
        values = own.integers()
        column[:] = values
        if column.itemsize < values.itemsize and not np.array_equal(column, values):
            return False
    return True


def leaves(page_of: Callable[[int], Bytes], root: int) -> Iterator[int]:
    """Yield the numbers of a table's leaf pages, in the order of its rows.

    Parameters
    ----------
    page_of : callable
        Returns the page of a number, counted from 1.
    root : int
        Number of the table's first page, which is not the database's.
    """
    page = page_of(root)
    if page[0] == _LEAF:
        yield root
        return
    for place in _places(page).tolist():
        yield from leaves(page_of, int.from_bytes(page[place : place + 4].tobytes(), "big"))
    yield from leaves(page_of, int.from_bytes(page[8:12].tobytes(), "big"))


def _places(page: Bytes) -> Int64Array:
    """Return where the cells of a page begin."""
    n_cell = int.from_bytes(page[3:5].tobytes(), "big")
    first = _HEADERS[int(page[0])]
    return page[first : first + 2 * n_cell].view(">u2").astype(np.int64)


def read_leaves(pages: list[Bytes], n_column: int) -> Rows | None:
    """Return the rows of leaf pages; None where one of them is too long, or has a long text, for this way.

    Parameters
    ----------
    pages : list of ndarray of uint8
    n_column : int
        Up to `MOST_COLUMNS`.
    """
    content = np.concatenate([*pages, np.zeros(8 * MOST_COLUMNS, np.uint8)])
    where = [_places(page) + k * PAGE for k, page in enumerate(pages)]
    at = np.concatenate([*where, np.zeros(0, np.int64)])
    if ((content[at] >= _MORE) & (content[at + 1] >= _MORE)).any():  # more than two bytes: it may go on on another page
        return None
    at = _after_varint(content, _after_varint(content, at))  # the payload's size and the rowid
    if (content[at] != n_column + 1).any():
        return None
    types = np.ndarray((len(content) - n_column + 1, n_column), np.uint8, content, 0, (1, 1))[at + 1]
    if (types >= _MORE).any():
        return None
    return Rows(content, types, at + n_column + 1)


def _after_varint(content: Bytes, at: Int64Array) -> Int64Array:
    """Return the places behind a varint at each place."""
    at = at.copy()
    going = content[at] >= _MORE
    while going.any():
        at += going
        going &= content[at] >= _MORE
    return at + 1


def joined(parts: list[Any]) -> Any:
    """Put a column of several pieces together: floats, integers and where they are NULL, or Python values.

    Parameters
    ----------
    parts : list
        What `Rows.columns` returns of a column.
    """
    if all(isinstance(one, tuple) for one in parts):
        values, missing = zip(*parts, strict=True)
        return np.concatenate(values), np.concatenate(missing)
    if any(isinstance(one, list) for one in parts):
        return [value for one in parts for value in python_list(one)]
    return np.concatenate([np.where(one[1], np.nan, one[0]) if isinstance(one, tuple) else one for one in parts])


def python_list(column: Any) -> list[Any]:
    """Return such a column as Python values, None where NULL."""
    if isinstance(column, list):
        return column
    values, missing = column if isinstance(column, tuple) else (column, np.isnan(column))
    found: list[Any] = values.tolist()
    for row in np.flatnonzero(missing).tolist():
        found[row] = None
    return found
