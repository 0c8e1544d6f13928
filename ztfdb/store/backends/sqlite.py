"""SQLite: the standard library's own driver only (a second SQLite library in one process corrupts the file)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ClauseElement, Connection, Engine, Table, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.compiler import SQLCompiler

from ztfdb.arrays import Columns, IntArray
from ztfdb.errors import StoreError
from ztfdb.store.backends import readonly_sqlite
from ztfdb.store.backends.base import Backend, Dtypes, SqlText
from ztfdb.store.backends.sqlite_feed import feed, is_fed
from ztfdb.store.columns import SqlColumn, numpy_columns
from ztfdb.store.engine import FEEDS, WRITE, driver_errors
from ztfdb.store.statement import Rows, Rowset, SetAside, Statement, quoted
from ztfdb.store.type_checks import check_objects

SQL_TYPES = {"i": "integer", "f": "real"}

HAS_FEEDS = hasattr(sqlite3.Connection, "deserialize")
"""Python may have been built without; then rows are bound one by one."""

MOST_PROBLEMS = 100
"""Lines of ``integrity_check`` that are shown: a file with more is as damaged as one with these."""

MOST_FEEDS = 6
"""A transaction cannot detach what it has read; SQLite attaches ten at a time, by default."""


class Sqlite(Backend):
    """SQLite."""

    name = "sqlite"
    concurrent_readers = 1
    """It reads in this process: two would wait for each other at every row."""
    counts_commits = True
    _duplicate_error = sqlite3.IntegrityError

    def _write_rows(self, table: str, columns: list[SqlColumn], frozen: bool) -> None:
        """Append rows, many of them by a database in memory."""
        names = ", ".join(column.name for column in columns)
        feeds: list[str] = self.session.connection().info.setdefault(FEEDS, [])
        if HAS_FEEDS and len(feeds) < MOST_FEEDS and is_fed(columns):
            name = f"feed{len(feeds)}"
            fields = ", ".join(f"c{k}" for k in range(len(columns)))
            with driver_errors():
                self._driver().execute(f"attach ':memory:' as {name}")
                feeds.append(name)
                self._driver().deserialize(memoryview(feed(columns)).cast("B"), name=name)  # type: ignore[arg-type]
                self._driver().execute(f"insert into {table} ({names}) select {fields} from {name}.feed")
            return
        marks = ", ".join("?" * len(columns))
        rows = zip(*(column.to_list() for column in columns), strict=True)
        with driver_errors():
            self._driver().executemany(f"insert into {table} ({names}) values ({marks})", rows)

    def _write_mixed_rows(self, table: str, columns: list[SqlColumn], texts: Mapping[str, list[str | None]]) -> None:
        """Append rows by ``executemany``."""
        names = ", ".join([*(column.name for column in columns), *texts])
        marks = ", ".join("?" * (len(columns) + len(texts)))
        rows = zip(*(column.to_list() for column in columns), *texts.values(), strict=True)
        with driver_errors():
            self._driver().executemany(f"insert into {table} ({names}) values ({marks})", rows)

    def _write_blobs(self, table: str, keys: list[SqlColumn], name: str, blobs: list[bytes]) -> None:
        """Append rows by ``executemany``."""
        names = ", ".join([*(key.name for key in keys), name])
        marks = ", ".join("?" * (len(keys) + 1))
        with driver_errors():
            rows = zip(*(key.values.tolist() for key in keys), blobs, strict=True)
            self._driver().executemany(f"insert into {table} ({names}) values ({marks})", rows)

    def read_columns(
        self, statement: SqlText, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read all rows."""
        text, values = self._text_and_values(statement, params)
        with driver_errors():
            rows = self._driver().execute(text, values).fetchall()
        for k, (name, dtype) in enumerate(dtypes.items()):
            if (kind := np.dtype(dtype)).kind in "Ob":
                check_objects(name, (row[k] for row in rows), kind)
        with _numbers():
            return numpy_columns(rows, dtypes, nulls or {})

    def read_bulk(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read into one structured array."""
        nulls = nulls or {}
        fields = ", ".join(f"coalesce(q.{n}, {int(nulls[n])})" if n in nulls else f"q.{n}" for n in dtypes)
        record = np.dtype([(name, np.dtype(dtype)) for name, dtype in dtypes.items()])
        with driver_errors():
            cursor = self._driver().execute(f"select {fields} from ({statement}) as q", params)
            with _numbers():
                rows = np.fromiter(cursor, record)  # turns None into NaN in the float fields
        return {name: np.ascontiguousarray(rows[name]) for name in dtypes}

    def read_doubles(self, statement: str, params: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read into one array."""
        with driver_errors():
            cursor = self._driver().execute(statement, params)
            with _numbers():
                values = np.fromiter(chain.from_iterable(cursor), np.float64)  # None becomes NaN
        return np.ascontiguousarray(values.reshape(-1, len(names)).T)

    def memory(self) -> dict[str, Any]:
        """Return the connection's memory, emptied by any commit since."""
        connection = self.session.connection()
        if connection.get_execution_options().get(WRITE, False):
            return {}  # what is written here may yet be rolled back
        driver = connection.connection.driver_connection  # the session would look for it again
        assert isinstance(driver, sqlite3.Connection)
        # the first number changes with every commit of others that this transaction sees, the second with own changes
        version = (driver.execute("PRAGMA data_version").fetchone()[0], driver.total_changes)
        kept: tuple[tuple[int, int], dict[str, Any]] | None = connection.info.get("ztfdb")
        if kept is None or kept[0] != version:
            kept = connection.info["ztfdb"] = (version, {})
        return kept[1]

    def range_rows(self, **columns: IntArray) -> tuple[str, dict[str, Any]]:
        """Return ``json_each`` of an array of rows."""
        lists = {name: values.tolist() for name, values in columns.items()}
        if len(lists) == 1:  # twice as fast as rows of one
            ((name, values),) = lists.items()
            return f"(select j.value as {name} from json_each(:r_rows) as j) as r", {"r_rows": json.dumps(values)}
        if len(lists) == 2:  # twice as fast too: the first is the name of the second, names may come again
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

    def _make_temporary(self, name: str, dtypes: Dtypes) -> None:
        """Make a table in the connection's own temporary database."""
        fields = ", ".join(f"{column} {SQL_TYPES[np.dtype(dtype).kind]} not null" for column, dtype in dtypes.items())
        connection = self.session.connection()
        connection.exec_driver_sql(f"drop table if exists temp.{name}")
        connection.exec_driver_sql(f"create temporary table {name} ({fields})")

    def storage_problems(self) -> list[str]:
        """Return what ``integrity_check`` finds."""
        try:
            rows = self._driver().execute(f"pragma integrity_check({MOST_PROBLEMS})").fetchall()
        except sqlite3.DatabaseError as exc:
            if type(exc) is not sqlite3.DatabaseError:  # a lock, a disk: nothing that the file says
                with driver_errors():
                    raise
            return [str(exc)]
        return [] if rows == [("ok",)] else [line for (text,) in rows for line in str(text).splitlines()]

    def insert(self, table: Table) -> Any:
        """Return SQLite's INSERT."""
        return insert(table)

    @staticmethod
    def commits(connection: Connection) -> int:
        """Return ``data_version``."""
        found = connection.exec_driver_sql("pragma data_version").scalar()
        connection.rollback()
        return int(found or 0)

    @staticmethod
    def run_read_only(engine: Engine, statement: Statement, *, force: bool) -> tuple[list[str], list[list[Any]]]:
        """Run a statement on a connection with an authorizer; nothing needs to be forced."""
        return readonly_sqlite.run(engine, statement)

    @staticmethod
    def stream(
        engine: Engine, sql: str, values: Any, uploads: Sequence[Rowset], *, upload_join: bool, size: int
    ) -> Iterator[Rows]:
        """Yield the rows of a statement piece by piece; uploads are temporary tables."""
        return readonly_sqlite.stream(engine, sql, values, uploads, size)

    @staticmethod
    def views_aside(connection: Connection, names: Sequence[str]) -> SetAside:
        """Take the views of others away, too: SQLite renames no table while a view does not work."""
        aside = SetAside()
        rows = connection.execute(text("select type, name, tbl_name, sql from sqlite_master order by rowid")).all()
        views = {row.name for row in rows if row.type == "view"}
        for row in rows:
            if row.type == "view" and row.name not in names:
                aside.others.append(row.name)
                aside.statements.append(row.sql)
                connection.exec_driver_sql(f"drop view {quoted(row.name)}")
            elif row.type == "trigger" and row.tbl_name in views:
                aside.statements.append(row.sql)
        return aside

    def _driver(self) -> sqlite3.Connection:
        connection = self.session.connection().connection.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def _text_and_values(self, statement: SqlText, params: Mapping[str, Any]) -> tuple[str, Any]:
        if isinstance(statement, str):
            return statement, params
        assert isinstance(statement, ClauseElement)
        compiled: Compiled = statement.compile(
            dialect=self.session.get_bind().dialect, compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        values = compiled.construct_params(dict(params))
        return str(compiled), tuple(values[name] for name in compiled.positiontup or ())


@contextmanager
def _numbers() -> Iterator[None]:
    """Turn what numpy says of a value of another type into a typed error: SQLite stores any value in any column.

    A number too large for a column of single precision is one of them, as in a damaged file.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except (ValueError, TypeError, OverflowError, FloatingPointError) as exc:
        raise StoreError(f"SQLite: a stored value is of another type than its column: {exc}") from exc
