"""What a database engine does in its own way when it reads; no part of SQLAlchemy is loaded for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

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
"""Names and numpy dtypes of an answer's columns, in the order of the selected expressions."""

WRITE = "ztfdb_write"
"""Execution option of a transaction that writes; on SQLite it begins with BEGIN IMMEDIATE."""


class Reads(ABC):
    """The engine of one transaction, as far as it reads; `ztfdb.store.backends.reads` returns it.

    Parameters
    ----------
    session : Session or Reading
        A session of SQLAlchemy, or a transaction of `ztfdb.store.connections`, which only reads.

    Attributes
    ----------
    concurrent_readers : int
        Connections that read at the same time in less than each other's time.
    """

    concurrent_readers: ClassVar[int] = 1

    def __init__(self, session: Session | Reading) -> None:
        self.session = session

    @abstractmethod
    def read_columns(
        self, statement: SqlText, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read the rows of a statement as columns, in its order.

        Parameters
        ----------
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

    @abstractmethod
    def read_bulk(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read many rows of numbers as columns. The order of rows is not kept: sort afterwards.

        Parameters
        ----------
        statement : str
            SQL text whose result has the columns `dtypes` names.
        params : mapping
            Values of its ``:name`` parameters; many rows of integers come from `range_rows`, which a reader without
            the right to make temporary tables may use too.
        dtypes : mapping of str to dtype
            Numeric dtypes; NULL is NaN in float columns.
        nulls : mapping of str to int, optional
            What NULL becomes in an integer column.
        """

    def read_few(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read up to a few hundred rows in one round trip.

        Equivalent to `prefer_index_only` followed by `read_bulk`, with lower latency. PostgreSQL prepares the statement
        on its connection and keeps it there, so its text must be one of a few; the result is limited to 1 GB.
        """
        return self.read_bulk(statement, params, dtypes, nulls=nulls)

    @abstractmethod
    def read_doubles(self, statement: str, params: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read rows of numbers as one matrix of doubles, which costs less than columns of many types.

        Parameters
        ----------
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

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """Return the cache tied to this session's connection.

        Any commit, by any process, invalidates it, so entries always match the current snapshot (that of the last
        `read_few` of this session, if there was one). In writing transactions it is always empty.
        """

    @abstractmethod
    def range_rows(self, **columns: IntArray) -> tuple[str, dict[str, Any]]:
        """Return a FROM item named ``r`` with the given integer columns as rows, and the parameters it needs.

        Put it first, then ``cross join image where image.image_id = r.id``: on SQLite the order of a CROSS JOIN is the
        order of its loops. For ranges see `joined`.
        """

    @abstractmethod
    def joined(self, rows: str, table: str, columns: Sequence[str], condition: str, *, alias: str | None = None) -> str:
        """Return the FROM text that looks rows of a table up for each row of another item, in this order always.

        Parameters
        ----------
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

    def clock(self, host: Callable[[], float]) -> float:
        """Return the time that leases run on, seconds since 1970: the server's, or `host`'s where there is none."""
        return host()

    def prefer_index_only(self) -> None:
        """Make this transaction answer from the covering index alone (DESIGN section 4)."""

    def storage_problems(self) -> list[str]:
        """Return what the engine's own check finds wrong in its file; nothing of a server, which has its own tools."""
        return []

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Tell whether the database has a table of a name."""

    @abstractmethod
    def read_rows(self, statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Read a few rows as the driver gives them, for facts of several kinds."""

    def _errors(self) -> AbstractContextManager[None]:
        """Turn what the driver raises inside the block into typed errors."""
        return self.session.connections.errors() if isinstance(self.session, Reading) else driver_errors()

    def _driver(self) -> Any:
        """Return the driver's connection."""
        if isinstance(self.session, Reading):
            return self.session.driver
        return self.session.connection().connection.driver_connection

    @property
    def _info(self) -> dict[str, Any]:
        """What is remembered as long as the connection lives."""
        return self.session.info if isinstance(self.session, Reading) else self.session.connection().info

    @property
    def _notes(self) -> dict[Any, Any]:
        """What is remembered as long as the transaction lives."""
        return self.session.notes if isinstance(self.session, Reading) else self.session.info

    @property
    def _writes(self) -> bool:
        """Whether this transaction may write."""
        if isinstance(self.session, Reading):
            return False
        return bool(self.session.connection().get_execution_options().get(WRITE, False))
