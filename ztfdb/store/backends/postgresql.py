"""PostgreSQL: binary COPY in and out, columns as bytes, binary cursors, advisory locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import ClauseElement, Connection, Engine, Table
from sqlalchemy.dialects.postgresql import insert

from ztfdb.errors import StoreError
from ztfdb.store.backends import views_postgresql
from ztfdb.store.backends.base import Backend
from ztfdb.store.backends.reads import Dtypes, SqlText
from ztfdb.store.backends.reads_postgresql import SQL_TYPES, PostgresqlReads, pyformat, sql_type
from ztfdb.store.columns import SqlColumn
from ztfdb.store.statement import SetAside

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
COPY_TAIL = b"\xff\xff"
CHUNK = 4_000
"""Rows packed at a time: less than 1 MB, so that a bulk load never doubles its memory."""


class Postgresql(PostgresqlReads, Backend):
    """PostgreSQL."""

    name = "postgresql"
    replaces_views = True
    _duplicate_error = psycopg.errors.UniqueViolation

    def _write_rows(self, table: str, columns: list[SqlColumn], frozen: bool) -> None:
        """Append rows by binary COPY."""
        names = ", ".join(column.name for column in columns)
        n_row = len(columns[0].values)
        text = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY{', FREEZE' if frozen else ''})"
        with self._errors(), self._driver().cursor() as cursor, cursor.copy(text) as copy:
            copy.write(COPY_HEAD)
            for start in range(0, n_row, CHUNK):
                copy.write(pack(columns, start, min(start + CHUNK, n_row)))
            copy.write(COPY_TAIL)

    def _write_mixed_rows(self, table: str, columns: list[SqlColumn], texts: Mapping[str, list[str | None]]) -> None:
        """Append rows by COPY in text format."""
        names = ", ".join([*(column.name for column in columns), *texts])
        rows = zip(*(column.to_list() for column in columns), *texts.values(), strict=True)
        text = f"COPY {table} ({names}) FROM STDIN"
        with self._errors(), self._driver().cursor() as cursor, cursor.copy(text) as copy:
            for row in rows:
                copy.write_row(row)

    def _write_blobs(self, table: str, keys: list[SqlColumn], name: str, blobs: list[bytes]) -> None:
        """Append rows by binary COPY."""
        names = ", ".join([*(key.name for key in keys), name])
        text = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
        with self._errors(), self._driver().cursor() as cursor, cursor.copy(text) as copy:
            copy.set_types([*(SQL_TYPES[key.values.dtype.str[1:]] for key in keys), "bytea"])
            for row in zip(*(key.values.tolist() for key in keys), blobs, strict=True):
                copy.write_row(row)

    def _make_temporary(self, name: str, dtypes: Dtypes) -> None:
        """Make a table that is dropped at the end of the transaction."""
        fields = ", ".join(f"{column} {sql_type(np.dtype(dtype))} not null" for column, dtype in dtypes.items())
        connection = self.session.connection()
        connection.exec_driver_sql(f"drop table if exists pg_temp.{name}")
        connection.exec_driver_sql(f"create temporary table {name} ({fields}) on commit drop")

    def check_encoding(self) -> None:
        """Refuse all encodings but UTF8 and SQL_ASCII, which keeps the bytes of UTF-8 as they are."""
        ((name, encoding),) = self.read_rows("select current_database(), current_setting('server_encoding')")
        if encoding not in ("UTF8", "SQL_ASCII"):
            raise StoreError(
                f"the database {name} has the encoding {encoding}, which cannot hold every path: make it with "
                "createdb --encoding=UTF8 --template=template0"
            )

    def limit_lock_wait(self, seconds: float | None) -> None:
        """Set this transaction's ``lock_timeout``."""
        wait = "default" if seconds is None else f"'{round(1000 * seconds)}ms'"
        self.session.connection().exec_driver_sql(f"set local lock_timeout to {wait}")

    def drop_key(self, table: Table) -> None:
        """Drop the constraint together with its index."""
        self.session.connection().exec_driver_sql(f"alter table {table.name} drop constraint {table.primary_key.name}")

    def renew_table(self, table: Table) -> None:
        """Truncate the table: only a table that is new in this transaction takes frozen rows."""
        self.session.connection().exec_driver_sql(f"truncate {table.name}")

    def add_key(self, table: Table) -> None:
        """Add the constraint, with all rows."""
        names = ", ".join(column.name for column in table.primary_key.columns)
        add = f"alter table {table.name} add constraint {table.primary_key.name} primary key ({names})"
        with self._errors():
            self._driver().execute(add)

    def lock_name(self, key: int) -> None:
        """Take an advisory lock for this transaction."""
        self.session.connection().exec_driver_sql("select pg_advisory_xact_lock(%(key)s)", {"key": int(key)})

    def insert(self, table: Table) -> Any:
        """Return PostgreSQL's INSERT."""
        return insert(table)

    @staticmethod
    def settle_table(engine: Engine, table: Table) -> None:
        """Analyse and vacuum the table."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Rows whose commit is not on disk yet cannot be marked visible to all. The synchronous commit of ANALYZE
            # flushes the asynchronous ones before it.
            connection.exec_driver_sql("set synchronous_commit = on")
            connection.exec_driver_sql(f"analyze {table.name}")
            connection.exec_driver_sql(f"vacuum {table.name}")
            connection.exec_driver_sql("reset synchronous_commit")

    @staticmethod
    def views_aside(connection: Connection, names: Sequence[str]) -> SetAside:
        """Read rights, owners and dependents from the server's catalogues."""
        return views_postgresql.set_aside(connection, names)

    def _text_and_values(self, statement: SqlText, params: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        if isinstance(statement, str):
            return pyformat(statement), params
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(
            dialect=self.session.get_bind().dialect, compile_kwargs={"render_postcompile": True}
        )
        return str(compiled), compiled.construct_params(dict(params)) or {}


def pack(columns: list[SqlColumn], start: int, stop: int) -> bytes:
    """Return rows ``start`` to ``stop`` in the format of binary COPY.

    Every field is its length (int32, -1 for NULL) and its big-endian bytes. The rows are laid out as if nothing were
    NULL, then the payload bytes of NULL fields are removed.
    """
    record = record_dtype({column.name: column.values.dtype for column in columns})
    empty = np.zeros((), record)
    empty["n_field"] = len(columns)
    for column in columns:
        empty[f"{column.name}:length"] = column.values.dtype.itemsize
    rows = np.empty(stop - start, record)
    rows.view(f"V{record.itemsize}")[:] = empty.view(f"V{record.itemsize}")  # whole rows are faster than their fields
    keep: NDArray[np.bool_] | None = None
    for column in columns:
        rows[column.name] = column.values[start:stop]
        null = None if column.null is None else column.null[start:stop]
        if null is None or not null.any():
            continue
        if keep is None:
            keep = np.ones((len(rows), record.itemsize), bool)
        rows[f"{column.name}:length"][null] = -1
        offset = record.fields[column.name][1]  # type: ignore[index]
        keep[null, offset : offset + column.values.dtype.itemsize] = False
    if keep is None:
        return rows.tobytes()
    return rows.view("u1").reshape(len(rows), -1)[keep].tobytes()


def record_dtype(dtypes: Mapping[str, np.dtype[Any]]) -> np.dtype[Any]:
    """Return the layout of one row of binary COPY without NULLs."""
    fields = [("n_field", ">i2")]
    for name, dtype in dtypes.items():
        fields += [(f"{name}:length", ">i4"), (name, dtype.newbyteorder(">").str)]
    return np.dtype(fields)
