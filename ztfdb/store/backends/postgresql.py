"""PostgreSQL: binary COPY in and out, columns as bytes, binary cursors, advisory locks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import ClauseElement, Engine, Executable, Table
from sqlalchemy.orm import Session

from ztfdb.errors import StoreError
from ztfdb.store.columns import SqlColumn, numpy_columns
from ztfdb.store.engine import WRITE, driver_errors

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
COPY_TAIL = b"\xff\xff"
CHUNK = 8_000
"""Rows packed at a time: a few MB, so that a bulk load never doubles its memory."""

_INDEX_ONLY = "select " + ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("jit", "enable_bitmapscan", "enable_seqscan", "enable_memoize")
)
_STATE = "select pg_current_snapshot()::text, pg_current_xact_id_if_assigned()::text"
"""Which transactions' work is visible: where that is as it was, all that there is to read is. And the number of
this one, if it has written."""

DUPLICATE_ERROR = psycopg.errors.UniqueViolation

SQL_TYPES = {"i2": "smallint", "i4": "integer", "i8": "bigint", "f4": "real", "f8": "double precision"}
SEND = {"i2": "int2send", "i4": "int4send", "i8": "int8send", "f4": "float4send", "f8": "float8send"}
"""PostgreSQL's functions that turn a number into its big-endian bytes."""


def write_rows(session: Session, table: str, columns: list[SqlColumn]) -> None:
    """Append rows by binary COPY; see `ztfdb.store.backends.copy_rows`."""
    names = ", ".join(column.name for column in columns)
    n_row = len(columns[0].values)
    text = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with driver_errors(), _driver(session).cursor() as cursor, cursor.copy(text) as copy:
        copy.write(COPY_HEAD)
        for start in range(0, n_row, CHUNK):
            copy.write(pack(columns, start, min(start + CHUNK, n_row)))
        copy.write(COPY_TAIL)


def write_mixed_rows(
    session: Session, table: str, columns: list[SqlColumn], texts: Mapping[str, list[str | None]]
) -> None:
    """Append rows by COPY in text format; see `ztfdb.store.backends.copy_mixed_rows`."""
    names = ", ".join([*(column.name for column in columns), *texts])
    rows = zip(*(column.to_list() for column in columns), *texts.values(), strict=True)
    text = f"COPY {table} ({names}) FROM STDIN"
    with driver_errors(), _driver(session).cursor() as cursor, cursor.copy(text) as copy:
        for row in rows:
            copy.write_row(row)


def write_blobs(session: Session, table: str, keys: list[SqlColumn], name: str, blobs: list[bytes]) -> None:
    """Append rows by binary COPY; see `ztfdb.store.backends.copy_blobs`."""
    names = ", ".join([*(key.name for key in keys), name])
    text = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with driver_errors(), _driver(session).cursor() as cursor, cursor.copy(text) as copy:
        copy.set_types([*(SQL_TYPES[key.values.dtype.str[1:]] for key in keys), "bytea"])
        for row in zip(*(key.values.tolist() for key in keys), blobs, strict=True):
            copy.write_row(row)


def settle_table(engine: Engine, table: str) -> None:
    """Vacuum and analyse; see `ztfdb.store.backends.settle_table`."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Rows whose commit is not on disk yet cannot be marked visible to all. Where commits are asynchronous, the one
        # of ANALYZE, made synchronous, brings those before it there.
        connection.exec_driver_sql("set synchronous_commit = on")
        connection.exec_driver_sql(f"analyze {table}")
        connection.exec_driver_sql(f"vacuum {table}")
        connection.exec_driver_sql("reset synchronous_commit")


def pack(columns: list[SqlColumn], start: int, stop: int) -> bytes:
    """Return rows ``start`` to ``stop`` in the format of binary COPY.

    Every field is its length (int32, -1 for NULL) and its big-endian bytes; the rows are laid out as if nothing were
    NULL, then the payload bytes of NULL fields are cut out.
    """
    record = record_dtype({column.name: column.values.dtype for column in columns})
    rows = np.empty(stop - start, record)
    rows["n_field"] = len(columns)
    keep: NDArray[np.bool_] | None = None
    for column in columns:
        rows[f"{column.name}:length"] = column.values.dtype.itemsize
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


def read_columns(
    session: Session,
    statement: str | Executable,
    params: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    nulls: Mapping[str, int],
) -> dict[str, NDArray[Any]]:
    """Read by a binary cursor; see `ztfdb.store.backends.read_columns`."""
    text, values = _text_and_values(session, statement, params)
    with driver_errors(), _driver(session).cursor(binary=True) as cursor:
        rows = cursor.execute(text, values).fetchall()
    return numpy_columns(rows, dtypes, nulls)


def read_bulk(
    session: Session,
    statement: str,
    params: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    nulls: Mapping[str, int],
) -> dict[str, NDArray[Any]]:
    """Read each column as one string of bytes; see `ztfdb.store.backends.read_bulk`.

    The client has one value a column to look at instead of one a row: 150,000 rows take two thirds of the time of a
    COPY, and a twentieth of its client's. Below some thousand rows the server's own work makes COPY the faster one.
    """
    kinds = tuple((name, np.dtype(dtype)) for name, dtype in dtypes.items())
    text = _packed_query(statement, kinds, tuple(nulls.items()))
    with driver_errors(), _driver(session).cursor(binary=True) as cursor:
        row = cursor.execute(text, params).fetchone()
    assert row is not None
    columns = {
        name: np.frombuffer(packed or b"", kind.newbyteorder(">")).astype(kind)
        for (name, kind), packed in zip(kinds, row[1:], strict=True)
    }
    if any(len(values) != row[0] for values in columns.values()):
        raise StoreError("an integer column of the answer holds NULL: name its stand-in")
    return columns


@lru_cache(maxsize=256)
def _packed_query(
    statement: str, kinds: tuple[tuple[str, np.dtype[Any]], ...], nulls: tuple[tuple[str, int], ...]
) -> str:
    """Return the query, with psycopg's placeholders, whose one row has the columns of a statement as bytes."""
    fields = ", ".join(
        f"string_agg({SEND[kind.str[1:]]}({_not_null(name, kind, dict(nulls))}), ''::bytea)" for name, kind in kinds
    )
    return _pyformat(f"SELECT count(*), {fields} FROM ({statement}) AS q")


