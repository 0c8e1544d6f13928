"""Work whose statements another thread can stop, so that a query ends when nobody waits for it.

`ztfdb.store.engine` and `ztfdb.store.connections` register the connections of a thread with its running `Work`.
SQLite's ``interrupt`` and PostgreSQL's cancel request are the only calls that a thread may make on the connection of
another one.
"""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

STEPS = 1_000_000
"""Steps of SQLite between two looks for signals: some 10 ms."""

CANCEL_TIMEOUT_S = 5.0
"""How long a cancel request to PostgreSQL may take; then the connection is cut."""

log = logging.getLogger(__name__)


class Work:
    """The work of one thread for one caller, until it is done or stopped.

    Attributes
    ----------
    reason : Exception or None
        Why it was stopped; `running` raises it in the working thread.
    """

    def __init__(self) -> None:
        self.reason: Exception | None = None
        self._lock = threading.Lock()
        self._connections: dict[int, Any] = {}

    @contextmanager
    def running(self) -> Iterator[Work]:
        """Work in this thread; if it was stopped, an exception of the block is replaced by the reason."""
        token = _CURRENT.set(self)
        try:
            self.check()
            yield self
        except Exception as exc:
            if self.reason is not None and exc is not self.reason:
                raise self.reason from exc
            raise
        finally:
            _CURRENT.reset(token)

    def check(self) -> None:
        """Raise the reason if the work was stopped; for long work between two statements."""
        if self.reason is not None:
            raise self.reason

    def stop(self, reason: Exception) -> None:
        """Stop the running statements, from another thread; the first reason counts. Call until the work has ended.

        Parameters
        ----------
        reason : Exception
            Raised by the work.
        """
        with self._lock:
            if self.reason is None:
                self.reason = reason
            # under the lock: a connection returned to its pool in the meantime may belong to another thread
            for connection in self._connections.values():
                _interrupt(connection)

    def add(self, connection: Any) -> None:
        """Register a driver's connection."""
        with self._lock:
            self._connections[id(connection)] = connection

    def discard(self, connection: Any) -> None:
        """Unregister a driver's connection."""
        with self._lock:
            self._connections.pop(id(connection), None)


@contextmanager
def signals_heard(connection: sqlite3.Connection) -> Iterator[None]:
    """Let Ctrl-C, and what else raises KeyboardInterrupt, end a long statement; else it would wait for its end."""
    connection.set_progress_handler(lambda: 0, STEPS)  # Python runs the handlers of signals where it runs this
    try:
        yield
    except sqlite3.OperationalError as exc:
        if "interrupted" in str(exc) and why_stopped() is None:
            raise KeyboardInterrupt from exc  # raised inside the handler, where sqlite3 swallows it
        raise
    finally:
        connection.set_progress_handler(None, 0)


def check_work() -> None:
    """Raise the reason if the work of this thread was stopped; for loops over files, between two statements."""
    work = _CURRENT.get()
    if work is not None:
        work.check()


def why_stopped() -> Exception | None:
    """Return why the work of this thread was stopped, None if it was not."""
    work = _CURRENT.get()
    return None if work is None else work.reason


_CURRENT: ContextVar[Work | None] = ContextVar("ztfdb_work", default=None)


@contextmanager
def in_use(connection: Any) -> Iterator[None]:
    """Register a driver's connection with the work of this thread."""
    work = current_work()
    if work is None:
        yield
        return
    work.check()
    work.add(connection)
    try:
        yield
    finally:
        work.discard(connection)


def current_work() -> Work | None:
    """Return the work of this thread, None if it cannot be stopped."""
    return _CURRENT.get()


def _interrupt(connection: Any) -> None:
    try:
        if isinstance(connection, sqlite3.Connection):
            connection.interrupt()
        else:
            connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
    except Exception:
        log.warning("a statement could not be stopped", exc_info=True)
        if not isinstance(connection, sqlite3.Connection) and not connection.closed:
            _cut(connection.pgconn.socket)


def _cut(number: int) -> None:
    """End the connection of a socket: its server does not answer, and the working thread would wait for it."""
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as shared:
        shared.shutdown(socket.SHUT_RDWR)
