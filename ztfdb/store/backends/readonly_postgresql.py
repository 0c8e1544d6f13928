"""Read-only SQL on PostgreSQL: one statement, a READ ONLY transaction with a time limit, always rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from secrets import token_hex
from typing import Any

import psycopg
from psycopg import capabilities
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader, PyFormat, Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.types.numeric import NumericBinaryLoader
from sqlalchemy import Engine

from ztfdb.errors import QueryError
from ztfdb.store import csv_lines
from ztfdb.store.backends.connect_postgresql import check_powers
from ztfdb.store.backends.csv_postgresql import copied, copy_statement
from ztfdb.store.faults import unavailable
from ztfdb.store.statement import Rows, Statement, by_column
from ztfdb.texts import one_line

UPLOAD_SETTINGS = ("jit=off", "enable_bitmapscan=off", "enable_seqscan=off")
"""Settings of a transaction that joins uploaded positions by their cells: PostgreSQL overestimates their rows."""

TRUTH = "good, simulated and has_mask are 1 or 0 in the views, and true or false in the tables"

CHUNK = 1_000
"""Rows taken from the server at a time."""

PIECE = 10_000
"""Rows of a piece of columns."""

CSV_BYTES = 1 << 20
"""Bytes of CSV written at a time."""


def run(engine: Engine, statement: Statement, *, force: bool) -> tuple[list[str], list[list[Any]]]:
    """Run a statement; see `ztfdb.store.readonly.run_read_only`."""
    with _read_only(engine, statement, force=force) as connection:
        return _rows(connection, statement)


def csv(engine: Engine, statement: Statement, size: int, *, force: bool) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV; see `ztfdb.store.readonly.read_only_csv`."""
    with _read_only(engine, statement, force=force) as connection:
        names, types = _columns(connection, statement)
        yield csv_lines.header(names), 0
        mark = token_hex(8)
        copy = None if statement.values else copy_statement(connection, statement.body, types, mark)
        if copy is not None:
            yield from copied(connection, copy, mark, CSV_BYTES)
            return
        rows = psycopg.RawCursor(connection).stream(
            statement.numbered,
            list(statement.values.values()),
            binary=True,
            size=CHUNK if capabilities.has_stream_chunked() else 1,
        )
        while some := list(islice(rows, size)):
            yield csv_lines.lines(some), len(some)


@contextmanager
def _read_only(engine: Engine, statement: Statement, *, force: bool) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection in a READ ONLY transaction with a time limit; errors become typed ones."""
    try:
        pooled = engine.raw_connection()
    except psycopg.Error as exc:
        raise unavailable(exc) or QueryError(str(exc)) from exc
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        connection.rollback()
        _adapt(connection)
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        if not force:
            check_powers(connection)
        limit = str(max(1, round(statement.timeout_s * 1000)))
        connection.execute("select pg_catalog.set_config('statement_timeout', %s, true)", [limit])
        yield connection
    except psycopg.Error as exc:
        raise _typed_error(exc, statement.timeout_s) from exc
    finally:
        pooled.invalidate()  # closing rolls back, and discards changes of the session


def _rows(connection: psycopg.Connection[Any], statement: Statement) -> tuple[list[str], list[list[Any]]]:
    # A stream uses the extended protocol, which takes one statement, and never holds more than a chunk.
    cursor = psycopg.RawCursor(connection)
    values = list(statement.values.values())
    size = CHUNK if capabilities.has_stream_chunked() else 1
    rows: list[Any] = []
    for row in cursor.stream(statement.numbered, values, binary=True, size=size):
        rows.append(row)
        if len(rows) > statement.max_rows:
            raise QueryError(f"more than {statement.max_rows:,} rows: narrow the question, aggregate, or add a LIMIT")
    # a stream without rows does not return its columns
    names = [column.name for column in cursor.description or ()] if rows else _columns(connection, statement)[0]
    return names, by_column(rows, len(names))


def pieces(engine: Engine, statement: Statement, *, force: bool) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the names and columns of a statement in pieces; see `ztfdb.store.readonly.spooled`."""
    with _read_only(engine, statement, force=force) as connection:
        cursor = psycopg.RawCursor(connection)
        size = CHUNK if capabilities.has_stream_chunked() else 1
        rows = cursor.stream(statement.numbered, list(statement.values.values()), binary=True, size=size)
        some = list(islice(rows, PIECE))
        if not some:
            names = _columns(connection, statement)[0]
            yield names, by_column([], len(names))
        while some:
            names = [column.name for column in cursor.description or ()]
            yield names, by_column(some, len(names))
            some = list(islice(rows, PIECE))


def _columns(connection: psycopg.Connection[Any], statement: Statement) -> tuple[list[str], list[int]]:
    """Return names and types of a statement's columns by parsing it, without running it."""
    transformer = Transformer(connection)
    values = list(statement.values.values())
    transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    encoding = connection.info.encoding
    parsed = connection.pgconn.prepare(b"", statement.numbered.encode(encoding), transformer.types)
    if parsed.status == ExecStatus.FATAL_ERROR:
        raise psycopg.ProgrammingError(parsed.get_error_message(encoding))
    described = connection.pgconn.describe_prepared(b"")
    names = [(described.fname(k) or b"").decode(encoding) for k in range(described.nfields)]
    return names, [described.ftype(k) for k in range(described.nfields)]


class _UntypedBool(Dumper):
    """A boolean as 1 or 0 without a type: it compares with SQL's booleans and with the integers of the views."""

    oid = 0

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _BoolAsInt(Loader):
    """SQL's boolean as 1 or 0, the same as from SQLite."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"\x01")


class _Number(NumericBinaryLoader):
    """A numeric without decimals, such as the sum of bigints, as an integer; any other as a double."""

    def load(self, data: Buffer) -> int | float:  # type: ignore[override]
        value = super().load(data)
        whole = value.as_tuple().exponent == 0 and abs(value) < 1 << 63
        return int(value) if whole else float(value)


def _adapt(connection: psycopg.Connection[Any]) -> None:
    """Convert values in the same way as on SQLite."""
    connection.adapters.register_dumper(bool, _UntypedBool)
    connection.adapters.register_loader("bool", _BoolAsInt)
    connection.adapters.register_loader("numeric", _Number)


def _typed_error(exc: psycopg.Error, timeout_s: float) -> Exception:
    text = one_line(exc)
    if isinstance(exc, psycopg.errors.UndefinedFunction | psycopg.errors.DatatypeMismatch) and "boolean" in text:
        text += f" ({TRUTH})"
    if isinstance(exc, psycopg.errors.QueryCanceled):
        return QueryError(f"stopped after the time limit of {timeout_s:g} s")
    if isinstance(exc, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.InsufficientPrivilege):
        return QueryError(f"refused, only reading is allowed: {text}")
    return unavailable(exc) or QueryError(text)


def stream(engine: Engine, sql: str, values: Any, *, upload_join: bool, size: int) -> Iterator[Rows]:
    """Yield the rows of a client's statement in pieces; see `ztfdb.store.readonly_stream.Reader.pieces`."""
    pooled = engine.raw_connection()
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, psycopg.Connection)
        for setting in UPLOAD_SETTINGS if upload_join else UPLOAD_SETTINGS[:1]:
            connection.execute(f"set local {setting}".encode())
        cursor = psycopg.RawCursor(connection)
        rows: Rows = []
        for row in cursor.stream(sql, values, binary=True, size=size if capabilities.has_stream_chunked() else 1):
            rows.append(row)
            if len(rows) >= size:
                yield rows
                rows = []
        if rows:
            yield rows
    finally:
        pooled.close()  # rolls back
