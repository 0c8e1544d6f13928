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
from sqlalchemy import ClauseElement, Engine, Executable, Table
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from ztfdb.arrays import Columns
from ztfdb.errors import StoreError
from ztfdb.store.backends.sqlite_feed import feed, is_fed
from ztfdb.store.columns import SqlColumn, numpy_columns
from ztfdb.store.engine import FEEDS, WRITE, driver_errors
from ztfdb.store.typed import check_objects

DUPLICATE_ERROR = sqlite3.IntegrityError

CONCURRENT_READERS = 1
"""It reads in this process: two would wait for each other at every row."""

SQL_TYPES = {"i": "integer", "f": "real"}

HAS_FEEDS = hasattr(sqlite3.Connection, "deserialize")
"""Python may have been built without; then rows are bound one by one."""

MOST_PROBLEMS = 100
"""Lines of ``integrity_check`` that are shown: a file with more is as damaged as one with these."""

MOST_FEEDS = 6
"""A transaction cannot detach what it has read; SQLite attaches ten at a time, by default."""


def write_rows(session: Session, table: str, columns: list[SqlColumn], frozen: bool = False) -> None:
    """Append rows, many of them by a database in memory; see `ztfdb.store.backends.copy_rows`."""
    names = ", ".join(column.name for column in columns)
    feeds: list[str] = session.connection().info.setdefault(FEEDS, [])
    if HAS_FEEDS and len(feeds) < MOST_FEEDS and is_fed(columns):
        name = f"feed{len(feeds)}"
        fields = ", ".join(f"c{k}" for k in range(len(columns)))
        with driver_errors():
            _driver(session).execute(f"attach ':memory:' as {name}")
            feeds.append(name)
            _driver(session).deserialize(memoryview(feed(columns)).cast("B"), name=name)  # type: ignore[arg-type]
            _driver(session).execute(f"insert into {table} ({names}) select {fields} from {name}.feed")
        return
    marks = ", ".join("?" * len(columns))
    rows = zip(*(column.to_list() for column in columns), strict=True)
    with driver_errors():
        _driver(session).executemany(f"insert into {table} ({names}) values ({marks})", rows)


def write_mixed_rows(
    session: Session, table: str, columns: list[SqlColumn], texts: Mapping[str, list[str | None]]
) -> None:
    """Append rows by ``executemany``; see `ztfdb.store.backends.copy_mixed_rows`."""
    names = ", ".join([*(column.name for column in columns), *texts])
    marks = ", ".join("?" * (len(columns) + len(texts)))
    rows = zip(*(column.to_list() for column in columns), *texts.values(), strict=True)
    with driver_errors():
        _driver(session).executemany(f"insert into {table} ({names}) values ({marks})", rows)


def write_blobs(session: Session, table: str, keys: list[SqlColumn], name: str, blobs: list[bytes]) -> None:
    """Append rows by ``executemany``; see `ztfdb.store.backends.copy_blobs`."""
    names = ", ".join([*(key.name for key in keys), name])
    marks = ", ".join("?" * (len(keys) + 1))
    with driver_errors():
        rows = zip(*(key.values.tolist() for key in keys), blobs, strict=True)
        _driver(session).executemany(f"insert into {table} ({names}) values ({marks})", rows)


def settle_table(engine: Engine, table: str) -> None:
    """Do nothing: a covering index always answers alone."""


def read_columns(
    session: Session,
    statement: str | Executable,
    params: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    nulls: Mapping[str, int],
) -> Columns:
    """Read all rows; see `ztfdb.store.backends.read_columns`."""
    text, values = _text_and_values(session, statement, params)
    with driver_errors():
        rows = _driver(session).execute(text, values).fetchall()
    for k, (name, dtype) in enumerate(dtypes.items()):
        if (kind := np.dtype(dtype)).kind in "Ob":
            check_objects(name, (row[k] for row in rows), kind)
    with _numbers():
        return numpy_columns(rows, dtypes, nulls)


def read_bulk(
    session: Session,
    statement: str,
    params: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    nulls: Mapping[str, int],
) -> Columns:
    """Read into one structured array; see `ztfdb.store.backends.read_bulk`."""
    fields = ", ".join(f"coalesce(q.{n}, {int(nulls[n])})" if n in nulls else f"q.{n}" for n in dtypes)
    record = np.dtype([(name, np.dtype(dtype)) for name, dtype in dtypes.items()])
    with driver_errors():
        cursor = _driver(session).execute(f"select {fields} from ({statement}) as q", params)
        with _numbers():
            rows = np.fromiter(cursor, record)  # turns None into NaN in the float fields
    return {name: np.ascontiguousarray(rows[name]) for name in dtypes}


read_few = read_bulk


@contextmanager
def _numbers() -> Iterator[None]:
    """Turn what numpy says of a value of another type into a typed error: SQLite stores any value in any column."""
    try:
        yield
    except (ValueError, TypeError, OverflowError) as exc:
        raise StoreError(f"SQLite: a stored value is of another type than its column: {exc}") from exc


