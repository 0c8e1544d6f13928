"""Work whose statements another thread can stop: what a connection is busy with ends when nobody waits for it.

`ztfdb.store.engine` and `ztfdb.store.connections` tell the running `Work` of a thread which connections it uses.
SQLite's ``interrupt`` and PostgreSQL's cancel request are the only calls that may be made on a connection by a thread
that does not own it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

CANCEL_TIMEOUT_S = 5.0
"""How long a cancel request to PostgreSQL may take."""

log = logging.getLogger(__name__)


class Work:
    """What one thread does for one caller, until it is done or stopped.

    Attributes
    ----------
    reason : Exception or None
        Why it was stopped; `running` raises it in the thread that works.
    """

    def __init__(self) -> None:
        self.reason: Exception | None = None
        self._lock = threading.Lock()
        self._connections: dict[int, Any] = {}

    @contextmanager
    def running(self) -> Iterator[Work]:
        """Work in this thread: whatever the block raises once it was stopped becomes the reason."""
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
        """Raise the reason where the work was stopped: for what runs long between two statements."""
        if self.reason is not None:
            raise self.reason

    def stop(self, reason: Exception) -> None:
        """Stop the statements in hand, from another thread. The first reason stays; call again until the work ended.

        Parameters
        ----------
        reason : Exception
            Raised by the work.
        """
        with self._lock:
            if self.reason is None:
                self.reason = reason
            # under the lock: a connection that goes back to its pool meanwhile may be another's
            for connection in self._connections.values():
                _interrupt(connection)

    def add(self, connection: Any) -> None:
        """Use a driver's connection from now on."""
        with self._lock:
            self._connections[id(connection)] = connection

    def discard(self, connection: Any) -> None:
        """Use it no more."""
        with self._lock:
            self._connections.pop(id(connection), None)


def why_stopped() -> Exception | None:
    """Return why the work of this thread was stopped, None where it was not."""
    work = _CURRENT.get()
    return None if work is None else work.reason


_CURRENT: ContextVar[Work | None] = ContextVar("ztfdb_work", default=None)


@contextmanager
def in_use(connection: Any) -> Iterator[None]:
    """Let the work of this thread know a driver's connection that it uses."""
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
    """Return the work of this thread, None where nobody may stop it."""
    return _CURRENT.get()


def _interrupt(connection: Any) -> None:
    try:
        if isinstance(connection, sqlite3.Connection):
            connection.interrupt()
        else:
            connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
    except Exception:
        log.warning("a statement could not be stopped", exc_info=True)
