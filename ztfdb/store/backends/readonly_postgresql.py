"""Read-only SQL on PostgreSQL: one statement, a READ ONLY transaction with a time limit, always rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

from ztfdb.errors import QueryError
from ztfdb.store import csv_lines
from ztfdb.store.backends.csv_postgresql import copied, copy_statement
from ztfdb.store.faults import unavailable
from ztfdb.store.sql_columns import as_array, joined
from ztfdb.store.statement import Rows, Rowset, Statement, by_column
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

_POWERS = """
select exists (select from pg_catalog.pg_roles where rolname in (session_user, current_user) and rolsuper),
       pg_catalog.pg_has_role(session_user, 'pg_execute_server_program', 'member')
       or pg_catalog.pg_has_role(session_user, 'pg_write_server_files', 'member')
"""

_LIMITS = """
select pg_catalog.set_config('statement_timeout', %s, true),
       pg_catalog.set_config('client_connection_check_interval',
                             case when pg_catalog.version() ~* 'windows|mingw|visual c' then '0' else '5s' end, true)
"""
"""The second one ends a statement whose process was killed, which a server else notices when it sends rows. Windows has
no way to look."""


def run(connection: psycopg.Connection[Any], statement: Statement, *, force: bool) -> tuple[list[str], list[list[Any]]]:
    """Run a statement; see `ztfdb.store.readonly.run_read_only`."""
    names: list[str] = []
    parts: list[list[Any]] = []
    n_row = 0
    for given, columns in pieces(connection, statement, force=force):
        names = given
        if (n_row := n_row + len(columns[0]) if columns else 0) > statement.max_rows:
            raise QueryError(f"more than {statement.max_rows:,} rows: narrow the question, aggregate, or add a LIMIT")
        parts.append(columns)
    if len(parts) == 1:
        return names, parts[0]
    return names, [joined(list(map(as_array, column))) for column in zip(*parts, strict=True)]


def csv(
    connection: psycopg.Connection[Any], statement: Statement, size: int, *, force: bool
) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV; see `ztfdb.store.readonly.read_only_csv`."""
    with _read_only(connection, statement, force=force):
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
def _read_only(connection: psycopg.Connection[Any], statement: Statement, *, force: bool) -> Iterator[None]:
    """Begin a READ ONLY transaction with a time limit; errors become typed ones."""
    try:
        _adapt(connection)
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        _check_powers(connection, force)
        limit = str(max(1, round(statement.timeout_s * 1000)))
        connection.execute(_LIMITS, [limit])
        yield
    except psycopg.Error as exc:
        raise _typed_error(exc, statement.timeout_s) from exc


def check_reader(connection: psycopg.Connection[Any]) -> None:
    """Refuse a role that could write; see `ztfdb.store.readonly.check_reader`."""
    _check_powers(connection, force=False)


def _check_powers(connection: psycopg.Connection[Any], force: bool) -> None:
    """Refuse roles that a READ ONLY transaction does not restrict."""
    superuser, server_files = connection.execute(_POWERS).fetchone() or (True, True)
    if force or not (superuser or server_files):
        return
    power = "a superuser" if superuser else "a role that may write files or run programs on the server"
    raise QueryError(
        f"{connection.info.user!r} is {power}, which read-only SQL is not run as: connect as a role that may "
        "only read (GRANT SELECT), or force it"
    )


def pieces(
    connection: psycopg.Connection[Any], statement: Statement, *, force: bool
) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the names and columns of a statement in pieces; see `ztfdb.store.readonly.spooled`."""
    with _read_only(connection, statement, force=force):
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


class _JsonAsText(Loader):
    """JSON as the text that was stored, the same as from SQLite."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        return bytes(data).removeprefix(b"\x01").decode()  # the version of jsonb's format


def _adapt(connection: psycopg.Connection[Any]) -> None:
    """Convert values in the same way as on SQLite."""
    connection.adapters.register_dumper(bool, _UntypedBool)
    connection.adapters.register_loader("bool", _BoolAsInt)
    connection.adapters.register_loader("numeric", _Number)
    connection.adapters.register_loader("json", _JsonAsText)
    connection.adapters.register_loader("jsonb", _JsonAsText)


def _typed_error(exc: psycopg.Error, timeout_s: float) -> Exception:
    text = one_line(exc)
    if isinstance(exc, psycopg.errors.UndefinedFunction | psycopg.errors.DatatypeMismatch) and "boolean" in text:
        text += f" ({TRUTH})"
    if isinstance(exc, psycopg.errors.QueryCanceled):
        return QueryError(f"stopped after the time limit of {timeout_s:g} s")
    if isinstance(exc, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.InsufficientPrivilege):
        return QueryError(f"refused, only reading is allowed: {text}")
    return unavailable(exc) or QueryError(text)


def stream(
    connection: psycopg.Connection[Any],
    sql: str,
    values: Any,
    uploads: Sequence[Rowset],
    *,
    upload_join: bool,
    size: int,
) -> Iterator[Rows]:
    """Yield the rows of a client's statement in pieces; its uploads are among its values."""
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
