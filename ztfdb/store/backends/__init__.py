"""What differs between the database engines: one class per engine, selected by the dialect.

`reads` returns the reading part, for a session of SQLAlchemy or a transaction of `ztfdb.store.connections`; `backend`
also the writing part, which needs a session. `read_only_sql` needs a driver's connection only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from ztfdb.store.backends.reads import Reads
from ztfdb.store.connections import Reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session

    from ztfdb.store.backends.base import Backend
    from ztfdb.store.statement import Rows, Rowset, Statement

AnySession: TypeAlias = "Session | Reading"
"""Accepted by queries: a session of SQLAlchemy, or a read-only transaction."""

__all__ = ["AnySession", "ReadOnlySql", "Reads", "backend", "engine_class", "read_only_sql", "reads"]


class ReadOnlySql(Protocol):
    """The engine-specific part of SQL that others write: ``readonly_sqlite``, ``readonly_postgresql``.

    `run`, `csv` and `pieces` take a connection that nobody else uses before or after.
    """

    def run(self, connection: Any, statement: Statement, *, force: bool) -> tuple[list[str], list[Any]]:
        """Run one statement that the database itself keeps from writing; see `ztfdb.store.readonly.run_read_only`."""

    def csv(self, connection: Any, statement: Statement, size: int, *, force: bool) -> Iterator[tuple[bytes, int]]:
        """Yield the rows of a read-only statement as CSV; see `ztfdb.store.readonly.read_only_csv`."""

    def pieces(self, connection: Any, statement: Statement, *, force: bool) -> Iterator[tuple[list[str], list[Any]]]:
        """Yield names and columns of a read-only statement in pieces, at least one; see `ztfdb.store.readonly.spooled`.

        The columns are those of `run`, each piece by itself.
        """

    def stream(
        self, connection: Any, sql: str, values: Any, uploads: Sequence[Rowset], *, upload_join: bool, size: int
    ) -> Iterator[Rows]:
        """Yield the rows of a statement in pieces; see `ztfdb.store.readonly_stream.Reader.pieces`."""

    def check_reader(self, connection: Any) -> None:
        """Refuse a role that a READ ONLY transaction does not restrict; see `ztfdb.store.readonly.check_reader`."""


def read_only_sql(engine: str) -> ReadOnlySql:
    """Return the part of an engine, given by its name."""
    return cast("ReadOnlySql", import_module(f"{__name__}.readonly_{engine}"))


def reads(session: AnySession) -> Reads:
    """Return the reading part of the engine of a transaction."""
    if isinstance(session, Reading):
        return _reads_class(session.engine)(session)
    return backend(session)


def backend(session: Session) -> Backend:
    """Return the engine of a session."""
    return _class(session.get_bind().dialect.name)(session)


def engine_class(bind: Engine | Connection) -> type[Backend]:
    """Return the class of an engine or a connection, for methods that need no session."""
    return _class(bind.dialect.name)


@cache
def _class(dialect: str) -> type[Backend]:
    module = import_module(f"{__name__}.{dialect}")  # a SQLite file needs no driver of PostgreSQL
    return cast("type[Backend]", getattr(module, dialect.capitalize()))


@cache
def _reads_class(engine: str) -> type[Reads]:
    module = import_module(f"{__name__}.reads_{engine}")
    return cast("type[Reads]", getattr(module, f"{engine.capitalize()}Reads"))