def read_doubles(
    session: Session, statement: str, params: Mapping[str, Any], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Read into one array; see `ztfdb.store.backends.read_doubles`."""
    with driver_errors():
        cursor = _driver(session).execute(statement, params)
        with _numbers():
            values = np.fromiter(chain.from_iterable(cursor), np.float64)  # None becomes NaN
    return np.ascontiguousarray(values.reshape(-1, len(names)).T)


def memory(session: Session) -> dict[str, Any]:
    """Return the connection's memory, emptied by any commit since; see `ztfdb.store.backends.memory`."""
    connection = session.connection()
    if connection.get_execution_options().get(WRITE, False):
        return {}  # what is written here may yet be rolled back
    driver = _driver(session)
    # the first number changes with every commit of others that this transaction sees, the second with own changes
    version = (driver.execute("PRAGMA data_version").fetchone()[0], driver.total_changes)
    kept: tuple[tuple[int, int], dict[str, Any]] | None = connection.info.get("ztfdb")
    if kept is None or kept[0] != version:
        kept = connection.info["ztfdb"] = (version, {})
    return kept[1]


def range_rows(columns: dict[str, list[int]]) -> tuple[str, dict[str, Any]]:
    """Return ``json_each`` of an array of rows; see `ztfdb.store.backends.range_rows`."""
    if len(columns) == 1:  # twice as fast as rows of one
        ((name, values),) = columns.items()
        return f"(select j.value as {name} from json_each(:r_rows) as j) as r", {"r_rows": json.dumps(values)}
    if len(columns) == 2:  # twice as fast too: the first is the name of the second, names may come again
        (first, keys), (second, values) = columns.items()
        members = ",".join([f'"{key}":{value}' for key, value in zip(keys, values, strict=True)])
        fields = f"cast(j.key as integer) as {first}, j.value as {second}"
        return f"(select {fields} from json_each(:r_rows) as j) as r", {"r_rows": f"{{{members}}}"}
    fields = ", ".join(f"json_extract(j.value, '$[{k}]') as {name}" for k, name in enumerate(columns))
    rows = json.dumps(list(zip(*columns.values(), strict=True)), separators=(",", ":"))
    return f"(select {fields} from json_each(:r_rows) as j) as r", {"r_rows": rows}


def joined(rows: str, table: str, alias: str, columns: Sequence[str], condition: str) -> str:
    """Return a CROSS JOIN, whose order is that of its loops; see `ztfdb.store.backends.joined`."""
    return f"{rows} cross join {table} as {alias} on {condition}"


def make_temporary(session: Session, name: str, dtypes: Mapping[str, Any]) -> None:
    """Make a table in the connection's own temporary database."""
    fields = ", ".join(f"{column} {SQL_TYPES[np.dtype(dtype).kind]} not null" for column, dtype in dtypes.items())
    connection = session.connection()
    connection.exec_driver_sql(f"drop table if exists temp.{name}")
    connection.exec_driver_sql(f"create temporary table {name} ({fields})")


def prefer_index_only(session: Session) -> None:
    """Do nothing: SQLite takes a covering index wherever there is one."""


def storage_problems(session: Session) -> list[str]:
    """Return what ``integrity_check`` finds; see `ztfdb.store.backends.storage_problems`."""
    try:
        rows = _driver(session).execute(f"pragma integrity_check({MOST_PROBLEMS})").fetchall()
    except sqlite3.DatabaseError as exc:
        if type(exc) is not sqlite3.DatabaseError:  # a lock, a disk: nothing that the file says
            with driver_errors():
                raise
        return [str(exc)]
    return [] if rows == [("ok",)] else [line for (text,) in rows for line in str(text).splitlines()]


def limit_lock_wait(session: Session, seconds: float | None) -> None:
    """Do nothing: a writing transaction holds the only write lock there is."""


def drop_key(session: Session, table: Table) -> None:
    """Do nothing: the key is the table."""


def renew_table(session: Session, table: Table) -> None:
    """Do nothing: no row is ever vacuumed."""


def add_key(session: Session, table: Table) -> None:
    """Do nothing; see `drop_key`."""


def lock_name(session: Session, key: int) -> None:
    """Do nothing: a writing transaction holds the only write lock there is."""


def _driver(session: Session) -> sqlite3.Connection:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


def _text_and_values(session: Session, statement: str | Executable, params: Mapping[str, Any]) -> tuple[str, Any]:
    if isinstance(statement, str):
        return statement, params
    assert isinstance(statement, ClauseElement)
    compiled: Compiled = statement.compile(
        dialect=session.get_bind().dialect, compile_kwargs={"render_postcompile": True}
    )
    assert isinstance(compiled, SQLCompiler)
    values = compiled.construct_params(dict(params))
    return str(compiled), tuple(values[name] for name in compiled.positiontup or ())
