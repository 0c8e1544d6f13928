"""Engines and sessions: one URL in, one set of habits for SQLite and for PostgreSQL."""

from __future__ import annotations

import json
import os
import select
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import ConfigError, DatabaseUnavailableError, StoreError

WRITE = "ztfdb_write"
"""Execution option of a transaction that writes; on SQLite it begins with BEGIN IMMEDIATE."""

FEEDS = "ztfdb_feeds"
"""Name, in a SQLite connection's ``info``, of the list of databases attached to it until its transaction is over."""

PING_AFTER_S = 0.5
"""A PostgreSQL connection that was idle for longer is always tried before it is used."""

_IDLE_SINCE = "ztfdb_idle_since"
_EMPTY_QUERY = 0
"""libpq's status of a query of nothing, PGRES_EMPTY_QUERY."""

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite connection waits for another writer."""

SQLITE_CACHE_KIB = 65536
"""Page cache of a SQLite connection: holds the inner pages of the light-curve index of some 10^8 rows."""

SQLITE_PAGE = 8192
"""Page size of new SQLite files: an image's sources touch as many index pages as there are stars, and twice the page
halves their number until a field has about a hundred epochs."""

SQLITE_CHECKPOINT_PAGES = 8192
"""Pages (64 MB) in the write-ahead log before it is copied back: a page that several images touch is copied once."""

_RETRYABLE_STATES = ("08", "53", "57P", "40001", "40P01", "55P03")
"""PostgreSQL's SQLSTATEs (prefixes) of trouble that passes: connection, resources, shutdown, serialization, locks."""

_NO_RIGHT = "42501"
"""PostgreSQL's SQLSTATE of a missing privilege."""

_RETRYABLE_WORDS = ("locked", "busy", "unable to open", "disk i/o error", "disk is full", "readonly database")


def normalise_url(url: str | Path | URL) -> URL:
    """Return the SQLAlchemy URL of an archive.

    Parameters
    ----------
    url : str, Path or URL
        ``sqlite:///night.db``, ``postgresql://…`` (read as ``postgresql+psycopg``), or the plain path of a SQLite file.

    Raises
    ------
    ConfigError
        If it cannot be read as a URL, or names another kind of database.
    """
    if isinstance(url, Path) or (isinstance(url, str) and "://" not in url):
        return URL.create("sqlite+pysqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # without its cause, which would show the password
        raise ConfigError("the archive's URL cannot be read: expected sqlite:///file or postgresql://…") from None
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    name = parsed.drivername.split("+")[0]
    if name not in drivers:
        raise ConfigError(f"{name!r} is not an engine of ztfdb: expected sqlite or postgresql")
    return parsed.set(drivername=drivers[name])


def mask_password(url: str | Path | URL) -> str:
    """Return the URL as it may be printed or logged: the password shows as ``***``, the driver not at all."""
    parsed = normalise_url(url)
    if parsed.get_backend_name() == "sqlite" and (parsed.database or "").startswith("file:"):  # opened read-only
        parsed = parsed.set(database=unquote(str(parsed.database).removeprefix("file://")), query={})
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=True)


def make_engine(url: str | Path | URL, *, read_only: bool = False) -> Engine:
    """Make the engine of an archive.

    SQLite connections check foreign keys, use write-ahead logging and wait for other writers; a transaction
    begins plainly, or IMMEDIATE where it was marked with `writing`. PostgreSQL is reached by psycopg in UTC.

    Parameters
    ----------
    url : str, Path or URL
        See `normalise_url`.
    read_only : bool
        Open so that the database itself refuses to write.

    Raises
    ------
    ConfigError
        For a URL of another kind of database.
    """
    parsed = normalise_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite_engine(parsed, read_only)
    else:
        options = "-c timezone=UTC" + (" -c default_transaction_read_only=on" if read_only else "")
        given = parsed.query.get("options")
        engine = create_engine(
            parsed,
            json_serializer=strict_json,
            connect_args={"options": f"{given} {options}" if given else options},
        )
        event.listen(engine, "checkin", _note_time)
        event.listen(engine, "checkout", _check_alive)
    event.listen(engine, "handle_error", _translate, retval=True)
    return engine


def strict_json(value: Any) -> str:
    """Return JSON text without NaN or infinity, which are not JSON; ValueError where there is one."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def sessions(engine: Engine) -> sessionmaker[Session]:
    """Return the maker of sessions on `engine`; records, not ORM objects, leave them."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def writing(maker: sessionmaker[Session]) -> Iterator[Session]:
    """One writing transaction: committed when the block ends, rolled back when it raises.

    On SQLite the write lock is taken at the start, so that two writers queue up and never deadlock.
    """
    with maker.begin() as session:
        session.connection(execution_options={WRITE: True})
        yield session


