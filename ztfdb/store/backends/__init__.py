"""What only one engine can say, behind one signature; the functions here pick the engine by the session's dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Executable, Table
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, IntArray
from ztfdb.store.columns import SqlColumn, sql_columns

Statement = str | Executable
"""SQL text with ``:name`` parameters (cast with ``cast(… as …)``, never ``::``), or an SQLAlchemy expression."""

Dtypes = Mapping[str, Any]
"""Names and numpy dtypes of an answer's columns, in the order of the selected expressions."""


class _WriteRows(Protocol):
    def __call__(self, session: Session, table: str, columns: list[SqlColumn], frozen: bool = False) -> None: ...


class Backend(Protocol):
    """The functions each engine's module has, with the signatures both share; see the functions below."""

    write_rows: _WriteRows
    write_mixed_rows: Callable[[Session, str, list[SqlColumn], Mapping[str, list[str | None]]], None]
    write_blobs: Callable[[Session, str, list[SqlColumn], str, list[bytes]], None]
    DUPLICATE_ERROR: type[Exception]
    CONCURRENT_READERS: int
    settle_table: Callable[[Engine, str], None]
    read_columns: Callable[[Session, Statement, Mapping[str, Any], Dtypes, Mapping[str, int]], Columns]
    read_bulk: Callable[[Session, str, Mapping[str, Any], Dtypes, Mapping[str, int]], Columns]
    read_few: Callable[[Session, str, Mapping[str, Any], Dtypes, Mapping[str, int]], Columns]
    read_doubles: Callable[[Session, str, Mapping[str, Any], tuple[str, ...]], NDArray[np.float64]]
    memory: Callable[[Session], dict[str, Any]]
    range_rows: Callable[[dict[str, list[int]]], tuple[str, dict[str, Any]]]
    joined: Callable[[str, str, str, Sequence[str], str], str]
    storage_problems: Callable[[Session], list[str]]
    make_temporary: Callable[[Session, str, Dtypes], None]
    prefer_index_only: Callable[[Session], None]
    limit_lock_wait: Callable[[Session, float | None], None]
    drop_key: Callable[[Session, Table], None]
    renew_table: Callable[[Session, Table], None]
    add_key: Callable[[Session, Table], None]
    lock_name: Callable[[Session, int], None]


def backend(session: Session) -> Backend:
    """Return the module of the session's engine."""
    return _module(session.get_bind().dialect.name)


@cache
def _module(dialect: str) -> Backend:
    return cast(Backend, import_module(f"{__name__}.{dialect}"))  # a SQLite file needs no driver of PostgreSQL


def copy_rows(
    session: Session,
    table: Table,
    columns: Columns,
    nulls: Mapping[str, BoolArray] | None = None,
    *,
    frozen: bool = False,
) -> None:
    """Append rows in bulk: binary COPY on PostgreSQL; a database in memory, or ``executemany`` of few, on SQLite.

    Parameters
    ----------
    session : Session
        Its transaction takes the rows; nothing is committed.
    table : Table
        A table whose columns are numbers.
    columns : mapping of str to ndarray, each of shape (n_row,)
        In the table's units; NaN is stored as NULL.
    nulls : mapping of str to ndarray of bool, optional
        NULL rows of integer columns.
    frozen : bool
        Write the rows as VACUUM leaves them, into a table that this transaction began with `renew_table`.

    Raises
    ------
    ValueError
        If a column does not fit the table.
    StoreError
        If the database refuses the rows.
    """
    ready = sql_columns(table, columns, nulls)
    if ready and len(ready[0].values):
        if len({len(column.values) for column in ready}) > 1:
            raise ValueError("the columns differ in length")
        backend(session).write_rows(session, table.name, ready, frozen)


