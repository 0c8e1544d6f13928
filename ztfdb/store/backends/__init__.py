"""What only one engine can say: a class per engine, picked by the dialect."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from ztfdb.store.backends.base import Backend

__all__ = ["Backend", "backend", "engine_class"]


def backend(session: Session) -> Backend:
    """Return the engine of a session."""
    return _class(session.get_bind().dialect.name)(session)


def engine_class(bind: Engine | Connection) -> type[Backend]:
    """Return the class of an engine or a connection, for what needs no session."""
    return _class(bind.dialect.name)


@cache
def _class(dialect: str) -> type[Backend]:
    module = import_module(f"{__name__}.{dialect}")  # a SQLite file needs no driver of PostgreSQL
    return cast("type[Backend]", getattr(module, dialect.capitalize()))
