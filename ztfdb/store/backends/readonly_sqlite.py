"""Read-only SQL on SQLite: a file opened for reading, an authorizer that allows 4 actions, and a time limit."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from ztfdb.errors import QueryError, StoreError
from ztfdb.store import csv_lines
from ztfdb.store.backends.sqlite_feed import MOST_COLUMNS
from ztfdb.store.faults import unavailable
from ztfdb.store.sql_columns import joined, python_list
from ztfdb.store.statement import Rows, Rowset, Statement, by_column

if TYPE_CHECKING:
    from ztfdb.store.backends.sqlite_pages import Piece

_SQLITE_TYPES = {"short": "integer", "int": "integer", "long": "integer", "float": "real", "double": "real",
                 "boolean": "integer", "char": "text", "unicodeChar": "text"}  # fmt: skip

ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
"""All other actions are denied: ATTACH would create files, PRAGMA rewrite the schema, VACUUM INTO copy the archive."""

DENIED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "writefile", "edit"}

MAX_BYTES = 16_000_000
"""Longest text or blob: so no single function call can exceed the time limit, which is checked only between steps."""

MOST_FETCHED = 10_000
"""Up to this many rows are fetched one by one; more are read as pages."""

STEPS = 10_000
"""Virtual-machine steps between two checks of the time limit: less than 1 ms."""


def run(connection: sqlite3.Connection, statement: Statement, *, force: bool) -> tuple[list[str], list[Any]]:
    """Run a statement; see `ztfdb.store.readonly.run_read_only`."""
    with _executed(connection, statement) as cursor:
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchmany(min(MOST_FETCHED, statement.max_rows + 1))
        if len(rows) < MOST_FETCHED or len(names) > MOST_COLUMNS:
            if (more := statement.max_rows + 1 - len(rows)) > 0:  # 0 would fetch all
                rows += cursor.fetchmany(more)
            _check_number(len(rows), statement)
            return names, by_column(rows, len(names))
        cursor.close()
        parts: list[list[Any]] = []
        n_row = 0
        limited = f"select * from ({statement.body}) limit {statement.max_rows + 1}"
        with _paged(connection, limited, statement.values, len(names)) as pieces:
            for piece in pieces:
                _check_number(n_row := n_row + len(piece), statement)
                parts.append(_columns(piece))
        return names, [joined(list(column)) for column in zip(*parts, strict=True)]


def pieces(
    connection: sqlite3.Connection, statement: Statement, *, force: bool
) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the names and columns of a statement in pieces; see `ztfdb.store.readonly.spooled`."""
    with _executed(connection, statement) as cursor:
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchmany(MOST_FETCHED)
        if len(rows) < MOST_FETCHED or len(names) > MOST_COLUMNS:
            yield names, by_column(rows, len(names))
            while rows := cursor.fetchmany(MOST_FETCHED):
                yield names, by_column(rows, len(names))
            return
        cursor.close()
        with _paged(connection, statement.text, statement.values, len(names)) as found:
            for piece in found:
                yield names, _columns(piece)


def _check_number(n_row: int, statement: Statement) -> None:
    if n_row > statement.max_rows:
        raise QueryError(f"more than {statement.max_rows:,} rows: narrow the question, aggregate, or add a LIMIT")


def _columns(piece: Piece) -> list[Any]:
    return by_column(piece, len(piece[0])) if isinstance(piece, list) else piece.columns()


