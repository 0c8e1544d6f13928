"""The base class of the engines, for reading and writing: one subclass per engine, with defaults that do nothing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, IntArray
from ztfdb.store.backends.reads import Dtypes, Reads
from ztfdb.store.columns import SqlColumn, sql_columns
from ztfdb.store.statement import SetAside


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
    replaces_views : bool
        A view can be replaced while others use it.
    view_hints : bool
        Views get the hints of `ztfdb.schema.views.view_statement`.
    detections_by : str
        Column of detections in whose order an image's rows are appended.
    """

    name: ClassVar[str]
    replaces_views: ClassVar[bool] = False
    view_hints: ClassVar[bool] = False
    detections_by: ClassVar[str] = "hpx29"  # neighbours on the sky share pages
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
        """Append rows in bulk, inside the session's transaction.

        Parameters
        ----------
        table : Table
            A table whose columns are numbers.
        columns : mapping of str to ndarray, each of shape (n_row,)
            In the table's units; NaN is stored as NULL.
        nulls : mapping of str to ndarray of bool, optional
            NULL rows of integer columns.
        frozen : bool
            Write the rows as if after VACUUM, into a table that this transaction made new with `renew_table`.

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
        """Append rows that include columns of text (or JSON as text): row by row, at 33 % of the speed of `copy_rows`.

        Parameters
        ----------
        table : Table
        columns : mapping of str to ndarray, each of shape (n_row,)
            The numeric columns, as in `copy_rows`.
        nulls : mapping of str to ndarray of bool, optional
        texts : mapping of str to list of str or None
            The text columns, of the same length.
        """
        ready = sql_columns(table, columns, nulls)
        if len({*(len(column.values) for column in ready), *map(len, texts.values())}) > 1:
            raise ValueError("the columns differ in length")
        if ready and len(ready[0].values):
            self._write_mixed_rows(table.name, ready, texts)

    def copy_blobs(self, table: Table, keys: Mapping[str, IntArray], name: str, blobs: list[bytes]) -> None:
        """Append rows of integers and one column of bytes, which is sent as bytes and not as text.

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
        """Make and fill a temporary table; it lasts until the transaction ends (PostgreSQL) or the next load.

        Parameters
        ----------
        name : str
            A plain identifier, not from a user.
        columns : mapping of str to ndarray, each of shape (n_row,)
            Integers and floats without NaN.
        """
        self._make_temporary(name, {column: values.dtype for column, values in columns.items()})
        if any(len(values) for values in columns.values()):
            self._write_rows(name, [SqlColumn(column, values, None) for column, values in columns.items()], False)

    def is_duplicate(self, exc: BaseException) -> bool:
        """Return whether rows were refused because of a duplicate key."""
        return isinstance(exc.__cause__, self._duplicate_error)

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """Return the dialect's INSERT, which has ``on_conflict_do_update``."""

    def check_encoding(self) -> None:
        """Check that the database can hold every text.

        Raises
        ------
        StoreError
            If it has an encoding of some letters only.
        """

    def limit_lock_wait(self, seconds: float | None) -> None:
        """Limit how long later statements of this transaction wait for a table lock; None removes the limit."""

    def lock_name(self, key: int) -> None:
        """Lock `key` until this transaction ends; waits while another one has the lock."""

    def drop_key(self, table: Table) -> None:
        """Drop the primary key of a table until `add_key`, for a bulk load."""

    def add_key(self, table: Table) -> None:
        """Make the primary key of a table again.

        Raises
        ------
        StoreError
            If two rows have the same key; `is_duplicate` is then true.
        """

    def renew_table(self, table: Table) -> None:
        """Make an empty table, locked by this transaction, new in this transaction, so that it takes frozen rows."""

    @staticmethod
    def settle_table(engine: Engine, table: Table) -> None:
        """Prepare a table that has grown much for index-only scans; call it outside of transactions."""

    @staticmethod
    @abstractmethod
    def views_aside(connection: Connection, names: Sequence[str]) -> SetAside:
        """Return what is needed to make these views again, with their rights, and which of them others use."""

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