def copy_mixed_rows(
    session: Session,
    table: Table,
    columns: Columns,
    nulls: Mapping[str, BoolArray] | None,
    texts: Mapping[str, list[str | None]],
) -> None:
    """Append rows that also have columns of text (or JSON as text): row by row, a third as fast as `copy_rows`.

    Parameters
    ----------
    session : Session
    table : Table
    columns : mapping of str to ndarray, each of shape (n_row,)
        The numeric columns, as in `copy_rows`.
    nulls : mapping of str to ndarray of bool, optional
    texts : mapping of str to list of str or None
        The others, of the same length.
    """
    ready = sql_columns(table, columns, nulls)
    if len({*(len(column.values) for column in ready), *map(len, texts.values())}) > 1:
        raise ValueError("the columns differ in length")
    if ready and len(ready[0].values):
        backend(session).write_mixed_rows(session, table.name, ready, texts)


def copy_blobs(session: Session, table: Table, keys: Mapping[str, IntArray], name: str, blobs: list[bytes]) -> None:
    """Append rows of integers and one column of bytes, which go as bytes and not as text.

    Parameters
    ----------
    session : Session
    table : Table
    keys : mapping of str to ndarray of int64, each of shape (n_row,)
    name : str
        The column of bytes.
    blobs : list of bytes
        Of the same length.
    """
    if any(len(values) != len(blobs) for values in keys.values()):
        raise ValueError("the columns differ in length")
    if blobs:
        backend(session).write_blobs(session, table.name, sql_columns(table, keys), name, blobs)


def is_duplicate(session: Session, exc: BaseException) -> bool:
    """Tell whether rows were refused because a unique key is taken."""
    return isinstance(exc.__cause__, backend(session).DUPLICATE_ERROR)


def settle_table(engine: Engine, table: Table) -> None:
    """Make a table that has grown by much ready for index-only scans; outside of any transaction.

    On PostgreSQL this is VACUUM (ANALYZE), which autovacuum would come to within minutes; SQLite needs nothing.
    """
    _module(engine.dialect.name).settle_table(engine, table.name)


def read_columns(
    session: Session,
    statement: Statement,
    params: Mapping[str, Any],
    dtypes: Dtypes,
    *,
    nulls: Mapping[str, int] | None = None,
) -> Columns:
    """Read the rows of a statement as columns (binary on PostgreSQL).

    Parameters
    ----------
    session : Session
    statement : str or Executable
        Selects one expression per entry of `dtypes`, in its order.
    params : mapping
        Values of the ``:name`` parameters of a text; Python numbers, or lists of them on PostgreSQL.
    dtypes : mapping of str to dtype
        Names and types of the answer; NULL is NaN in float columns.
    nulls : mapping of str to int, optional
        What NULL becomes in an integer column.

    Returns
    -------
    dict of ndarray, each of shape (n_row,)
        All columns also where there are no rows.
    """
    return backend(session).read_columns(session, statement, params, dtypes, nulls or {})


def read_bulk(
    session: Session,
    statement: str,
    params: Mapping[str, Any],
    dtypes: Dtypes,
    *,
    nulls: Mapping[str, int] | None = None,
) -> Columns:
    """Read many rows as columns: as bytes on PostgreSQL, a structured array on SQLite.

    Parameters
    ----------
    session : Session
    statement : str
        SQL text whose result has the columns `dtypes` names. The order of rows is not kept: sort afterwards.
    params : mapping
        Values of its ``:name`` parameters; many rows of integers come from `range_rows`, which a reader without the
        right to make temporary tables may use too.
    dtypes : mapping of str to dtype
        Numeric dtypes; NULL is NaN in float columns.
    nulls : mapping of str to int, optional
        What NULL becomes in an integer column.
    """
    return backend(session).read_bulk(session, statement, params, dtypes, nulls or {})


def read_few(
    session: Session,
    statement: str,
    params: Mapping[str, Any],
    dtypes: Dtypes,
    *,
    nulls: Mapping[str, int] | None = None,
) -> Columns:
    """Read some hundred rows as columns, `read_bulk` in a hurry: all in one round trip, as after `prefer_index_only`.

    On PostgreSQL the statement is prepared on its connection and kept there, so its text must be one of a few; what
    changes are its parameters. A thousand million bytes are the most that it can return.
    """
    return backend(session).read_few(session, statement, params, dtypes, nulls or {})