def unavailable(exc: BaseException | None) -> DatabaseUnavailableError | None:
    """Return the typed error for a driver's exception that says "not now", None for any other.

    Parameters
    ----------
    exc : BaseException or None
        What psycopg or sqlite3 raised.
    """
    import psycopg  # the driver is loaded only where an error must be told

    if isinstance(exc, psycopg.OperationalError):
        state = exc.sqlstate
        if state is None or state.startswith(_RETRYABLE_STATES):
            return DatabaseUnavailableError(_one_line(exc))
    if isinstance(exc, sqlite3.OperationalError) and any(word in str(exc).lower() for word in _RETRYABLE_WORDS):
        return DatabaseUnavailableError(f"SQLite: {_one_line(exc)}")
    return None


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn what psycopg and sqlite3 raise inside the block into typed errors, for calls that bypass SQLAlchemy."""
    import psycopg

    try:
        yield
    except (psycopg.Error, sqlite3.Error) as exc:
        raise unavailable(exc) or StoreError(_one_line(exc)) from exc


def _note_time(connection: Any, record: Any) -> None:
    record.info[_IDLE_SINCE] = time.monotonic()


def _check_alive(connection: Any, record: Any, proxy: Any) -> None:
    """Make the pool take new connections where one has gone while it lay idle.

    As SQLAlchemy's own ``pool_pre_ping``, but without a round trip (0.3 ms of every call) where the connection was in
    use a moment ago and has nothing to say: a server that ends a connection says so.
    """
    idle = time.monotonic() > record.info.get(_IDLE_SINCE, float("inf")) + PING_AFTER_S
    if connection.closed:
        raise InvalidatePoolError
    if (idle or _has_spoken(connection.pgconn.socket)) and connection.pgconn.exec_(b"").status != _EMPTY_QUERY:
        raise InvalidatePoolError


def _has_spoken(socket: int) -> bool:
    """Tell whether there is something to read on a socket, or its end; True where that cannot be told."""
    try:
        return bool(select.select([socket], [], [], 0.0)[0])
    except (OSError, ValueError):
        return True


def _sqlite_engine(url: URL, read_only: bool) -> Engine:
    database = url.database
    if read_only and database:
        # A URI lets SQLite itself refuse: the file is neither made nor written.
        quoted = Path(database).absolute().as_uri()
        url = url.set(database=quoted, query={"mode": "ro", "uri": "true"} | _immutable(Path(database)))
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, json_serializer=strict_json)

    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions of its own; _begin does
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
        if not read_only:
            connection.execute(f"PRAGMA page_size={SQLITE_PAGE}")  # heeded by a file that is still empty
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}")

    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITE, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # waits for nobody and cannot fail: not through SQLAlchemy, which would take 0.1 ms more
            cast(sqlite3.Connection, connection.connection.driver_connection).execute("BEGIN")

    def on_checkin(connection: Any, record: Any) -> None:
        for name in record.info.pop(FEEDS, ()):  # no transaction reads them any more
            if connection is not None:
                connection.execute(f"DETACH {name}")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "checkin", on_checkin)
    return engine


def _immutable(path: Path) -> dict[str, str]:
    """Return the option for a file in a folder that we may not write: SQLite cannot make its log's index there.

    A log that exists belongs to a writer at work; then its files are used as they are.
    """
    log = path.with_name(f"{path.name}-wal")
    return {} if os.access(path.absolute().parent, os.W_OK) or log.exists() else {"immutable": "1"}


def _translate(context: ExceptionContext) -> BaseException | None:
    original: BaseException | None = context.original_exception
    if (typed := _file_error(context, original) or unavailable(original)) is not None:
        return typed
    if getattr(original, "sqlstate", None) == _NO_RIGHT:
        return StoreError(f"this role may not do that: {_one_line(original)}")
    return None


def _file_error(context: ExceptionContext, original: BaseException | None) -> StoreError | None:
    """Return the typed error for trouble with a SQLite file, named; None for trouble with a statement."""
    name = context.engine.url.database if context.engine is not None else None
    where = unquote(name.removeprefix("file://")) if name else "SQLite"
    if type(original) is sqlite3.DatabaseError:  # its subclasses are about statements; this is about the file
        return StoreError(f"{where}: {_one_line(original)}")
    found = unavailable(original) if isinstance(original, sqlite3.Error) else None
    return None if found is None else DatabaseUnavailableError(f"{where}: {_one_line(original)}")


def _one_line(exc: BaseException | None) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
