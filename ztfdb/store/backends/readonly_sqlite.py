"""Read-only SQL on SQLite: a file opened for reading, an authorizer that knows four actions, and a clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from sqlalchemy import Engine

from ztfdb.errors import QueryError
from ztfdb.store import csv_lines
from ztfdb.store.faults import unavailable
from ztfdb.store.statement import Rows, Rowset, Statement

_SQLITE_TYPES = {"short": "integer", "int": "integer", "long": "integer", "float": "real", "double": "real",
                 "boolean": "integer", "char": "text", "unicodeChar": "text"}  # fmt: skip

ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
"""Everything else is denied: ATTACH would create files, PRAGMA rewrite the schema, VACUUM INTO copy the archive."""

DENIED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "writefile", "edit"}

MAX_BYTES = 16_000_000
"""Longest text or blob: no single function call can then outlast the clock, which ticks between steps only."""

STEPS = 10_000
"""Virtual-machine steps between two looks at the clock: below a millisecond."""


def run(engine: Engine, statement: Statement) -> tuple[list[str], list[list[Any]]]:
    """Run a statement; see `ztfdb.store.readonly.run_read_only`."""
    with _asked(engine, statement) as cursor:
        rows = cursor.fetchmany(statement.max_rows + 1)
    if len(rows) > statement.max_rows:
        raise QueryError(f"more than {statement.max_rows:,} rows: narrow the question, aggregate, or add a LIMIT")
    names = [column[0] for column in cursor.description]
    return names, [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]


def csv(engine: Engine, statement: Statement, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV; see `ztfdb.store.readonly.read_only_csv`."""
    with _asked(engine, statement) as cursor:
        yield csv_lines.header([column[0] for column in cursor.description]), 0
        while rows := cursor.fetchmany(size):
            yield csv_lines.lines(rows), len(rows)


@contextmanager
def _asked(engine: Engine, statement: Statement) -> Iterator[sqlite3.Cursor]:
    """Yield the rows of a statement, on a connection that can only read; what goes wrong is a typed error."""
    try:
        pooled = engine.raw_connection()
    except sqlite3.Error as exc:
        raise unavailable(exc) or QueryError(str(exc)) from exc
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        deadline = monotonic() + statement.timeout_s
        _prepare(connection)
        _guard(connection, deadline)
        with _typed_errors(statement, deadline):
            cursor = connection.execute(statement.text, statement.values)
            if cursor.description is None:
                raise QueryError("refused: the statement returns no rows")
            yield cursor
    finally:
        pooled.invalidate()  # guarded for good: closed, not pooled


def _prepare(connection: sqlite3.Connection) -> None:
    """Add what PostgreSQL has and SQLite's own functions need before the authorizer forbids making it."""
    connection.execute("select 1 from json_each('[]'), json_tree('[]')")  # their tables are declared at first use
    connection.create_collation("C", lambda a, b: (a > b) - (a < b))  # code points, which is the order of UTF-8 too


def _guard(connection: sqlite3.Connection, deadline: float) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    connection.set_progress_handler(lambda: monotonic() > deadline, STEPS)
    connection.set_authorizer(authorize)


def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Allow what reads (callback of SQLite)."""
    # of a function, the name is the second argument
    if action not in ALLOWED or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in DENIED_FUNCTIONS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@contextmanager
def _typed_errors(statement: Statement, deadline: float) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as exc:  # a second statement is a Warning in Python 3.11
        if "interrupted" in str(exc) and monotonic() < deadline:
            raise KeyboardInterrupt from exc  # Ctrl-C came while the clock was looked at, where sqlite3 swallows it
        raise _told(exc, statement.timeout_s) from exc
    except OverflowError as exc:
        raise QueryError(f"a value does not fit SQLite's 64 bits: {exc}") from exc


def _told(exc: Exception, timeout_s: float) -> Exception:
    text = str(exc)
    if "interrupted" in text:
        return QueryError(f"stopped after the time limit of {timeout_s:g} s")
    if "not authorized" in text or "prohibited" in text:
        return QueryError(f"refused, only reading is allowed: {text}")
    return unavailable(exc) or QueryError(text)


def stream(engine: Engine, sql: str, values: Any, uploads: Sequence[Rowset], size: int) -> Iterator[Rows]:
    """Yield the rows of a statement of a program piece by piece; see `ztfdb.store.readonly_stream.Reader.pieces`."""
    pooled = engine.raw_connection()
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        connection.set_authorizer(None)
        connection.execute("PRAGMA case_sensitive_like=on")
        connection.execute("select 1 from json_each('[]')")  # its first use makes it, which the authorizer forbids
        for upload in uploads:
            _fill(connection, upload)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
        connection.set_authorizer(authorize)
        cursor = connection.execute(sql, values)
        while rows := cursor.fetchmany(size):
            yield rows
        cursor.close()
    finally:
        if uploads:
            pooled.invalidate()  # its temporary tables go with it
        pooled.close()


def _fill(connection: sqlite3.Connection, upload: Rowset) -> None:
    """Make the temporary table of an upload, its rows numbered from 0 by ``_k``."""
    columns = ", ".join(f'"{name}" {_SQLITE_TYPES[kind]}' for name, kind in upload.datatypes.items())
    connection.execute(f'create temporary table "_upload_{upload.name}" (_k integer primary key, {columns})')
    places = ", ".join("?" * (1 + len(upload.datatypes)))
    n_row = len(upload.columns[0]) if upload.columns else 0
    rows = zip(range(n_row), *upload.columns, strict=True)
    connection.execute("begin")
    connection.executemany(f'insert into "_upload_{upload.name}" values ({places})', rows)
    connection.commit()