def read_doubles(
    session: Session, statement: str, params: Mapping[str, Any], names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Read rows of numbers as one matrix of doubles, which costs less than columns of many types.

    Parameters
    ----------
    session : Session
    statement : str
        SQL text whose result has the columns `names`: numbers that a double holds exactly.
    params : mapping
        Values of its ``:name`` parameters.
    names : tuple of str

    Returns
    -------
    ndarray, shape (n_column, n_row)
        One row per name; NULL is NaN. The order of the statement's rows is not kept.
    """
    return backend(session).read_doubles(session, statement, params, names)


def memory(session: Session) -> dict[str, Any]:
    """Return a place to keep what this transaction reads, with what earlier ones on its connection have kept.

    It is empty again after any commit, on whatever connection or by whatever process, so what it holds is what the
    database would say now, or said when `read_few` last read for this session. In writing transactions it is always
    empty.
    """
    return backend(session).memory(session)


def concurrent_readers(session: Session) -> int:
    """Return how many connections read at the same time in less than each other's time."""
    return backend(session).CONCURRENT_READERS


def range_rows(session: Session, **columns: IntArray) -> tuple[str, dict[str, Any]]:
    """Return a FROM item named ``r`` with the given integer columns as rows, and the parameters it needs.

    Put it first, then ``cross join image where image.image_id = r.id``: on SQLite the order of a CROSS JOIN is the
    order of its loops. For ranges see `joined`.
    """
    return backend(session).range_rows({name: values.tolist() for name, values in columns.items()})


def joined(
    session: Session, rows: str, table: str, columns: Sequence[str], condition: str, *, alias: str | None = None
) -> str:
    """Return the FROM text that looks rows of a table up for each row of another item, in this order always.

    Parameters
    ----------
    session : Session
    rows : str
        The first item, as from `range_rows`.
    table : str
        The table, under its own name or `alias` after that.
    columns : sequence of str
        What is used of it.
    condition : str
        On both, such as ``source.hpx29 >= r.lo and source.hpx29 < r.hi``.
    alias : str, optional
    """
    return backend(session).joined(rows, table, alias or table, columns, condition)


def load_temporary(session: Session, name: str, columns: Columns) -> None:
    """Make a temporary table and fill it in bulk; it goes with the transaction (PostgreSQL) or the next load.

    Parameters
    ----------
    session : Session
    name : str
        A plain identifier of ours.
    columns : mapping of str to ndarray, each of shape (n_row,)
        Integers and floats without NaN.
    """
    engine = backend(session)
    dtypes = {column: values.dtype for column, values in columns.items()}
    engine.make_temporary(session, name, dtypes)
    if any(len(values) for values in columns.values()):
        engine.write_rows(session, name, [SqlColumn(column, values, None) for column, values in columns.items()])


def prefer_index_only(session: Session) -> None:
    """Make this transaction answer from the covering index alone (DESIGN section 4); SQLite does anyway."""
    backend(session).prefer_index_only(session)


def storage_problems(session: Session) -> list[str]:
    """Return what SQLite's own check finds wrong in its file; nothing of PostgreSQL, whose server has its own tools."""
    return backend(session).storage_problems(session)


def limit_lock_wait(session: Session, seconds: float | None) -> None:
    """Let later statements of this transaction fail where another holds a table for longer; None: wait again.

    SQLite's writing transaction has all its locks already.
    """
    backend(session).limit_lock_wait(session, seconds)


def drop_key(session: Session, table: Table) -> None:
    """Drop the primary key of a table until `add_key`, for a bulk load; SQLite cannot, and keeps it."""
    backend(session).drop_key(session, table)


def renew_table(session: Session, table: Table) -> None:
    """Let a table, empty and locked by this transaction, start in it: what PostgreSQL asks for frozen rows.

    Rows that it holds all the same are lost there.
    """
    backend(session).renew_table(session, table)


def add_key(session: Session, table: Table) -> None:
    """Make the primary key of a table again.

    Raises
    ------
    StoreError
        If two rows have the same; `is_duplicate` is true of it.
    """
    backend(session).add_key(session, table)


def lock_name(session: Session, key: int) -> None:
    """Wait until no other transaction holds `key`, and hold it until this one ends.

    Two processes that store the same image queue up here; on SQLite the write transaction already did.
    """
    backend(session).lock_name(session, key)
