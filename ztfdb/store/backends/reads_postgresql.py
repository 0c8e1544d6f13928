"""Reading from PostgreSQL: columns as bytes, binary cursors, statements prepared on the connection."""

from __future__ import annotations

import itertools
import re
import select
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from ztfdb.arrays import Columns, IntArray
from ztfdb.errors import StoreError
from ztfdb.store.backends.connect_postgresql import POOLED
from ztfdb.store.backends.reads import Dtypes, Reads, SqlText
from ztfdb.store.columns import numpy_columns

_OFF = ("jit", "enable_seqscan", "enable_memoize")


class Settings:
    """Settings of the planner for one statement: they are changed before it and back after it, in its round trip.

    Parameters
    ----------
    **values : str
        By name, beside those that are always off.

    Attributes
    ----------
    names : frozenset of str
    change, restore : bytes
        Statements.
    """

    def __init__(self, **values: str) -> None:
        given = dict.fromkeys(_OFF, "off") | values
        self.names = frozenset(given)
        self.change = _set_config({name: f"'{value}'" for name, value in given.items()})
        self.restore = _set_config(dict.fromkeys(given, "null"))


def _set_config(values: Mapping[str, str]) -> bytes:
    """Return the statement that changes settings until the transaction ends; NULL is the connection's own value."""
    return ("select " + ", ".join(f"set_config('{name}', {value}, true)" for name, value in values.items())).encode()


BY_INDEX = Settings(enable_bitmapscan="off")
PREPARED = Settings(enable_bitmapscan="off", plan_cache_mode="force_generic_plan")
TABLE_ORDER = Settings(enable_bitmapscan="on", work_mem="64MB", max_parallel_workers_per_gather="0")
"""64 MB hold the map of a million pages. Of rows packed by several processes a third more time is spent, because each
passes on its bytes."""

_STATE = """
case when pg_is_in_recovery() then null else cast(pg_current_snapshot() as text) end,
cast(pg_current_xact_id_if_assigned() as text)"""
"""The snapshot, that is which transactions' work is visible: as long as it is the same, all rows are. And the id of
this transaction, if it has written. A standby's snapshots do not list the transactions in progress, so two with
different rows may look the same: they are NULL here."""

_Query = tuple[bytes, list[bytes]]
"""SQL with the protocol's placeholders, and the values for them as text."""

_NUMBERS = itertools.count()
"""Numbers of prepared statements: a name that failed is never reused, because the server may have it."""

_CLOCK = "select extract(epoch from clock_timestamp())"

_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")

SQL_TYPES = {"i2": "smallint", "i4": "integer", "i8": "bigint", "f4": "real", "f8": "double precision"}
SEND = {"i2": "int2send", "i4": "int4send", "i8": "int8send", "f4": "float4send", "f8": "float8send"}
"""PostgreSQL's functions that convert a number to its big-endian bytes."""


