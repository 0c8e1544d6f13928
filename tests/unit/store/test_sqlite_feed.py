"""Rows through a database in memory: SQLite reads what was given, and finds nothing wrong with its pages."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from ztfdb.store.backends.sqlite_feed import LEAST_ROWS, PAGE, feed, is_fed
from ztfdb.store.columns import SqlColumn

KINDS = ("i8", "f8", "f4", "i2", "i4")
ODD = {
    "f": [0.0, -0.0, np.inf, -np.inf, 5e-324, 1.5, -2.0, 1e300],
    "i": [0, -1, 1, 127, -128, 32767, -32768, 2],
}


def columns_of(n_column: int, n_row: int, *, nulls: bool = True) -> list[SqlColumn]:
    rng = np.random.default_rng(n_column * n_row)
    columns = []
    for k in range(n_column):
        dtype = np.dtype(KINDS[k % len(KINDS)])
        with np.errstate(over="ignore"):
            values = rng.choice(ODD[dtype.kind], n_row).astype(dtype)
        if dtype == np.int64:
            values[: n_row // 2] = rng.integers(-(1 << 63), (1 << 63) - 1, n_row // 2, endpoint=True)
        null = rng.random(n_row) < 0.1 if nulls and k % 2 else None
        columns.append(SqlColumn(f"column{k}", values, null))
    return columns


def rows_per_page(n_column: int) -> int:
    """Reckoned anew: a row is its size, four bytes of rowid, a byte for each field, eight for each; and its place."""
    payload = 1 + 9 * n_column
    return (PAGE - 8) // (2 + (1 if payload < 128 else 2) + 4 + payload)


def read(columns: list[SqlColumn]) -> tuple[list[tuple[object, ...]], str]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(feed(columns).tobytes())
        (told,) = connection.execute("pragma integrity_check").fetchone()
        return connection.execute("select * from feed").fetchall(), told
    finally:
        connection.close()


@pytest.mark.parametrize("n_column", [1, 2, 14, 15, 35, 120])  # 14 columns are the last whose size takes one byte
@pytest.mark.parametrize("n_row", [LEAST_ROWS, LEAST_ROWS + 1, 5_000])
def test_rows_come_out_as_they_were_bound(n_column: int, n_row: int) -> None:
    columns = columns_of(n_column, n_row)
    assert is_fed(columns) is (n_row > rows_per_page(n_column))
    if is_fed(columns):
        rows, told = read(columns)
        assert told == "ok"
        assert rows == list(zip(*(column.to_list() for column in columns), strict=True))


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("n_column", [2, 15])
def test_pages_that_are_just_full(n_column: int, over: int) -> None:
    columns = columns_of(n_column, 3 * rows_per_page(n_column) + over)
    rows, told = read(columns)
    assert told == "ok"
    assert rows == list(zip(*(column.to_list() for column in columns), strict=True))


def test_what_lies_under_a_null_is_not_read() -> None:
    null = np.arange(5_000) % 3 == 0
    columns = [SqlColumn("a", np.full(5_000, 7, np.int32), null), SqlColumn("b", np.full(5_000, 7.0), null)]
    assert read(columns)[0] == [(None, None) if missing else (7, 7.0) for missing in null.tolist()]


def test_it_is_for_many_rows_but_not_for_all_there_are() -> None:
    assert not is_fed(columns_of(3, LEAST_ROWS - 1))
    assert not is_fed([SqlColumn("a", np.broadcast_to(np.int64(1), 10_000_000), None)])
    assert not is_fed(columns_of(121, LEAST_ROWS))
