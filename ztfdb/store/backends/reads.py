"""The base class of the engines for reading; it does not import SQLAlchemy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.store.connections import Reading
from ztfdb.store.faults import driver_errors

if TYPE_CHECKING:
    from sqlalchemy import Executable
    from sqlalchemy.orm import Session

SqlText: TypeAlias = "str | Executable"
"""SQL text with ``:name`` parameters (cast with ``cast(… as …)``, never ``::``), or an SQLAlchemy expression."""

Dtypes = Mapping[str, Any]
"""Names and numpy dtypes of a result's columns, in the order of the selected expressions."""

WRITE = "ztfdb_write"
"""Execution option of a transaction that writes; on SQLite it begins with BEGIN IMMEDIATE."""


class Reads(ABC):
    """The reading part of the engine of one transaction; `ztfdb.store.backends.reads` returns it.

    Parameters
    ----------
    session : Session or Reading
        A session of SQLAlchemy, or a transaction of `ztfdb.store.connections`, which only reads.

    Attributes
    ----------
    concurrent_readers : int
        Number of further connections up to which reading at the same time is faster; 0 if there may be no further ones.
    cheap_scans : bool
        Whether rows that follow each other in a table cost much less than rows looked up by an index.
    """

    cheap_scans: ClassVar[bool] = False

    def __init__(self, session: Session | Reading) -> None:
        self.session = session

    @property
    def concurrent_readers(self) -> int:
        """One: SQLite reads in this process, where two would wait for each other at every row."""
        return 1

    @abstractmethod
    def read_columns(
        self, statement: SqlText, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read the rows of a statement as columns, in its order.

        Parameters
        ----------
        statement : str or Executable
            A query with one expression per entry of `dtypes`, in its order.
        params : mapping
            Values of the ``:name`` parameters of a text; Python numbers, or lists of them on PostgreSQL.
        dtypes : mapping of str to dtype
            Names and types of the columns; NULL is NaN in float columns.
        nulls : mapping of str to int, optional
            Value for NULL in an integer column.

        Returns
        -------
        dict of ndarray, each of shape (n_row,)
            All columns, also without rows.
        """

    @abstractmethod
    def read_bulk(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read many rows of numbers as columns. Rows are in no particular order: sort afterwards.

        Parameters
        ----------
        statement : str
            SQL text whose result has the columns of `dtypes`.
        params : mapping
            Values of its ``:name`` parameters. For many rows of integers use `range_rows`, which also works for readers
            without the right to make temporary tables.
        dtypes : mapping of str to dtype
            Numeric dtypes; NULL is NaN in float columns.
        nulls : mapping of str to int, optional
            Value for NULL in an integer column.
        """

    def read_few(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read up to a few hundred rows in one round trip.

        Equivalent to `read_bulk` of `by_index`, with lower latency. PostgreSQL prepares the statement on its connection
        and keeps it there, so its text must be one of a few; the result is limited to 1 GB.
        """
        return self.read_bulk(statement, params, dtypes, nulls=nulls)

    def free_pages(self) -> None:
        """Free the memory of a connection that has read many rows once."""

    @abstractmethod
    def read_doubles(self, statement: str, params: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read rows of numbers as one matrix of doubles, which costs less than columns of many types.

        Parameters
        ----------
        statement : str
            SQL text whose result has the columns `names`: numbers that are exact as doubles.
        params : mapping
            Values of its ``:name`` parameters.
        names : tuple of str

        Returns
        -------
        ndarray, shape (n_column, n_row)
            One row per name; NULL is NaN. Rows of the statement are in no particular order.
        """

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """Return the cache tied to this session's connection.

        Any commit, by any process, invalidates it, so entries always match the current snapshot (that of the last
        `read_few` of this session, if there was one). In writing transactions it is always empty.
        """

    @abstractmethod
    def range_rows(self, **columns: IntArray) -> tuple[str, dict[str, Any]]:
        """Return a FROM item named ``r`` with the given integer columns as rows, and its parameters.

        Put it first, then ``cross join image where image.image_id = r.id``: on SQLite the order of a CROSS JOIN is the
        order of its loops. For ranges see `joined`.
        """

    def chosen(self, table: str, key: str, ids: IntArray) -> tuple[str, str, dict[str, Any]]:
        """Return FROM text, condition and parameters of the rows of a table whose integer key is one of `ids`."""
        given, params = self.range_rows(id=ids)
        return f"{given} cross join {table}", f"{table}.{key} = r.id", params

    @abstractmethod
    def joined(self, rows: str, table: str, columns: Sequence[str], condition: str, *, alias: str | None = None) -> str:
        """Return the FROM text of a join that always looks up rows of a table for each row of another item.

        Parameters
        ----------
        rows : str
            The first item, as from `range_rows`.
        table : str
            The table, under its own name or `alias`.
        columns : sequence of str
            Its columns that are used.
        condition : str
            On both items, such as ``source.hpx29 >= r.lo and source.hpx29 < r.hi``.
        alias : str, optional
        """

    def clock(self, host: Callable[[], float]) -> float:
        """Return the time that leases use, seconds since 1970: the server's, or `host`'s without a server."""
        return host()

    def by_index(self) -> Self:
        """Return a reader that looks rows up by an index, one by one: for few of many, or from a covering index.

        Only the statements that it reads are planned in this way, not others of the transaction.
        """
        return self

    def in_table_order(self) -> Self:
        """Return a reader that reads rows which an index has found in the order of the table, page by page."""
        return self

    @abstractmethod
    def hold_snapshot(self, name: str | None) -> None:
        """Read from one snapshot until the transaction ends; call it first.

        Parameters
        ----------
        name : str or None
            From `export_snapshot` of another transaction, otherwise the current state.
        """

    def export_snapshot(self) -> str | None:
        """Return the name by which other transactions can read this snapshot; None if the engine has no such names."""
        return None

    def commits(self) -> int:
        """Return a number that changes with every commit of others, 0 if snapshots have names instead."""
        return 0

    def storage_problems(self) -> list[str]:
        """Return problems found by the engine's own check of its file; empty for a server, which has its tools."""
        return []

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Return whether the database has a table with a name."""

    @abstractmethod
    def read_rows(self, statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Read a few rows as the driver returns them, for values of mixed types."""

    def _errors(self) -> AbstractContextManager[None]:
        """Convert what the driver raises inside the block to typed errors."""
        return self.session.connections.errors() if isinstance(self.session, Reading) else driver_errors()

    def _driver(self) -> Any:
        """Return the driver's connection."""
        if isinstance(self.session, Reading):
            return self.session.driver
        return self.session.connection().connection.driver_connection

    @property
    def _info(self) -> dict[str, Any]:
        """State that lives as long as the connection."""
        return self.session.info if isinstance(self.session, Reading) else self.session.connection().info

    @property
    def _notes(self) -> dict[Any, Any]:
        """State that lives as long as the transaction."""
        return self.session.notes if isinstance(self.session, Reading) else self.session.info

    @property
    def _writes(self) -> bool:
        """Whether this transaction may write."""
        if isinstance(self.session, Reading):
            return False
        return bool(self.session.connection().get_execution_options().get(WRITE, False))