class PostgresqlReads(Reads):
    """PostgreSQL."""

    cheap_scans = False
    """Packing a row takes most of the time, wherever it is found; a row that is passed over takes a fifth of it."""

    _settings: Settings | None = None

    @property
    def concurrent_readers(self) -> int:
        """Two: while one result is transferred, the server computes the next, and the client is always busy.

        None behind a pooler: all questions may hold their first connections, and wait for each other for further ones.
        """
        return 0 if self._info.get(POOLED) else 2

    def read_columns(
        self, statement: SqlText, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read by a binary cursor."""
        text, values = self._text_and_values(statement, params)
        return numpy_columns(self._all_rows(text, values, binary=True), dtypes, nulls or {})

    def read_bulk(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read each column as one string of bytes.

        The client then handles one value per column instead of one per row: for 150,000 rows this takes 67 % of the
        time of a COPY, and 5 % of the client's time. Below a few thousand rows COPY is faster, because of the server's
        own work.
        """
        kinds = tuple((name, np.dtype(dtype)) for name, dtype in dtypes.items())
        text = _packed_query(statement, kinds, tuple((nulls or {}).items()))
        n_row, *packed = self._one_row(text, params)
        packed.reverse()  # each is freed when its column is made
        columns = {
            name: np.frombuffer(packed.pop() or b"", kind.newbyteorder(">")).astype(kind) for name, kind in kinds
        }
        if any(len(values) != n_row for values in columns.values()):
            raise StoreError("an integer column of the answer holds NULL: name its stand-in")
        return columns

    def read_few(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read all rows as one string of bytes, by a prepared statement.

        A few hundred rows take 50 % of the time of a COPY, which is planned again each time and sent row by row.
        """
        query, names, record = _few_query(statement, tuple(dtypes.items()), tuple((nulls or {}).items()))
        values = [str(params[name]).encode() for name in names]
        with self._errors():
            _, (n_row, packed, *state), *_ = self._one_row_of_each([(PREPARED.change, []), (query, values)])
        self._notes["ztfdb_state"] = tuple(None if value is None else value.decode() for value in state)  # for `memory`
        rows = _records(int.from_bytes(n_row or b"", "big"), packed, record)
        return {name: rows[name].astype(dtype) for name, dtype in dtypes.items()}

    def read_doubles(self, statement: str, params: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read all rows as one string of bytes."""
        text, _ = _row_query(statement, tuple((name, np.dtype("f8")) for name in names), ())
        n_row, packed = self._one_row(pyformat(text), params)
        values = _records(n_row, packed, np.dtype((">f8", (len(names),))))
        return np.ascontiguousarray(values.T, dtype=np.float64)

    def _one_row(self, text: str, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the one row of a statement."""
        (row,) = self._all_rows(text, params, binary=True)
        return row

    def _all_rows(self, text: Any, params: Mapping[str, Any] | None, *, binary: bool = False) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, without its cursor, which would hold them a second time."""
        connection = self._driver()
        with self._errors(), connection.cursor(binary=binary) as cursor:
            if self._settings is None:
                cursor.execute(text, params)
            else:
                with connection.pipeline():
                    connection.execute(self._settings.change)
                    cursor.execute(text, params)
                    connection.execute(self._settings.restore)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def memory(self) -> dict[str, Any]:
        """Return the connection's cache, emptied by any commit since."""
        state, info = self._notes.pop("ztfdb_state", None), self._info
        if self._writes:
            return {}  # uncommitted changes may be rolled back
        if state is None:
            with self._errors():
                state = self._driver().execute(f"select {_STATE}").fetchone()
        assert state is not None
        version, own = state
        if version is None or own is not None:
            return {}  # on a standby, or after a write in this transaction
        kept: tuple[str, dict[str, Any]] | None = info.get("ztfdb")
        if kept is None or kept[0] != version:
            kept = info["ztfdb"] = (version, {})
        return kept[1]

    def range_rows(self, **columns: IntArray) -> tuple[str, dict[str, Any]]:
        """Return ``unnest`` of arrays."""
        arrays = ", ".join(f"cast(:r_{name} as bigint[])" for name in columns)
        # as text, which the server parses faster than psycopg writes a list of numbers
        params = {f"r_{name}": "{" + ",".join(map(str, values.tolist())) + "}" for name, values in columns.items()}
        return f"unnest({arrays}) as r({', '.join(columns)})", params

    def chosen(self, table: str, key: str, ids: IntArray) -> tuple[str, str, dict[str, Any]]:
        """Compare with an array, for which the server makes one bitmap."""
        values = "{" + ",".join(map(str, ids.tolist())) + "}"
        return table, f"{table}.{key} = any(cast(:r_id as bigint[]))", {"r_id": values}

    def joined(self, rows: str, table: str, columns: Sequence[str], condition: str, *, alias: str | None = None) -> str:
        """Return a lateral join, whose order the planner cannot reverse.

        The planner estimates any range of cells as 0.5 % of the table, and so a few ranges as all of it.
        """
        name = alias or table
        fields = ", ".join(f"{name}.{column}" for column in columns)
        return (
            f"{rows} cross join lateral (select {fields} from {table} as {name} where {condition} offset 0) as {name}"
        )

    def by_index(self) -> Self:
        """Without JIT (19 ms to plan), bitmaps, sequential scans and memoize (ids do not repeat)."""
        return self._with(BY_INDEX)

    def in_table_order(self) -> Self:
        """With bitmaps; see `by_index` for what is turned off."""
        return self._with(TABLE_ORDER)

    def _with(self, settings: Settings) -> Self:
        made = type(self)(self.session)
        made._settings = settings
        return made

    def hold_snapshot(self, name: str | None) -> None:
        """Isolate the transaction."""
        with self._errors():
            self._driver().execute("set transaction isolation level repeatable read")
            if name is not None:
                plain = name.replace("'", "")  # made by a server; parameters are not allowed here
                self._driver().execute(f"set transaction snapshot '{plain}'")
        self.read_rows("select count(*) from archive_meta")

    def export_snapshot(self) -> str | None:
        """Return the server's name of this transaction's snapshot."""
        return str(self.read_rows("select pg_export_snapshot()")[0][0])

    def clock(self, host: Callable[[], float]) -> float:
        """Return the server's time."""
        return float(self.read_rows(_CLOCK)[0][0])

    def has_table(self, name: str) -> bool:
        """Look for a table that is found without its schema."""
        return bool(self.read_rows("select to_regclass(:name) is not null", {"name": name})[0][0])

    def read_rows(self, statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Read all rows."""
        return self._all_rows(pyformat(statement), params)

    def _text_and_values(self, statement: SqlText, params: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        if not isinstance(statement, str):
            raise TypeError("an expression of SQLAlchemy needs a session")
        return pyformat(statement), params

    def _one_row_of_each(self, queries: list[_Query]) -> list[tuple[bytes | None, ...]]:
        """Return the one row of each query, in binary, in one round trip, by statements prepared on the connection.

        Inside a transaction they are always prepared again, because a name that the server has lost would abort the
        transaction: psycopg deallocates all prepared statements, including these, after a rollback. So they are behind
        a pooler, which may have another server's connection for us each time.
        """
        connection = self._driver()
        if self._info.get(POOLED) and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            return _pipeline(connection, queries, {}, lambda: b"")
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            return _pipeline(connection, [*queries, (PREPARED.restore, [])], {}, lambda: b"")
        prepared = self._info.setdefault("ztfdb_prepared", {})
        try:
            return _pipeline(connection, queries, prepared, lambda: b"ztfdb_%d" % next(_NUMBERS))
        except psycopg.errors.InvalidSqlStatementName:
            prepared.clear()
            return _pipeline(connection, queries, prepared, lambda: b"ztfdb_%d" % next(_NUMBERS))


@lru_cache(maxsize=256)
def _packed_query(
    statement: str, kinds: tuple[tuple[str, np.dtype[Any]], ...], nulls: tuple[tuple[str, int], ...]
) -> str:
    """Return the query, with psycopg's placeholders, whose one row has the columns of a statement as bytes."""
    fields = ", ".join(
        f"string_agg({SEND[kind.str[1:]]}({_not_null(name, kind, dict(nulls))}), null)" for name, kind in kinds
    )
    return pyformat(f"SELECT count(*), {fields} FROM ({statement}) AS q")


@lru_cache(maxsize=256)
def _row_query(
    statement: str,
    kinds: tuple[tuple[str, np.dtype[Any]], ...],
    nulls: tuple[tuple[str, int], ...],
    more: tuple[str, ...] = (),
) -> tuple[str, np.dtype[Any]]:
    """Return the query whose one row is the number of a statement's rows and all of them as bytes, and their layout.

    The expressions of `more` follow.
    """
    fields = " || ".join(f"{SEND[kind.str[1:]]}({_not_null(name, kind, dict(nulls))})" for name, kind in kinds)
    answer = ", ".join(("count(*)", f"string_agg({fields}, null)", *more))
    return f"SELECT {answer} FROM ({statement}) AS q", np.dtype(
        [(name, kind.newbyteorder(">")) for name, kind in kinds]
    )


def _records(n_row: int, packed: bytes | None, record: np.dtype[Any]) -> NDArray[Any]:
    rows = np.frombuffer(packed or b"", record)
    if len(rows) != n_row:  # a row with a NULL is not in the string
        raise StoreError("an integer column of the answer holds NULL: name its stand-in")
    return rows


@lru_cache(maxsize=256)
def _few_query(
    statement: str, dtypes: tuple[tuple[str, Any], ...], nulls: tuple[tuple[str, int], ...]
) -> tuple[bytes, tuple[str, ...], np.dtype[Any]]:
    """Return the query of `_row_query`, with the state of the database, in the form of the protocol.

    Also return its parameters in their order, and the layout of a row.
    """
    kinds = tuple((name, np.dtype(dtype)) for name, dtype in dtypes)
    text, record = _row_query(statement, kinds, nulls, (_STATE,))
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text).encode(), names, record


def _pipeline(
    connection: psycopg.Connection[Any],
    queries: list[_Query],
    prepared: dict[bytes, bytes],
    new_name: Callable[[], bytes],
) -> list[tuple[bytes | None, ...]]:
    """Run queries by libpq directly: psycopg needs one more round trip, to begin a transaction, and twice the time.

    `prepared` are the names of queries on the server; new ones are added.
    """
    pgconn, new = connection.pgconn, {}
    try:
        pgconn.enter_pipeline_mode()
        for query, values in queries:
            name = prepared.get(query)
            if name is None:
                name = new[query] = new_name()
                pgconn.send_prepare(name, query)
            pgconn.send_query_prepared(name, values, result_format=1)
        pgconn.pipeline_sync()
        results = _results(pgconn)
        pgconn.exit_pipeline_mode()
    except BaseException:
        connection.close()  # results are still pending, so the connection cannot be used again
        raise
    for result in results:
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise psycopg.errors.error_from_result(result, encoding=connection.info.encoding)
    prepared |= new
    rows = [result for result in results if result.status == ExecStatus.TUPLES_OK]
    return [tuple(row.get_value(0, k) for k in range(row.nfields)) for row in rows]


def _results(pgconn: PGconn) -> list[PGresult]:
    """Return all results of a pipeline."""
    results: list[PGresult] = []
    while (result := _next_result(pgconn)) is None or result.status != ExecStatus.PIPELINE_SYNC:
        if result is not None:
            results.append(result)
        elif pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError("the connection is lost")
    return results


def _next_result(pgconn: PGconn) -> PGresult | None:
    """Return `pgconn.get_result()`, which, if it had to wait, would stop all other threads: it keeps Python's lock."""
    socket = select.poll()
    while (unsent := pgconn.flush()) or pgconn.is_busy():
        socket.register(pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        if any(events & ~select.POLLOUT for _, events in socket.poll()):
            pgconn.consume_input()
    return pgconn.get_result()


def _not_null(name: str, dtype: np.dtype[Any], nulls: Mapping[str, int]) -> str:
    field = f"cast(q.{name} as {sql_type(dtype)})"
    if dtype.kind == "f":
        return f"coalesce({field}, 'NaN')"
    return f"coalesce({field}, {int(nulls[name])})" if name in nulls else field


def sql_type(dtype: np.dtype[Any]) -> str:
    """Return PostgreSQL's name of a type of numbers."""
    return SQL_TYPES[dtype.str[1:]]


@lru_cache(maxsize=256)
def pyformat(text: str) -> str:
    """Return a text with psycopg's placeholders for its ``:name`` parameters."""
    return _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))
