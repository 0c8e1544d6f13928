"""Read columns from the pages of a small SQLite database, which is filled by INSERT … SELECT of a statement.

A driver makes a Python object of each value, which takes several times as long as reading it. Here SQLite copies the
rows to a table of their own, and numpy reads that table's pages by the documented file format. This is the reverse of
`ztfdb.store.backends.sqlite_feed`.

References
----------
https://www.sqlite.org/fileformat2.html: sections 1.6 (b-tree pages), 2.1 (record format).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Columns, Float64Array, Int64Array
from ztfdb.store.backends.sqlite_feed import MOST_COLUMNS, PAGE, Bytes

PAGES_AT_ONCE = 32
"""2 MB: all columns of these pages are read while they are in the processor's cache."""

_LEAF, _INTERIOR = 0x0D, 0x05
_HEADERS = {_LEAF: 8, _INTERIOR: 12}
_MORE = 0x80
"""Set in all bytes of a varint except the last."""

_NULL, _FLOAT, _ZERO, _ONE, _FIRST_TEXT = 0, 7, 8, 9, 12
_SIZES = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0, *((k - 12) // 2 for k in range(12, 128))], np.int64)
"""Size of a value, bytes, by its serial type, for types of one byte."""

_PADDING = 8


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table in its pages.

    Attributes
    ----------
    content : ndarray of uint8
        The pages, followed by some padding.
    types : ndarray of uint8, shape (n_row, n_column)
        Serial types of the values.
    body : ndarray of int64, shape (n_row,)
        Offset of the first value of each row.
    """

    content: Bytes
    types: Bytes
    body: Int64Array

    def __len__(self) -> int:
        return len(self.types)

    def values(self) -> Iterator[Values]:
        """Yield the columns one by one."""
        at = self.body
        for kinds in self.types.T:
            kinds = np.ascontiguousarray(kinds)
            yield Values(self.content, kinds, at)
            at = at + _SIZES[kinds]

    def after(self, n_float: int) -> Rows:
        """Return the rows without the first `n_float` columns."""
        sizes = _SIZES[self.types[:, :n_float]].sum(axis=1)
        return Rows(self.content, self.types[:, n_float:], self.body + sizes)

    def columns(self) -> list[Any]:
        """Return each column: floats, NaN where NULL; a pair of integers and their mask; or Python values."""
        return [one.column() for one in self.values()]

    def take(self, rows: Int64Array) -> Rows:
        """Return some of the rows."""
        return Rows(self.content, self.types[rows], self.body[rows])

    def eights(self, n_column: int) -> Float64Array:
        """Return the first columns, all 8 bytes wide, as big-endian floats, shape (n_row, n_column)."""
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
        Offsets of the values.
    """

    content: Bytes
    kinds: Bytes
    at: Int64Array

    def nulls(self) -> BoolArray:
        """Return which values are NULL."""
        return np.asarray(self.kinds == _NULL)

    def are_integers(self) -> bool:
        """Return whether all values are integers or NULL."""
        return bool(((self.kinds < _FLOAT) | (self.kinds == _ZERO) | (self.kinds == _ONE)).all())

    def are_floats(self) -> bool:
        """Return whether all values are floats or NULL."""
        return bool(((self.kinds == _FLOAT) | (self.kinds == _NULL)).all())

    def are_texts(self) -> bool:
        """Return whether all values are texts or NULL."""
        return bool((((self.kinds > _FIRST_TEXT) & (self.kinds & 1 == 1)) | (self.kinds == _NULL)).all())

    def integers(self) -> Int64Array:
        """Return the integers; arbitrary for other values."""
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
        """Return floats, NaN where NULL; a pair of integers and their mask; or Python values."""
        if self.are_integers():
            return self.integers(), self.nulls()
        if self.are_floats():
            return self.floats()
        return self.texts() if self.are_texts() else self.objects()

    def objects(self) -> list[Any]:
        """Return values of mixed types."""
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
        """Return the 8 bytes at each offset."""
        return np.ndarray((len(self.content) - _PADDING + 1,), dtype, self.content, 0, (1,))[self.at]


def drained(
    driver: sqlite3.Connection, drain: str, select: str, params: Mapping[str, Any], n_column: int
) -> tuple[int, Iterator[Rows | None]]:
    """Return the number of rows of a statement, and the rows in parts, in its order.

    A part is None if its rows cannot be read in this way.

    Parameters
    ----------
    driver : sqlite3.Connection
    drain : str
        Name of an attached database in memory, with pages of `PAGE` and incremental vacuum, used for this number of
        columns only. It is small again afterwards: `serialize` copies unused pages too.
    select : str
        A SELECT of `n_column` columns, up to `MOST_COLUMNS`.
    params : mapping
    n_column : int
    """
    driver.execute(f"create table if not exists {drain}.rows ({', '.join(f'c{k}' for k in range(n_column))})")
    n_row = driver.execute(f"insert into {drain}.rows {select}", params).rowcount
    ((root,),) = driver.execute(f"select rootpage from {drain}.sqlite_master")
    pages = np.frombuffer(driver.serialize(name=drain), np.uint8).reshape(-1, PAGE)
    driver.execute(f"delete from {drain}.rows")
    ((n_free,),) = driver.execute(f"pragma {drain}.freelist_count")
    for _ in range(n_free):
        driver.execute(f"pragma {drain}.incremental_vacuum")  # the driver takes one step: it removes one page
    return n_row, _parts(pages, root, n_column)


def _parts(pages: Bytes, root: int, n_column: int) -> Iterator[Rows | None]:
    numbers = list(leaves(lambda number: pages[number - 1], root))
    for first in range(0, len(numbers), PAGES_AT_ONCE):
        yield read_leaves([pages[number - 1] for number in numbers[first : first + PAGES_AT_ONCE]], n_column)


def numbers_of(n_row: int, parts: Iterable[Rows | None], dtypes: Mapping[str, Any]) -> Columns | None:
    """Return the columns of rows of numbers; None if a value does not have its column's kind, or does not fit.

    Parameters
    ----------
    n_row : int
        Number of rows in all parts.
    parts : iterable of Rows
        None is a part that could not be read.
    dtypes : mapping of str to dtype
        By column, floats first. NULL is NaN in floats, and of the wrong kind in integers.
    """
    kinds = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
    found: Columns = {name: np.empty(n_row, kind) for name, kind in kinds.items()}
    n_float = sum(kind.kind == "f" for kind in kinds.values())
    start = 0
    for part in parts:
        if part is None:
            return None
        columns = [column[start : start + len(part)] for column in found.values()]
        if not (_fill_floats(columns[:n_float], part) and _fill_integers(columns[n_float:], part.after(n_float))):
            return None
        start += len(part)
    assert start == n_row
    return found


def _fill_floats(columns: list[NDArray[Any]], rows: Rows) -> bool:
    """Fill the leading columns, all at once for rows without NULL."""
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
        Returns a page by its number, counted from 1.
    root : int
        Number of the table's root page, not 1.
    """
    page = page_of(root)
    if page[0] == _LEAF:
        yield root
        return
    for place in _places(page).tolist():
        yield from leaves(page_of, int.from_bytes(page[place : place + 4].tobytes(), "big"))
    yield from leaves(page_of, int.from_bytes(page[8:12].tobytes(), "big"))


def _places(page: Bytes) -> Int64Array:
    """Return the offsets of the cells of a page."""
    n_cell = int.from_bytes(page[3:5].tobytes(), "big")
    first = _HEADERS[int(page[0])]
    return page[first : first + 2 * n_cell].view(">u2").astype(np.int64)


def read_leaves(pages: list[Bytes], n_column: int) -> Rows | None:
    """Return the rows of leaf pages; None if a row or a text is too long for this way.

    Parameters
    ----------
    pages : list of ndarray of uint8
    n_column : int
        Up to `MOST_COLUMNS`.
    """
    content = np.concatenate([*pages, np.zeros(8 * MOST_COLUMNS, np.uint8)])
    where = [_places(page) + k * PAGE for k, page in enumerate(pages)]
    at = np.concatenate([*where, np.zeros(0, np.int64)])
    if (
        (content[at] >= _MORE) & (content[at + 1] >= _MORE)
    ).any():  # more than 2 bytes: it may continue on another page
        return None
    at = _after_varint(content, _after_varint(content, at))  # the payload's size and the rowid
    if (content[at] != n_column + 1).any():
        return None
    types = np.ndarray((len(content) - n_column + 1, n_column), np.uint8, content, 0, (1, 1))[at + 1]
    if (types >= _MORE).any():
        return None
    return Rows(content, types, at + n_column + 1)


def _after_varint(content: Bytes, at: Int64Array) -> Int64Array:
    """Return the offset behind the varint at each offset."""
    at = at.copy()
    going = content[at] >= _MORE
    while going.any():
        at += going
        going &= content[at] >= _MORE
    return at + 1
