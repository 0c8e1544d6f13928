"""Read-only transactions on the drivers' own connections.

Importing SQLAlchemy takes longer than finding a light curve, and queries have texts of their own: they only need a
connection and a transaction. Everything that writes, or uses SQLAlchemy's expressions, uses the sessions of
`ztfdb.store.engine`. `ztfdb.store.backends.backend` takes either.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from ztfdb.errors import ArchiveClosedError, StoreError
from ztfdb.store.address import Address
from ztfdb.store.faults import typed_error
from ztfdb.store.interrupt import in_use
from ztfdb.texts import one_line

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

MOST_IDLE = 5
"""Idle connections kept for the next transactions."""


class Opener(Protocol):
    """The engine-specific part: ``connect_sqlite``, ``connect_postgresql``."""

    where: str | None
    errors: tuple[type[Exception], ...]

    def open(self) -> tuple[Any, dict[str, Any]]:
        """Return a new connection, and the ``info`` that is kept with it."""

    def is_usable(self, connection: Any, info: dict[str, Any]) -> bool:
        """Return whether an idle connection can still be used."""

    def begin(self, connection: Any) -> None:
        """Begin a transaction."""

    def end(self, connection: Any, info: dict[str, Any]) -> bool:
        """End the transaction, and return whether the connection can be reused."""


@dataclass(eq=False)
class Reading:
    """One read-only transaction; made by `Connections.reading`.

    Attributes
    ----------
    engine : str
        ``sqlite`` or ``postgresql``.
    driver : object
        The driver's connection.
    info : dict
        State of backends that lives as long as the connection.
    connections : Connections
        The pool of the connection.
    notes : dict
        State of backends that lives as long as the transaction.
    """

    engine: str
    driver: Any
    info: dict[str, Any]
    connections: Connections
    notes: dict[str, Any] = field(default_factory=dict)


class Connections:
    """A pool of connections that read an archive, each used by one thread at a time.

    The connection used last is reused first: its pages and its cache of images are warm.

    Parameters
    ----------
    address : Address
    read_only : bool
        Open a SQLite file for reading only; transactions only read either way.
    """

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self.engine = address.engine
        self._opener = _opener(address, read_only)
        self._idle: list[tuple[Any, dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._closed = False
        _EVERY.add(self)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read in one transaction.

        Raises
        ------
        ArchiveClosedError
            If the archive is closed.
        DatabaseUnavailableError, StoreError
            If the database cannot be reached, or is damaged.
        """
        with self.errors():
            driver, info = self._take()
        usable = False
        try:
            with in_use(driver):
                with self.errors():
                    self._opener.begin(driver)
                yield Reading(self.engine, driver, info, self)
            usable = True
        finally:
            with suppress(*self._opener.errors):
                usable = self._opener.end(driver, info)
            self._give_back(driver, info, usable)

    def close(self) -> None:
        """Close every connection, those in use when their transactions end; no more are opened."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for driver, _ in idle:
            driver.close()

    def forget(self) -> None:
        """Drop the connections in a forked process; they belong to its parent."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._idle = []

    def _take(self) -> tuple[Any, dict[str, Any]]:
        with self._lock:
            if self._closed:
                raise ArchiveClosedError("the archive is closed: open it again")
            found = self._idle.pop() if self._idle else None
        if found is not None:
            if self._opener.is_usable(*found):
                return found
            with self._lock:  # what broke one has broken all
                stale, self._idle = [found, *self._idle], []
            for driver, _ in stale:
                driver.close()
        return self._opener.open()

    def _give_back(self, driver: Any, info: dict[str, Any], usable: bool) -> None:
        with self._lock:
            if usable and not self._closed and len(self._idle) < MOST_IDLE:
                self._idle.append((driver, info))
                return
        driver.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Convert what the driver raises inside the block to typed errors, which name the file."""
        try:
            yield
        except self._opener.errors as exc:
            raise typed_error(exc, self._opener.where) or StoreError(one_line(exc)) from exc


@dataclass(frozen=True)
class Transactions:
    """What makes the transactions of an archive.

    Attributes
    ----------
    reading : callable
        `Connections.reading`.
    sessions : callable
        Returns the maker of SQLAlchemy's sessions: for what writes, or asks in its expressions. They are made, and
        SQLAlchemy is imported, when it is called.
    """

    reading: Callable[[], AbstractContextManager[Reading]]
    sessions: Callable[[], sessionmaker[Session]]


@contextmanager
def own_connection(address: Address) -> Iterator[Any]:
    """Open a connection that only reads, for one piece of work that leaves its settings changed; closed at the end.

    Raises
    ------
    DatabaseUnavailableError, StoreError
        If the database cannot be reached, or is damaged. Later errors are the driver's.
    """
    opener = _opener(address, read_only=True)
    try:
        driver, _ = opener.open()
    except opener.errors as exc:
        raise typed_error(exc, opener.where) or StoreError(one_line(exc)) from exc
    try:
        with in_use(driver):
            yield driver
    finally:
        driver.close()


def _opener(address: Address, read_only: bool) -> Opener:
    module = import_module(f"ztfdb.store.backends.connect_{address.engine}")  # a SQLite file needs no psycopg
    return cast("Opener", getattr(module, f"{address.engine.capitalize()}Opener")(address, read_only=read_only))


def beside(session: Any) -> AbstractContextManager[Any]:
    """Return another transaction on the same archive, for a thread that reads at the same time."""
    if isinstance(session, Reading):
        return session.connections.reading()
    return cast("AbstractContextManager[Any]", type(session)(session.get_bind()))


def _forget_forked() -> None:
    for connections in list(_EVERY):
        connections.forget()


_EVERY: weakref.WeakSet[Connections] = weakref.WeakSet()
"""All pools of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_forked)
