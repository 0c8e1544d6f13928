"""What differs between the database engines: one class per engine, selected by the dialect.

`reads` returns the reading part, for a session of SQLAlchemy or a transaction of `ztfdb.store.connections`; `backend`
also the writing part, which needs a session.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, cast

from ztfdb.store.backends.reads import Reads
from ztfdb.store.connections import Reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session

    from ztfdb.store.backends.base import Backend

AnySession: TypeAlias = "Session | Reading"
"""Accepted by queries: a session of SQLAlchemy, or a read-only transaction."""

__all__ = ["AnySession", "Reads", "backend", "engine_class", "reads"]


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
