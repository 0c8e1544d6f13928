"""PostgreSQL: binary COPY in, columns as bytes out, binary cursors, advisory locks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import ClauseElement, Engine, Executable
from sqlalchemy.orm import Session

from ztfdb.errors import StoreError
from ztfdb.store.columns import SqlColumn, numpy_columns
from ztfdb.store.engine import driver_errors

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
COPY_TAIL = b"\xff\xff"
CHUNK = 8_000
"""Rows packed at a time: a few MB, so that a bulk load never doubles its memory."""

_INDEX_ONLY = "select " + ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("jit", "enable_bitmapscan", "enable_seqscan")
)
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

    The server packs a column (`SEND`) in less time than it takes to send its rows one by one, the client has one
    value a column to look at instead of one a row, and the statement stays a prepared one.
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


def read_doubles(
    session: Session, statement: str, params: Mapping[str, Any], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Read each column as one string of bytes; see `ztfdb.store.backends.read_doubles`."""
    columns = read_bulk(session, statement, params, dict.fromkeys(names, "f8"), {})
    return np.stack(list(columns.values()))


@lru_cache(maxsize=256)
def _packed_query(
    statement: str, kinds: tuple[tuple[str, np.dtype[Any]], ...], nulls: tuple[tuple[str, int], ...]
) -> str:
    """Return the query, with psycopg's placeholders, whose one row has the columns of a statement as bytes."""
    fields = ", ".join(
        f"string_agg({SEND[kind.str[1:]]}({_not_null(name, kind, dict(nulls))}), ''::bytea)" for name, kind in kinds
    )
    return _pyformat(f"SELECT count(*), {fields} FROM ({statement}) AS q")


def memory(session: Session) -> dict[str, Any]:
    """Remember nothing: PostgreSQL has no cheap word on whether anything was committed."""
    return {}


def range_rows(columns: dict[str, list[int]]) -> tuple[str, dict[str, Any]]:
    """Return ``unnest`` of arrays; see `ztfdb.store.backends.range_rows`."""
    arrays = ", ".join(f"cast(:r_{name} as bigint[])" for name in columns)
    # as text, which the server reads faster than psycopg writes a list of numbers
    params = {f"r_{name}": "{" + ",".join(map(str, values)) + "}" for name, values in columns.items()}
    return f"unnest({arrays}) as r({', '.join(columns)})", params


def make_temporary(session: Session, name: str, dtypes: Mapping[str, Any]) -> None:
    """Make a table that is dropped with the transaction."""
    fields = ", ".join(f"{column} {_sql_type(np.dtype(dtype))} not null" for column, dtype in dtypes.items())
    connection = session.connection()
    connection.exec_driver_sql(f"drop table if exists pg_temp.{name}")
    connection.exec_driver_sql(f"create temporary table {name} ({fields}) on commit drop")


def prefer_index_only(session: Session) -> None:
    """Keep JIT (19 ms to plan), bitmaps and sequential scans out of this transaction, in one round trip."""
    with driver_errors():
        _driver(session).execute(_INDEX_ONLY)


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
