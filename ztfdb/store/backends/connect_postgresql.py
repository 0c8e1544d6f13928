"""Connections to PostgreSQL: their settings, whether one is alive, and opening one for reading only."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn

from ztfdb.store.address import Address

PING_AFTER_S = 0.5
"""A PostgreSQL connection that was idle for longer is always tested before use."""

PING_TIMEOUT_S = 5.0
"""A connection whose server does not answer for so long is lost: the host may be gone without a word."""

IDLE_SINCE = "ztfdb_idle_since"
_EMPTY_QUERY = 0
"""libpq's status of an empty query, PGRES_EMPTY_QUERY."""


POOLED = "ztfdb_pooled"
"""Key, in a connection's ``info``, of whether a pooler is between us and the server."""

_OPTIONS = "-c timezone=UTC -c extra_float_digits=1 -c default_transaction_isolation=read\\ committed"
"""What must not depend on settings of a server, database or role: shorter texts of numbers are other numbers, and
transactions that wait for each other instead of failing are what writers rely on."""


logging.getLogger("psycopg").addFilter(lambda record: not str(record.msg).startswith("error ignored terminating"))
"""psycopg's second word about a connection that is lost during a pipeline: the error itself is raised."""


def session_arguments(given: object) -> dict[str, str]:
    """Return libpq's arguments of every connection; `given` are the ``options`` of the URL, which come first."""
    # the encoding of the database itself, or PGCLIENTENCODING, may be one that has no letters but ASCII's
    return {"options": f"{given} {_OPTIONS}" if given else _OPTIONS, "client_encoding": "utf8"}


def set_up(connection: psycopg.Connection[Any], info: dict[str, Any], *, read_only: bool) -> None:
    """Apply the settings of every new connection.

    A pooler may ignore ``options``, and may give each transaction another connection to the server. Then a name of a
    prepared statement is unknown there, or is another statement of somebody else.
    """
    if read_only:
        connection.read_only = True  # as an option, it would be no server for target_session_attrs=read-write
    info[POOLED] = _is_pooled(connection.pgconn)
    if info[POOLED]:
        connection.prepare_threshold = None
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED


def _is_pooled(pgconn: PGconn) -> bool:
    """Return whether the server's process is another one than that which has greeted us."""
    result = pgconn.exec_(b"select pg_backend_pid()")
    return result.status == ExecStatus.TUPLES_OK and int(result.get_value(0, 0) or b"0") != pgconn.backend_pid


def is_alive(connection: Any, info: dict[str, Any]) -> bool:
    """Return whether an idle connection can still be used.

    Like SQLAlchemy's ``pool_pre_ping``, but without a round trip (0.3 ms of every call) if the connection was in use a
    moment ago and its socket has nothing to read: a server that ends a connection sends a message.
    """
    idle = time.monotonic() > info.get(IDLE_SINCE, float("inf")) + PING_AFTER_S
    if connection.closed:
        return False
    if idle or has_spoken(connection.pgconn.socket):
        return _answers(connection.pgconn)
    return True


def _answers(pgconn: PGconn) -> bool:
    """Return whether the server answers in time."""
    try:
        pgconn.send_query(b"")
        socket = select.poll()
        socket.register(pgconn.socket, select.POLLIN)
        if not socket.poll(1000 * PING_TIMEOUT_S):
            return False
        result = pgconn.get_result()
        return result is not None and result.status == _EMPTY_QUERY and pgconn.get_result() is None
    except psycopg.Error:
        return False


def has_spoken(socket: int) -> bool:
    """Return whether a socket has something to read, or was closed; True if unknown."""
    try:
        return bool(select.select([socket], [], [], 0.0)[0])
    except (OSError, ValueError):
        return True


class PostgresqlOpener:
    """Opens connections whose transactions only read.

    Parameters
    ----------
    address : Address
    read_only : bool
        No effect: transactions only read in any case.
    """

    where = None
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self._arguments = arguments_of(address)

    def open(self) -> tuple[psycopg.Connection[Any], dict[str, Any]]:
        """Return a new connection, and the ``info`` that is kept with it."""
        connection, info = psycopg.connect(**self._arguments), dict[str, Any]()
        set_up(connection, info, read_only=True)
        return connection, info

    def is_usable(self, connection: psycopg.Connection[Any], info: dict[str, Any]) -> bool:
        """Return whether an idle connection can still be used."""
        return is_alive(connection, info)

    def begin(self, connection: psycopg.Connection[Any]) -> None:
        """Do nothing: psycopg begins with the first statement."""

    def end(self, connection: psycopg.Connection[Any], info: dict[str, Any]) -> bool:
        """End the transaction, and return whether the connection can be reused."""
        if not connection.closed and connection.pgconn.transaction_status != TransactionStatus.IDLE:
            connection.rollback()
        info[IDLE_SINCE] = time.monotonic()
        return not connection.closed


def arguments_of(address: Address) -> dict[str, Any]:
    """Return psycopg's arguments for an address.

    Several hosts are in the query, in SQLAlchemy's form: ``?host=a:5432&host=b:5433``.
    """
    named = {"user": address.username, "password": address.password, "host": address.host, "port": address.port}
    arguments: dict[str, Any] = {name: value for name, value in named.items() if value not in (None, "")}
    if address.database:
        arguments["dbname"] = address.database
    arguments |= address.query
    arguments |= _servers(address.query.get("host", ()), address.query.get("port"))
    return arguments | session_arguments(address.query.get("options"))


def _servers(hosts: str | Sequence[str], ports: str | Sequence[str] | None) -> dict[str, str]:
    """Return libpq's lists of hosts and ports; empty if the query has one host without a port."""
    every = [hosts] if isinstance(hosts, str) else list(hosts)
    several = len(every) > 1 or any(_port_of(one)[1] for one in every)
    if not several:
        return {}
    named = [",".join(column) for column in zip(*map(_port_of, every), strict=True)]
    own = ports if isinstance(ports, str) else ",".join(ports or ())
    return {"host": named[0], "port": own or named[1]} if own or named[1].strip(",") else {"host": named[0]}


def _port_of(host: str) -> tuple[str, str]:
    """Split ``host:port``; an IPv6 address and the folder of a socket have no port."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() and ":" not in name else (host, "")
