"""SQLite: the standard library's own driver only (a second SQLite library in one process corrupts the file)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ClauseElement, Connection, Table, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.compiler import SQLCompiler

from ztfdb.store.backends.base import Backend
from ztfdb.store.backends.connect_sqlite import FEEDS, MOST_FEEDS
from ztfdb.store.backends.reads import Dtypes, SqlText
from ztfdb.store.backends.reads_sqlite import HAS_FEEDS, SqliteReads
from ztfdb.store.backends.sqlite_feed import feed, is_fed
from ztfdb.store.columns import SqlColumn
from ztfdb.store.statement import SetAside, quoted

SQL_TYPES = {"i": "integer", "f": "real"}


class Sqlite(SqliteReads, Backend):
    """SQLite."""

    name = "sqlite"
    view_hints = True
    detections_by = "source_id"  # the key of the table's tree: rows that only follow each other leave no empty room
    _duplicate_error = sqlite3.IntegrityError

    def _write_rows(self, table: str, columns: list[SqlColumn], frozen: bool) -> None:
        """Append rows; many at once through a database in memory."""
        names = ", ".join(column.name for column in columns)
        feeds: list[str] = self.session.connection().info.setdefault(FEEDS, [])
        if HAS_FEEDS and len(feeds) < MOST_FEEDS and is_fed(columns):
            name = f"feed{len(feeds)}"
            fields = ", ".join(f"c{k}" for k in range(len(columns)))
            with self._errors():
                self._driver().execute(f"attach ':memory:' as {name}")
                feeds.append(name)
                self._driver().deserialize(memoryview(feed(columns)).cast("B"), name=name)  # type: ignore[arg-type]
                self._driver().execute(f"insert into {table} ({names}) select {fields} from {name}.feed")
            return
        marks = ", ".join("?" * len(columns))
        rows = zip(*(column.to_list() for column in columns), strict=True)
        with self._errors():
            self._driver().executemany(f"insert into {table} ({names}) values ({marks})", rows)

    def _write_mixed_rows(self, table: str, columns: list[SqlColumn], texts: Mapping[str, list[str | None]]) -> None:
        """Append rows by ``executemany``."""
        names = ", ".join([*(column.name for column in columns), *texts])
        marks = ", ".join("?" * (len(columns) + len(texts)))
        rows = zip(*(column.to_list() for column in columns), *texts.values(), strict=True)
        with self._errors():
            self._driver().executemany(f"insert into {table} ({names}) values ({marks})", rows)

    def _write_blobs(self, table: str, keys: list[SqlColumn], name: str, blobs: list[bytes]) -> None:
        """Append rows by ``executemany``."""
        names = ", ".join([*(key.name for key in keys), name])
        marks = ", ".join("?" * (len(keys) + 1))
        with self._errors():
            rows = zip(*(key.values.tolist() for key in keys), blobs, strict=True)
            self._driver().executemany(f"insert into {table} ({names}) values ({marks})", rows)

    def _make_temporary(self, name: str, dtypes: Dtypes) -> None:
        """Make a table in the connection's own temporary database."""
        fields = ", ".join(f"{column} {SQL_TYPES[np.dtype(dtype).kind]} not null" for column, dtype in dtypes.items())
        connection = self.session.connection()
        connection.exec_driver_sql(f"drop table if exists temp.{name}")
        connection.exec_driver_sql(f"create temporary table {name} ({fields})")

    def insert(self, table: Table) -> Any:
        """Return SQLite's INSERT."""
        return insert(table)

    @staticmethod
    def views_aside(connection: Connection, names: Sequence[str]) -> SetAside:
        """Also drop the views of others, because SQLite renames no table while a view is broken."""
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