def csv(connection: sqlite3.Connection, statement: Statement, size: int, *, force: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV; see `ztfdb.store.readonly.read_only_csv`."""
    with _executed(connection, statement) as cursor:
        names = [column[0] for column in cursor.description]
        yield csv_lines.header(names), 0
        rows = cursor.fetchmany(size)
        write = _arrow_lines() if len(rows) == size and len(names) <= MOST_COLUMNS else None
        if write is None:
            while rows:
                yield csv_lines.lines(rows), len(rows)
                rows = cursor.fetchmany(size)
            return
        cursor.close()
        with _paged(connection, statement.text, statement.values, len(names)) as pieces:
            for piece in pieces:
                yield _piece_lines(piece, write), len(piece)


def _piece_lines(piece: Piece, write: Callable[[list[Any]], bytes | None]) -> bytes:
    if isinstance(piece, list):
        return csv_lines.lines(piece)
    columns = piece.columns()
    made = write(columns)
    if made is not None:
        return made
    return csv_lines.lines(list(zip(*map(python_list, columns), strict=True)))


def _arrow_lines() -> Callable[[list[Any]], bytes | None] | None:
    """Return the function that writes lines by pyarrow, None if that is not installed."""
    try:
        from ztfdb.store.csv_arrow import lines
    except ImportError:
        return None
    return lines


def _paged(
    connection: sqlite3.Connection, text: str, values: Mapping[str, Any], n_column: int
) -> AbstractContextManager[Iterator[Piece]]:
    from ztfdb.store.backends.sqlite_pages import paged  # few rows do without

    return paged(connection, authorize_pages, text, values, n_column)


def authorize_pages(action: int, first: str | None, second: str | None, database: str | None, *more: str | None) -> int:
    """Allow reading, and writing to the temporary file of `ztfdb.store.backends.sqlite_pages.paged`."""
    from ztfdb.store.backends.sqlite_pages import permitted

    if permitted(action, first, database):
        return sqlite3.SQLITE_OK
    return authorize(action, first, second, database, *more)


@contextmanager
def _executed(connection: sqlite3.Connection, statement: Statement) -> Iterator[sqlite3.Cursor]:
    """Yield the rows of a statement, on a connection that can only read; errors become typed ones."""
    deadline = monotonic() + statement.timeout_s
    with _typed_errors(statement, deadline):
        _prepare(connection)
        _guard(connection, deadline)
        cursor = connection.execute(statement.text, statement.values)
        if cursor.description is None:
            raise QueryError("refused: the statement returns no rows")
        yield cursor


def check_reader(connection: sqlite3.Connection) -> None:
    """Do nothing: the file is opened for reading."""


def _prepare(connection: sqlite3.Connection) -> None:
    """Add what PostgreSQL has and SQLite's own functions need, before the authorizer forbids it.

    Temporary tables may be written. The file may not: it is open for reading.
    """
    connection.execute("PRAGMA query_only=OFF")
    connection.execute("select 1 from json_each('[]'), json_tree('[]')")  # their tables are created at first use
    connection.create_collation("C", lambda a, b: (a > b) - (a < b))  # code points have the same order as UTF-8


def _guard(connection: sqlite3.Connection, deadline: float) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    connection.set_progress_handler(lambda: monotonic() > deadline, STEPS)
    connection.set_authorizer(authorize)


def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Allow reading (callback of SQLite)."""
    # for a function, the second argument is its name
    if action not in ALLOWED or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in DENIED_FUNCTIONS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@contextmanager
def _typed_errors(statement: Statement, deadline: float) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as exc:  # a second statement is a Warning in Python 3.11
        if "interrupted" in str(exc) and monotonic() < deadline:
            raise KeyboardInterrupt from exc  # Ctrl-C came inside the progress handler, where sqlite3 swallows it
        raise _typed_error(exc, statement.timeout_s) from exc
    except OverflowError as exc:
        raise QueryError(f"a value does not fit SQLite's 64 bits: {exc}") from exc


def _typed_error(exc: Exception, timeout_s: float) -> Exception:
    text = str(exc)
    if "interrupted" in text:
        return QueryError(f"stopped after the time limit of {timeout_s:g} s")
    if "not authorized" in text or "prohibited" in text:
        return QueryError(f"refused, only reading is allowed: {text}")
    if "disk is full" in text:  # nothing is written but temporary files, here or by a sort
        return StoreError(f"no more rows fit into {tempfile.gettempdir()}: {text}")
    return unavailable(exc) or QueryError(text)


def stream(
    connection: sqlite3.Connection,
    sql: str,
    values: Any,
    uploads: Sequence[Rowset],
    *,
    upload_join: bool,
    size: int,
) -> Iterator[Rows]:
    """Yield the rows of a client's statement in pieces; its uploads are tables that the transaction's end removes."""
    connection.execute("PRAGMA query_only=OFF")  # of temporary tables: the file is open for reading
    connection.execute("select 1 from json_each('[]')")  # its first use creates it, which the authorizer forbids
    for upload in uploads:
        _fill(connection, upload)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    connection.set_authorizer(authorize)
    try:
        cursor = connection.execute(sql, values)
        while rows := cursor.fetchmany(size):
            yield rows
    finally:
        connection.set_authorizer(None)


def _fill(connection: sqlite3.Connection, upload: Rowset) -> None:
    """Make the temporary table of an upload, with its rows numbered from 0 in ``_k``.

    It is analyzed, because SQLite takes a table without statistics for a million rows, and would look up each row of
    the archive in it. An empty table gets the statistics of one row: it would have none.
    """
    columns = ", ".join(f'"{name}" {_SQLITE_TYPES[kind]}' for name, kind in upload.datatypes.items())
    connection.execute(f'create temporary table "_upload_{upload.name}" (_k integer primary key, {columns})')
    places = ", ".join("?" * (1 + len(upload.datatypes)))
    n_row = len(upload.columns[0]) if upload.columns else 0
    rows = zip(range(n_row), *upload.columns, strict=True)
    table = f'"_upload_{upload.name}"'
    connection.executemany(f"insert into {table} values ({places})", rows)
    if n_row == 0:
        connection.execute(f"insert into {table} (_k) values (0)")
    connection.execute(f"analyze temp.{table}")
    if n_row == 0:
        connection.execute(f"delete from {table}")
