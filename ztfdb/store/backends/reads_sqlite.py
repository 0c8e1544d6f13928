"""Reading from SQLite by the standard library's driver only (a second SQLite library corrupts the file)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.errors import StoreError
from ztfdb.store.backends.connect_sqlite import FEEDS, MOST_FEEDS
from ztfdb.store.backends.reads import Dtypes, Reads, SqlText
from ztfdb.store.columns import numpy_columns
from ztfdb.store.interrupt import signals_heard
from ztfdb.store.type_checks import check_objects

HAS_FEEDS = hasattr(sqlite3.Connection, "deserialize")
"""Python may have been built without ``deserialize``; then rows are read and written one by one."""

FEW_ROWS = 1_000
"""Up to this many rows are fetched one by one, because making their pages takes longer than reading them."""

GIVEN = "given"
"""Name of the attached database for the rows of `range_rows`."""

MOST_GIVEN = 4
"""Largest number of tables in it, because reading an archive in pieces makes many."""

_BESIDE = "ztfdb_changes_beside"
"""Key, in a connection's ``info``, of the number of changes that reading made to attached databases."""

MOST_PROBLEMS = 100
"""Most lines of ``integrity_check`` shown."""


class SqliteReads(Reads):
    """SQLite."""

    cheap_scans = True
    """A row looked up by an index takes three times as long as the next one of the table."""

    def read_columns(
        self, statement: SqlText, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read all rows."""
        text, values = self._text_and_values(statement, params)
        with self._errors():
            rows = self._driver().execute(text, values).fetchall()
        for k, (name, dtype) in enumerate(dtypes.items()):
            if (kind := np.dtype(dtype)).kind in "Ob":
                check_objects(name, (row[k] for row in rows), kind)
        with _numbers():
            return numpy_columns(rows, dtypes, nulls or {})

    def read_bulk(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read into one structured array, or many rows from pages."""
        names, nulls = list(dtypes), nulls or {}
        dtypes = dict(sorted(dtypes.items(), key=lambda one: np.dtype(one[1]).kind != "f"))  # as `numbers_of` needs
        fields = ", ".join(f"coalesce(q.{n}, {int(nulls[n])})" if n in nulls else f"q.{n}" for n in dtypes)
        record = np.dtype([(name, np.dtype(dtype)) for name, dtype in dtypes.items()])
        select = f"select {fields} from ({statement}) as q"
        with self._errors():
            cursor = self._driver().execute(select, params)
            first = cursor.fetchmany(FEW_ROWS)
            if len(first) == FEW_ROWS and HAS_FEEDS:
                cursor.close()
                if (found := self._read_pages(select, params, dtypes)) is not None:
                    return {name: found[name] for name in names}
                first, cursor = [], self._driver().execute(select, params)
            with _numbers():
                rows = np.fromiter(chain(first, cursor), record)  # turns None into NaN in the float fields
        return {name: np.ascontiguousarray(rows[name]) for name in names}

    def _read_pages(self, select: str, params: Mapping[str, Any], dtypes: Dtypes) -> Columns | None:
        """Read through a database in memory; None for too many columns, or a value of another type than its column."""
        from ztfdb.store.backends.sqlite_drain import drained, numbers_of  # few rows do without
        from ztfdb.store.backends.sqlite_feed import MOST_COLUMNS

        if len(dtypes) > MOST_COLUMNS:
            return None
        name, feeds = f"drain{len(dtypes)}", self._info.get(FEEDS, [])
        if name not in feeds and len(feeds) >= MOST_FEEDS:
            return None
        with self._beside(name) as driver:
            n_row, parts = drained(driver, name, select, params, len(dtypes))
        with _numbers():
            return numbers_of(n_row, parts, dtypes)

    def _table_of(self, columns: Mapping[str, IntArray]) -> str:
        """Return the FROM item of a table of integers, which lasts until `MOST_GIVEN` more have been made."""
        with self._errors(), self._beside(GIVEN) as driver:
            number = self._notes.get(GIVEN, 0)
            self._notes[GIVEN] = number + 1
            name = f"{GIVEN}.rows{number % MOST_GIVEN}"
            driver.execute(f"drop table if exists {name}")
            driver.execute(f"create table {name} ({', '.join(columns)})")
            rows = zip(*(values.tolist() for values in columns.values()), strict=True)
            driver.executemany(f"insert into {name} values ({', '.join('?' * len(columns))})", rows)
        return f"{name} as r"

    @contextmanager
    def _beside(self, name: str) -> Iterator[sqlite3.Connection]:
        """Yield the driver's connection with an attached database in memory that is writable inside the block.

        The block must only run our own statements, as the archive itself is not protected. Changes of the attached
        database do not count as the archive's, see `memory`.
        """
        from ztfdb.store.backends.sqlite_feed import PAGE

        info, driver = self._info, self._driver()
        feeds: list[str] = info.setdefault(FEEDS, [])
        ((query_only,),) = driver.execute("pragma query_only")
        if query_only:
            driver.execute("pragma query_only=off")
        before = driver.total_changes
        try:
            if name not in feeds:
                driver.execute(f"attach ':memory:' as {name}")
                feeds.append(name)
                driver.execute(f"pragma {name}.page_size={PAGE}")
                driver.execute(f"pragma {name}.auto_vacuum=incremental")
            yield driver
        finally:
            info[_BESIDE] = info.get(_BESIDE, 0) + driver.total_changes - before
            if query_only:
                driver.execute("pragma query_only=on")

    def read_doubles(self, statement: str, params: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read into one array."""
        with self._errors():
            cursor = self._driver().execute(statement, params)
            with _numbers():
                values = np.fromiter(chain.from_iterable(cursor), np.float64)  # None becomes NaN
        return np.ascontiguousarray(values.reshape(-1, len(names)).T)

    def free_pages(self) -> None:
        """Free the cached pages of the file; the system's own cache still has them."""
        with self._errors():
            self._driver().execute("pragma shrink_memory")

    def memory(self) -> dict[str, Any]:
        """Return the connection's cache, emptied by any commit since."""
        if self._writes:
            return {}  # uncommitted changes may be rolled back
        driver, info = self._driver(), self._info
        # data_version changes with every visible commit of others, total_changes with our own changes
        changes = driver.total_changes - info.get(_BESIDE, 0)
        version = (driver.execute("PRAGMA data_version").fetchone()[0], changes)
        kept: tuple[tuple[int, int], dict[str, Any]] | None = info.get("ztfdb")
        if kept is None or kept[0] != version:
            kept = info["ztfdb"] = (version, {})
        return kept[1]

    def range_rows(self, **columns: IntArray) -> tuple[str, dict[str, Any]]:
        """Return ``json_each`` of an array of rows; for many rows a table in memory, in 20 % of the time."""
        if len(next(iter(columns.values()))) > FEW_ROWS:
            return self._table_of(columns), {}
        lists = {name: values.tolist() for name, values in columns.items()}
        if len(lists) == 1:  # twice as fast as rows with one item
            ((name, values),) = lists.items()
            return f"(select j.value as {name} from json_each(:r_rows) as j) as r", {"r_rows": json.dumps(values)}
        if len(lists) == 2:  # also twice as fast: an object with the first as key, keys may repeat
            (first, keys), (second, values) = lists.items()
            members = ",".join([f'"{key}":{value}' for key, value in zip(keys, values, strict=True)])
            fields = f"cast(j.key as integer) as {first}, j.value as {second}"
            return f"(select {fields} from json_each(:r_rows) as j) as r", {"r_rows": f"{{{members}}}"}
        fields = ", ".join(f"json_extract(j.value, '$[{k}]') as {name}" for k, name in enumerate(columns))
        rows = json.dumps(list(zip(*lists.values(), strict=True)), separators=(",", ":"))
        return f"(select {fields} from json_each(:r_rows) as j) as r", {"r_rows": rows}

    def joined(self, rows: str, table: str, columns: Sequence[str], condition: str, *, alias: str | None = None) -> str:
        """Return a CROSS JOIN, whose order is that of its loops."""
        return f"{rows} cross join {table} as {alias or table} on {condition}"

    def hold_snapshot(self, name: str | None) -> None:
        """Read once: the snapshot of a transaction begins with its first read."""
        self.read_rows("select count(*) from archive_meta")

    def commits(self) -> int:
        """Return ``data_version``."""
        return int(self.read_rows("pragma data_version")[0][0])

    def storage_problems(self) -> list[str]:
        """Return the problems that ``integrity_check`` finds."""
        try:
            with signals_heard(self._driver()):
                rows = self._driver().execute(f"pragma integrity_check({MOST_PROBLEMS})").fetchall()
        except sqlite3.DatabaseError as exc:
            if type(exc) is not sqlite3.DatabaseError:  # a lock or the disk, not damage of the file
                with self._errors():
                    raise
            return [str(exc)]
        return [] if rows == [("ok",)] else [line for (text,) in rows for line in str(text).splitlines()]

    def has_table(self, name: str) -> bool:
        """Look in the file's own list."""
        with self._errors():
            found = self._driver().execute("select 1 from sqlite_master where name = ?", (name,)).fetchone()
        return found is not None

    def read_rows(self, statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Read all rows."""
        with self._errors():
            rows: list[tuple[Any, ...]] = self._driver().execute(statement, params or {}).fetchall()
        return rows

    def _text_and_values(self, statement: SqlText, params: Mapping[str, Any]) -> tuple[str, Any]:
        if not isinstance(statement, str):
            raise TypeError("an expression of SQLAlchemy needs a session")
        return statement, params


@contextmanager
def _numbers() -> Iterator[None]:
    """Convert numpy's errors for values of another type to typed ones: SQLite stores any value in any column.

    A number too large for single precision, as in a damaged file, is also an error.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except (ValueError, TypeError, OverflowError, FloatingPointError) as exc:
        raise StoreError(f"SQLite: a stored value is of another type than its column: {exc}") from exc
