"""Write columns as the bytes of a small SQLite database, whose table is copied to another by INSERT … SELECT.

A driver binds values one by one, which takes more time than storing them. Here numpy lays out whole pages of rows of
one length in SQLite's documented file format, and SQLite reads them itself: it checks, converts and indexes the rows
like any others.

References
----------
https://www.sqlite.org/fileformat2.html: sections 1.3 (database header), 1.6 (b-tree pages), 2.1 (record format).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ztfdb.store.columns import SqlColumn

LEAST_ROWS = 1_000
"""Fewer rows are not worth it; rows on a single page would also lack a root page."""

MOST_BYTES = 1 << 26
MOST_COLUMNS = 120
"""The size of a row's header must fit one byte."""

PAGE = 65_536
_LEAF, _INTERIOR = 0x0D, 0x05
_LEAF_HEADER, _INTERIOR_HEADER = 8, 12
_INTEGER, _FLOAT = 6, 7
"""Serial types of 8 bytes; a NaN is read as NULL."""

_FIRST_ROWID, _ROWID_BYTES = 1 << 21, 4
"""All rowids from here on have the same size in bytes."""

Bytes = NDArray[np.uint8]


def is_fed(columns: Sequence[SqlColumn]) -> bool:
    """Return whether `feed` applies: enough rows to be worth it, and not too many to be held at once."""
    n_row, n_column = len(columns[0].values), len(columns)
    enough = n_row >= LEAST_ROWS and n_row > _rows_per_page(n_column)
    return enough and n_column <= MOST_COLUMNS and n_row * _payload(n_column) <= MOST_BYTES


def feed(columns: Sequence[SqlColumn]) -> Bytes:
    """Return a database with a table ``feed`` of the columns, ``c0`` to ``cN``, with the rows in order.

    Parameters
    ----------
    columns : sequence of SqlColumn
        `is_fed` must be true.
    """
    n_row, n_column = len(columns[0].values), len(columns)
    cell = _cell_dtype(columns)
    per_page = _rows_per_page(n_column)
    n_leaf = -(-n_row // per_page)
    pages = np.zeros((2 + n_leaf, PAGE), np.uint8)
    pages[0] = np.frombuffer(_first_page(n_column), np.uint8)
    _put(pages[0], 28, len(pages), ">u4")
    rowid = _varint(_FIRST_ROWID + np.arange(n_leaf * per_page), _ROWID_BYTES).reshape(n_leaf, per_page, _ROWID_BYTES)
    _fill_root(pages[1], rowid[:-1, -1])
    _fill_leaves(pages[2:], columns, cell, rowid)
    return pages


def _fill_root(page: Bytes, last_rowid: Bytes) -> None:
    """Point to the leaves, pages 3, 4, …; `last_rowid` has those of all leaves except the last."""
    n_cell = len(last_rowid)
    cells = np.zeros(n_cell, [("page", ">u4"), ("rowid", "u1", _ROWID_BYTES)])
    cells["page"], cells["rowid"] = 3 + np.arange(n_cell), last_rowid
    _put_header(page, _INTERIOR, n_cell, _INTERIOR_HEADER, cells.itemsize)
    _put(page, 8, 3 + n_cell, ">u4")
    page[PAGE - cells.nbytes :] = cells.view(np.uint8)


def _fill_leaves(leaves: Bytes, columns: Sequence[SqlColumn], cell: np.dtype[np.void], rowid: Bytes) -> None:
    """Write the rows at the end of each page; those of the last page end with it."""
    n_leaf, per_page = rowid.shape[:2]
    n_before = (n_leaf - 1) * per_page
    n_last = len(columns[0].values) - n_before
    skipped = per_page - n_last
    _put_header(leaves[0], _LEAF, per_page, _LEAF_HEADER, cell.itemsize)
    n_head = _LEAF_HEADER + 2 * per_page
    leaves[1:-1, :n_head] = leaves[0, :n_head]
    _put_header(leaves[-1], _LEAF, n_last, _LEAF_HEADER, cell.itemsize)
    strides = (PAGE, cell.itemsize)
    cells: NDArray[np.void] = np.ndarray((n_leaf, per_page), cell, leaves, PAGE - per_page * cell.itemsize, strides)
    types = [_FLOAT if column.values.dtype.kind == "f" else _INTEGER for column in columns]
    size = _varint(_payload(len(columns)), _size_bytes(len(columns)))
    for some, ids in ((cells[:-1], rowid[:-1]), (cells[-1, skipped:], rowid[-1, skipped:])):
        some["size"] = size
        some["rowid"] = ids
        some["header"] = [1 + len(columns), *types]
    for k, column in enumerate(columns):
        values = cells[f"c{k}"]
        values[:-1] = column.values[:n_before].reshape(-1, per_page)
        values[-1, skipped:] = column.values[n_before:]
        if column.null is not None:
            leaf, row = np.divmod(np.flatnonzero(column.null), per_page)
            row[leaf == n_leaf - 1] += skipped
            cells["header"][leaf, row, 1 + k] = _FLOAT
            values.view(">f8")[leaf, row] = np.nan


def _cell_dtype(columns: Sequence[SqlColumn]) -> np.dtype[np.void]:
    """Return the layout of a row: the size of its record, its rowid, the types of its fields, the fields."""
    fields = [
        ("size", "u1", _size_bytes(len(columns))),
        ("rowid", "u1", _ROWID_BYTES),
        ("header", "u1", 1 + len(columns)),
        *((f"c{k}", ">f8" if column.values.dtype.kind == "f" else ">i8") for k, column in enumerate(columns)),
    ]
    return np.dtype(fields)


def _payload(n_column: int) -> int:
    """Return the size of a record: 1 byte for its header's size, and for each field 1 byte of type and 8 of value."""
    return 1 + 9 * n_column


def _size_bytes(n_column: int) -> int:
    return 1 if _payload(n_column) < 128 else 2


def _rows_per_page(n_column: int) -> int:
    return (PAGE - _LEAF_HEADER) // (2 + _size_bytes(n_column) + _ROWID_BYTES + _payload(n_column))


def _put_header(page: Bytes, kind: int, n_cell: int, size: int, cell_size: int) -> None:
    """Write the header of a b-tree page and the offsets of its cells, which end with the page."""
    start = PAGE - n_cell * cell_size
    page[0] = kind
    _put(page, 3, n_cell, ">u2")
    _put(page, 5, start, ">u2")
    _put(page, size, start + cell_size * np.arange(n_cell), ">u2")


def _put(page: Bytes, at: int, value: int | NDArray[np.int64], dtype: str) -> None:
    content = np.frombuffer(np.asarray(value, dtype).tobytes(), np.uint8)
    page[at : at + len(content)] = content


def _varint(value: int | NDArray[np.int64], n_byte: int) -> Bytes:
    """Return integers as SQLite's varints of a fixed size: 7 bits per byte, all but the last marked."""
    shifts = 7 * np.arange(n_byte - 1, -1, -1)
    groups = (np.asarray(value)[..., None] >> shifts & 0x7F).astype(np.uint8)
    groups[..., :-1] |= 0x80
    return groups


@cache
def _first_page(n_column: int) -> bytes:
    """Return the header and schema of such a database, as written by SQLite itself."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(f"pragma page_size={PAGE}")
        connection.execute(f"create table feed ({', '.join(f'c{k}' for k in range(n_column))})")
        return connection.serialize()[:PAGE]
    finally:
        connection.close()
