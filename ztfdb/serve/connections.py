"""Limits of connections before and between requests: their number, and the time and size of a request's head.

`ztfdb.serve.middleware` limits a request once its head has arrived; a client that sends half a head, or nothing, never
gets that far.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ztfdb.errors import ConfigError
from ztfdb.serve.errors import RETRY_AFTER_S
from ztfdb.serve.limits import Limits
from ztfdb.serve.middleware import MAX_HEADERS, MAX_TARGET

MAX_HEAD = 2 * (MAX_TARGET + MAX_HEADERS)
"""Bytes of a request's first line and headers; the middleware reports heads that exceed its smaller limits."""

CONNECTIONS_PER_REQUEST = 2
"""Connections per allowed request: browsers and connection pools keep idle ones."""

READ_S = 0.1
"""Time for what has already arrived on a connection, after the time for it is over."""

MOST_FILES = 65_536
"""Files and connections of a process, if the system allows so many."""

FEWEST_FILES = 128
"""Files and connections that a process must be allowed. With 20, a service did not start; with 40, it reset the
connections of its clients when there were a few dozen."""


def protocol_of(limits: Limits) -> type[asyncio.Protocol]:
    """Return the connection class with the limits of a service."""

    class Bounded(Connection):
        most = CONNECTIONS_PER_REQUEST * limits.connections
        head_s = taken_s = limits.body_s

    return Bounded


def allow_connections() -> None:
    """Raise the limit of open files and connections, of this process and its children, to the system's maximum.

    Raises
    ------
    ConfigError
        If that is too low for a service, which would fail somewhere in a library.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if (found := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < FEWEST_FILES:
        raise ConfigError(f"a service needs {FEWEST_FILES} open files or more, and may open {found}: ulimit -n")


class Connection(HttpToolsProtocol):
    """One connection: refused if there are too many, closed if no head arrives or the client does not read its answer.

    Attributes
    ----------
    most : int
        Connections of a process; further ones get 503.
    head_s : float
        Seconds in which the head of a request, also of the first one, must arrive.
    taken_s : float
        Seconds in which a client must read some bytes of a waiting answer.
    """

    most: int
    head_s: float
    taken_s: float

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for a request."""
        super().connection_made(transport)
        self._refused = len(self.connections) > self.most
        self._wait(min(1.0, self.head_s) if self._refused else self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._moves()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process received bytes, unless they are too many, or there are too many connections."""
        if self._refused:  # only after reading the data: otherwise a reset would discard the refusal
            self._refuse(503, "too many connections are open: try again in a moment")
            return
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(431, f"the head of the request is longer than {MAX_HEAD} bytes")

    def pause_writing(self) -> None:
        """Start the timeout for a client that does not read its answer; fast readers never get here."""
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self.taken_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Continue the answer."""
        self._moves()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """Start counting the bytes and seconds of a head."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._wait(self.head_s)

    def on_headers_complete(self) -> None:
        """Pass on the request."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _moves(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(seconds, self._too_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        # Where the loop was busy, what has arrived meanwhile is read first: timers come before it.
        self._late = self.loop.call_later(READ_S, self._give_up)

    def _give_up(self) -> None:
        if self._in_head:
            self._refuse(408, f"the head of the request did not arrive within {self.head_s:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Respond without the application, and close; during another answer, only close."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"error": message}).encode() + b"\n"
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "content-type: application/json",
                     f"content-length: {len(body)}", "connection: close"]  # fmt: skip
            lines += [f"retry-after: {RETRY_AFTER_S}"] if status == 503 else []
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
