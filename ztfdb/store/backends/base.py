"""What a database engine does in its own way: one class per engine, whose defaults do nothing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, IntArray
from ztfdb.store.backends.reads import Dtypes, Reads
from ztfdb.store.columns import SqlColumn, sql_columns
from ztfdb.store.statement import Rows, Rowset, SetAside, Statement


class Backend(Reads):
    """The engine of one session of SQLAlchemy; `ztfdb.store.backends.backend` returns it.

    Methods without a session's transaction are static: `ztfdb.store.backends.engine_class` returns the class.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    name : str
        SQLAlchemy's name of the dialect.
    snapshot_options : mapping
        Options of a connection whose transaction sees one state of the database.
    replaces_views : bool
        Whether a view can be replaced while others use it.
    counts_commits : bool
        Whether a connection can tell by `commits` that others have committed.
    """

    name: ClassVar[str]
    snapshot_options: ClassVar[Mapping[str, Any]] = {}
    replaces_views: ClassVar[bool] = False
    counts_commits: ClassVar[bool] = False
    session: Session
    _duplicate_error: ClassVar[type[Exception]]

    def copy_rows(
        self,
        table: Table,
        columns: Columns,
        nulls: Mapping[str, BoolArray] | None = None,
        *,
        frozen: bool = False,
    ) -> None:
        """Append rows in bulk; the session's transaction takes them.

        Parameters
        ----------
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
            self._write_rows(table.name, ready, frozen)

    def copy_mixed_rows(
        self,
        table: Table,
        columns: Columns,
        nulls: Mapping[str, BoolArray] | None,
        texts: Mapping[str, list[str | None]],
    ) -> None:
        """Append rows that also have columns of text (or JSON as text): row by row, a third as fast as `copy_rows`.

        Parameters
        ----------
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
            self._write_mixed_rows(table.name, ready, texts)

    def copy_blobs(self, table: Table, keys: Mapping[str, IntArray], name: str, blobs: list[bytes]) -> None:
        """Append rows of integers and one column of bytes, which go as bytes and not as text.

        Parameters
        ----------
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
            self._write_blobs(table.name, sql_columns(table, keys), name, blobs)

    def load_temporary(self, name: str, columns: Columns) -> None:
        """Make a temporary table and fill it in bulk; it goes with the transaction (PostgreSQL) or the next load.

        Parameters
        ----------
        name : str
            A plain identifier of ours.
        columns : mapping of str to ndarray, each of shape (n_row,)
            Integers and floats without NaN.
        """
        self._make_temporary(name, {column: values.dtype for column, values in columns.items()})
        if any(len(values) for values in columns.values()):
            self._write_rows(name, [SqlColumn(column, values, None) for column, values in columns.items()], False)

    def is_duplicate(self, exc: BaseException) -> bool:
        """Tell whether rows were refused because a unique key is taken."""
        return isinstance(exc.__cause__, self._duplicate_error)

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """Return the dialect's INSERT, which has ``on_conflict_do_update``."""

    def limit_lock_wait(self, seconds: float | None) -> None:
        """Let later statements of this transaction fail where another holds a table for longer; None: wait again."""

    def lock_name(self, key: int) -> None:
        """Wait until no other transaction holds `key`, and hold it until this one ends."""

    def drop_key(self, table: Table) -> None:
        """Drop the primary key of a table until `add_key`, for a bulk load."""

    def add_key(self, table: Table) -> None:
        """Make the primary key of a table again.

        Raises
        ------
        StoreError
            If two rows have the same; `is_duplicate` is true of it.
        """

    def renew_table(self, table: Table) -> None:
        """Let a table, empty and locked by this transaction, start in it, so that it takes frozen rows."""

    def export_snapshot(self) -> str | None:
        """Return the name by which other transactions read the state of this one; None where there is none."""
        return None

    @staticmethod
    def settle_table(engine: Engine, table: Table) -> None:
        """Make a table that has grown by much ready for index-only scans; outside of any transaction."""

    @staticmethod
    @abstractmethod
    def run_read_only(engine: Engine, statement: Statement, *, force: bool) -> tuple[list[str], list[Any]]:
        """Run one statement that the database itself keeps from writing; see `ztfdb.store.readonly.run_read_only`."""

    @staticmethod
    @abstractmethod
    def csv(engine: Engine, statement: Statement, size: int, *, force: bool) -> Iterator[tuple[bytes, int]]:
        """Yield the rows of such a statement as CSV; see `ztfdb.store.readonly.read_only_csv`."""

    @staticmethod
    @abstractmethod
    def stream(
        engine: Engine, sql: str, values: Any, uploads: Sequence[Rowset], *, upload_join: bool, size: int
    ) -> Iterator[Rows]:
        """Yield the rows of a statement piece by piece; see `ztfdb.store.readonly_stream.Reader.pieces`."""

    @staticmethod
    def commits(connection: Connection) -> int:
        """Return a number that changes with every commit of others; the connection's transaction ends."""
        raise NotImplementedError

    @staticmethod
    def check_reader(engine: Engine) -> None:
        """Refuse a role that a READ ONLY transaction does not hold; see `ztfdb.store.readonly.check_reader`."""

    @staticmethod
    @abstractmethod
    def views_aside(connection: Connection, names: Sequence[str]) -> SetAside:
        """Return what is needed to make these views of ours again, with their rights, and which are in use."""

    @abstractmethod
    def _write_rows(self, table: str, columns: list[SqlColumn], frozen: bool) -> None:
        """Append rows, at least one."""

    @abstractmethod
    def _write_mixed_rows(
        self, table: str, columns: list[SqlColumn], texts: Mapping[str, list[str | None]]
    ) -> None: ...

    @abstractmethod
    def _write_blobs(self, table: str, keys: list[SqlColumn], name: str, blobs: list[bytes]) -> None: ...

    @abstractmethod
    def _make_temporary(self, name: str, dtypes: Dtypes) -> None: ...