def read_few(
    session: Session,
    statement: str,
    params: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    nulls: Mapping[str, int],
    index_only: bool,
) -> dict[str, NDArray[Any]]:
    """Read by binary COPY; see `ztfdb.store.backends.read_few`."""
    kinds = tuple((name, np.dtype(dtype)) for name, dtype in dtypes.items())
    text, record = _copy_query(statement, kinds, tuple(nulls.items()))
    first = f"{_INDEX_ONLY};" if index_only else ""
    with driver_errors():
        buffer, state = copy_out(_driver(session), text, params, first=first, last=f";{_STATE}")
    session.info[_STATE] = state  # for `memory`, which would have to ask
    rows = _records(buffer, record)
    return {name: rows[name].astype(kind) for name, kind in kinds}


def read_doubles(
    session: Session, statement: str, params: Mapping[str, Any], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Read by binary COPY; see `ztfdb.store.backends.read_doubles`."""
    text, _ = _copy_query(statement, tuple((name, np.dtype("f8")) for name in names), ())
    field = np.dtype([("length", ">i4"), ("value", ">f8")])
    record = np.dtype([("n_field", ">i2"), ("fields", field, (len(names),))])
    with driver_errors():
        buffer, _ = copy_out(_driver(session), text, params)
    return np.ascontiguousarray(_records(buffer, record)["fields"]["value"].T, dtype=np.float64)


@lru_cache(maxsize=256)
def _copy_query(
    statement: str, kinds: tuple[tuple[str, np.dtype[Any]], ...], nulls: tuple[tuple[str, int], ...]
) -> tuple[str, np.dtype[Any]]:
    """Return the COPY, with psycopg's placeholders, that sends a statement's rows without NULLs, and their layout."""
    fields = ", ".join(_not_null(name, kind, dict(nulls)) for name, kind in kinds)
    text = f"COPY (SELECT {fields} FROM ({statement}) AS q) TO STDOUT (FORMAT BINARY)"
    return _pyformat(text), record_dtype(dict(kinds))


def _records(buffer: bytes, record: np.dtype[Any]) -> NDArray[Any]:
    n_row, rest = divmod(len(buffer) - len(COPY_HEAD) - len(COPY_TAIL), record.itemsize)
    if rest:
        # Fields have one size each and nothing is NULL, so this is a column whose NULLs were not named.
        raise StoreError("an integer column of the answer holds NULL: name its stand-in")
    return np.frombuffer(buffer, record, n_row, offset=len(COPY_HEAD))


def copy_out(
    connection: psycopg.Connection[Any], text: str, params: Mapping[str, Any], *, first: str = "", last: str = ""
) -> tuple[bytes, tuple[str | None, ...]]:
    """Return all that a COPY TO STDOUT sends, and the row of the statement `last`.

    `first` is executed before, `last` after it, all in one round trip. libpq is asked directly: psycopg's own iteration
    over a COPY costs 3 µs of Python a row, five times the rest.
    """
    query = psycopg.ClientCursor(connection).mogrify(text, params)  # COPY takes no parameters from the protocol
    encoding = connection.info.encoding
    try:
        rows, result = _copied(connection.pgconn, f"{first}{query}{last}".encode(encoding))
    except BaseException:
        connection.close()  # stopped amid the rows: nothing else can be asked on this connection
        raise
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result, encoding=encoding)
    values = [result.get_value(0, k) for k in range(result.nfields)] if last else []
    return b"".join(rows), tuple(None if value is None else value.decode(encoding) for value in values)


def _copied(pgconn: PGconn, query: bytes) -> tuple[list[bytes], PGresult]:
    """Return what a COPY among the statements sends, and the last result, the error where there is one."""
    result = pgconn.exec_(query)
    rows: list[bytes] = []
    if result.status == ExecStatus.COPY_OUT:
        size, data = pgconn.get_copy_data(0)
        while size > 0:
            rows.append(bytes(data))
            size, data = pgconn.get_copy_data(0)
        while (more := pgconn.get_result()) is not None:
            result = more
    return rows, result


def memory(session: Session) -> dict[str, Any]:
    """Return the connection's memory, emptied by any commit since; see `ztfdb.store.backends.memory`."""
    connection = session.connection()
    state = session.info.pop(_STATE, None)
    if connection.get_execution_options().get(WRITE, False):
        return {}  # what is written here may yet be rolled back
    if state is None:
        with driver_errors():
            state = _driver(session).execute(_STATE).fetchone()
    assert state is not None
    version, own = state
    if own is not None:
        return {}  # something was written here all the same
    kept: tuple[str, dict[str, Any]] | None = connection.info.get("ztfdb")
    if kept is None or kept[0] != version:
        kept = connection.info["ztfdb"] = (version, {})
    return kept[1]


def range_rows(columns: dict[str, list[int]]) -> tuple[str, dict[str, Any]]:
    """Return ``unnest`` of arrays; see `ztfdb.store.backends.range_rows`."""
    arrays = ", ".join(f"cast(:r_{name} as bigint[])" for name in columns)
    # as text, which the server reads faster than psycopg writes a list of numbers
    params = {f"r_{name}": "{" + ",".join(map(str, values)) + "}" for name, values in columns.items()}
    return f"unnest({arrays}) as r({', '.join(columns)})", params


def joined(rows: str, table: str, alias: str, columns: Sequence[str], condition: str) -> str:
    """Return a lateral join that the planner cannot turn round; see `ztfdb.store.backends.joined`.

    It takes any range of cells for half a per cent of the table, and so a handful of ranges for all of it.
    """
    fields = ", ".join(f"{alias}.{name}" for name in columns)
    return f"{rows} cross join lateral (select {fields} from {table} as {alias} where {condition} offset 0) as {alias}"


def make_temporary(session: Session, name: str, dtypes: Mapping[str, Any]) -> None:
    """Make a table that is dropped with the transaction."""
    fields = ", ".join(f"{column} {_sql_type(np.dtype(dtype))} not null" for column, dtype in dtypes.items())
    connection = session.connection()
    connection.exec_driver_sql(f"drop table if exists pg_temp.{name}")
    connection.exec_driver_sql(f"create temporary table {name} ({fields}) on commit drop")


def prefer_index_only(session: Session) -> None:
    """Keep JIT (19 ms to plan), bitmaps, sequential scans and memoizing of ids that come once out of this transaction.

    All in one round trip.
    """
    with driver_errors():
        _driver(session).execute(_INDEX_ONLY)


def limit_lock_wait(session: Session, seconds: float | None) -> None:
    """Set this transaction's ``lock_timeout``."""
    wait = "default" if seconds is None else f"'{round(1000 * seconds)}ms'"
    session.connection().exec_driver_sql(f"set local lock_timeout to {wait}")


def drop_key(session: Session, table: Table) -> None:
    """Drop the constraint, and its index with it."""
    session.connection().exec_driver_sql(f"alter table {table.name} drop constraint {table.primary_key.name}")


def add_key(session: Session, table: Table) -> None:
    """Make the constraint of all rows."""
    names = ", ".join(column.name for column in table.primary_key.columns)
    add = f"alter table {table.name} add constraint {table.primary_key.name} primary key ({names})"
    with driver_errors():
        _driver(session).execute(add)


def lock_name(session: Session, key: int) -> None:
    """Hold a transaction's advisory lock."""
    session.connection().exec_driver_sql("select pg_advisory_xact_lock(%(key)s)", {"key": int(key)})


def record_dtype(dtypes: Mapping[str, np.dtype[Any]]) -> np.dtype[Any]:
    """Return the layout of one row of binary COPY without NULLs."""
    fields = [("n_field", ">i2")]
    for name, dtype in dtypes.items():
        fields += [(f"{name}:length", ">i4"), (name, dtype.newbyteorder(">").str)]
    return np.dtype(fields)


def _not_null(name: str, dtype: np.dtype[Any], nulls: Mapping[str, int]) -> str:
    field = f"cast(q.{name} as {_sql_type(dtype)})"
    if dtype.kind == "f":
        return f"coalesce({field}, 'NaN')"
    return f"coalesce({field}, {int(nulls[name])})" if name in nulls else field


def _sql_type(dtype: np.dtype[Any]) -> str:
    return SQL_TYPES[dtype.str[1:]]


def _driver(session: Session) -> psycopg.Connection[Any]:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def _text_and_values(
    session: Session, statement: str | Executable, params: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]]:
    if isinstance(statement, str):
        return _pyformat(statement), params
    assert isinstance(statement, ClauseElement)
    compiled = statement.compile(dialect=session.get_bind().dialect, compile_kwargs={"render_postcompile": True})
    return str(compiled), compiled.construct_params(dict(params)) or {}


@lru_cache(maxsize=256)
def _pyformat(text: str) -> str:
    return re.sub(r"(?<!:):([a-z_]\w*)", r"%(\1)s", text.replace("%", "%%"))
