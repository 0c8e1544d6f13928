"""Engines and sessions: one URL in, one set of habits for SQLite and for PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import select
import sqlite3
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote_plus, unquote

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import ArchiveClosedError, ConfigError, DatabaseReadOnlyError, DatabaseUnavailableError, StoreError
from ztfdb.store.interrupt import make_stoppable
from ztfdb.store.type_checks import check_types
from ztfdb.texts import HIDDEN, is_secret_key, one_line

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

_RETRYABLE_STATES = ("08", "53", "57P", "40001", "40P01", "55P03", "25P03", "25P04")
"""PostgreSQL's SQLSTATEs (prefixes) of trouble that passes.

Connection, resources, shutdown, serialization, locks, transactions that the server timed out.
"""

_READ_ONLY_STATE = "25006"
"""PostgreSQL's SQLSTATE of a write in a read-only transaction: a standby, or a server or role set to read only."""

_NO_RIGHT = "42501"
"""PostgreSQL's SQLSTATE of a missing privilege."""

_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")

_BROKEN_STATES = ("XX", "58")
"""PostgreSQL's SQLSTATEs (prefixes) of damage: corrupted pages and indexes, missing files, errors of the disk."""

_RETRYABLE_WORDS = ("locked", "busy", "unable to open", "disk i/o error", "disk is full")

_READ_ONLY_WORDS = "readonly database"

_FILE_AS_OPENED = "ztfdb_file_as_opened"
"""Name, in the ``info`` of a SQLite connection that takes its file as unchanging, of that file's size and time."""


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
        return URL.create("sqlite+pysqlite", database=_file_name(str(url)))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # without its cause, which would show the password
        raise ConfigError("the archive's URL cannot be read: expected sqlite:///file or postgresql://…") from None
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    name = parsed.drivername.split("+")[0]
    if name not in drivers:
        raise ConfigError(f"{name!r} is not an engine of ztfdb: expected sqlite or postgresql")
    if name == "sqlite":
        _check_sqlite(parsed)
    return parsed.set(drivername=drivers[name])


def _check_sqlite(url: URL) -> None:
    """Refuse a SQLite URL that names no file: what stands after two slashes is a host, which SQLite has not."""
    if url.host or url.port or url.username:
        name = f"{url.host or ''}/{url.database}" if url.database else url.host or "file"
        raise ConfigError(f"a SQLite archive is named with three slashes: sqlite:///{name}")
    if not url.database or url.database == ":memory:":
        raise ConfigError("an archive in memory would be empty for every connection: name a file, sqlite:///night.db")
    _file_name(url.database)


def _file_name(name: str) -> str:
    """Return the name of a SQLite file; refuse what is meant as something else."""
    if os.name != "nt" and _WINDOWS_PATH.match(name):
        raise ConfigError(f"{name} is a path of Windows; this system has none")
    scheme = name.partition(":")[0].lower() if ":" in name else ""
    if scheme.split("+")[0] in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(f"{name} lacks the slashes of a URL: expected sqlite:///file or postgresql://…")
    if not name:
        raise ConfigError("the archive has no name: expected sqlite:///file or postgresql://…")
    return name


def mask_password(url: str | Path | URL) -> str:
    """Return the URL as it may be printed or logged: secrets show as ``***``, the driver not at all."""
    parsed = normalise_url(url)
    if parsed.get_backend_name() == "sqlite" and (parsed.database or "").startswith("file:"):  # opened read-only
        parsed = parsed.set(database=unquote(str(parsed.database).removeprefix("file://")), query={})
    shown = {key: HIDDEN if is_secret_key(key) else value for key, value in parsed.query.items()}
    text = parsed.set(drivername=parsed.get_backend_name(), query=shown).render_as_string(hide_password=True)
    return text.replace(quote_plus(HIDDEN), HIDDEN)


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
        # not in the URL, which SQLAlchemy shows with everything but its first password
        secrets = {key: value for key, value in parsed.query.items() if is_secret_key(key)}
        engine = create_engine(
            parsed.difference_update_query(secrets),
            json_serializer=strict_json,
            pool_use_lifo=True,
            connect_args={**secrets, "options": f"{given} {options}" if given else options},
        )
        event.listen(engine, "checkin", _note_time)
        event.listen(engine, "checkout", _check_alive)
    event.listen(engine, "handle_error", _translate, retval=True)
    make_stoppable(engine)
    _ENGINES.add(engine)
    return engine


def close_for_good(engine: Engine) -> None:
    """Close every connection of an engine; whoever asks it for one from now on gets an `ArchiveClosedError`."""
    engine.dispose()
    if event.contains(engine, "do_connect", _refuse):
        return
    event.listen(engine, "do_connect", _refuse)


def _refuse(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    raise ArchiveClosedError("the archive is closed: open it again")


def _renew_forked() -> None:
    """Let a forked process make connections of its own: of one that two processes read from, each gets some bytes.

    The parent's are left to the parent, and so is the lock of its pool, which another thread may have held.
    """
    for engine in list(_ENGINES):
        engine.dispose(close=False)


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
"""All engines of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_forked)


def strict_json(value: Any) -> str:
    """Return JSON text without NaN or infinity, which are not JSON; ValueError where there is one."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _stored_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError) as exc:
        raise StoreError(f"SQLite: a stored text is no JSON: {exc}") from exc


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
    if "psycopg" in sys.modules:  # else it has raised nothing: it is not loaded for a SQLite file
        import psycopg

        if isinstance(exc, psycopg.Error):
            state = exc.sqlstate or ""
            if state == _READ_ONLY_STATE:
                return DatabaseReadOnlyError(f"the database takes no writes now: {one_line(exc)}")
            if state.startswith(_RETRYABLE_STATES) or (isinstance(exc, psycopg.OperationalError) and not state):
                return DatabaseUnavailableError(one_line(exc))
    if isinstance(exc, sqlite3.OperationalError):
        if _READ_ONLY_WORDS in str(exc).lower():
            return DatabaseReadOnlyError(f"SQLite: this archive may not be written here: {one_line(exc)}")
        if any(word in str(exc).lower() for word in _RETRYABLE_WORDS):
            return DatabaseUnavailableError(f"SQLite: {one_line(exc)}")
    return None


def _driver_errors() -> tuple[type[Exception], ...]:
    """Return what the drivers that are loaded raise."""
    if "psycopg" not in sys.modules:
        return (sqlite3.Error,)
    import psycopg

    return sqlite3.Error, psycopg.Error


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn what psycopg and sqlite3 raise inside the block into typed errors, for calls that bypass SQLAlchemy."""
    try:
        yield
    except _driver_errors() as exc:
        raise unavailable(exc) or StoreError(one_line(exc)) from exc


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
    path = None if not url.database or url.database.startswith((":", "file:")) else Path(url.database).absolute()
    read_only = read_only or (path is not None and not _may_write(path))
    if read_only and path is not None:
        # A URI lets SQLite itself refuse: the file is neither made nor written.
        url = url.set(database=path.as_uri(), query={"mode": "ro", "uri": "true"})
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        json_serializer=strict_json,
        json_deserializer=_stored_json,
        pool_use_lifo=True,  # the connection used last has its pages, and the images it remembers, in the cache
    )

    check_types(engine.dialect)

    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions of its own; _begin does
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
        connection.execute("PRAGMA case_sensitive_like=ON")  # as in PostgreSQL
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
    if read_only and path is not None:
        _open_unchanging(engine, path)
    return engine


def _may_write(path: Path) -> bool:
    """Tell whether SQLite can write a file, which needs its folder, too; True where there is no file yet."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _open_unchanging(engine: Engine, path: Path) -> None:
    """Open connections as ``immutable`` where SQLite could not make its log's index; again where the file changed.

    That is a file without a log in a folder that we may not write. With a log there is a writer at work, whose files
    are used as they are.
    """

    def on_do_connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        if not os.access(path.parent, os.W_OK) and (facts := _facts_without_log(path)) is not None:
            arguments[0] += "&immutable=1"
            record.info[_FILE_AS_OPENED] = facts

    def on_checkout(connection: Any, record: Any, proxy: Any) -> None:
        facts = record.info.get(_FILE_AS_OPENED)
        if facts is not None and facts != _facts_without_log(path):
            raise DisconnectionError

    event.listen(engine, "do_connect", on_do_connect)
    event.listen(engine, "checkout", on_checkout)


def _facts_without_log(path: Path) -> tuple[int, int, int] | None:
    """Return what tells whether a file changed; None where its write-ahead log is in use, or it cannot be read."""
    log, index = (path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))
    try:
        if log.exists() and (index.exists() or log.stat().st_size):
            return None
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _translate(context: ExceptionContext) -> BaseException | None:
    original: BaseException | None = context.original_exception
    if (typed := _file_error(context, original) or unavailable(original)) is not None:
        if isinstance(typed, DatabaseReadOnlyError):
            context.is_disconnect = True  # the next connection may lead to the server that has taken over
        return typed
    if isinstance(original, UnicodeEncodeError):  # a name of bytes that are no UTF-8, see os.fsdecode
        return StoreError(f"{original.object!r} is not UTF-8: no database keeps it as text")
    if isinstance(original, sqlite3.OperationalError) and "decode to utf-8" in str(original).lower():
        return StoreError(f"SQLite: a stored text is not UTF-8: {one_line(original)}")
    state = getattr(original, "sqlstate", None) or ""
    if state == _NO_RIGHT:
        return StoreError(f"this role may not do that: {one_line(original)}")
    if state.startswith(_BROKEN_STATES):
        return StoreError(f"the database is damaged or its disk fails: {one_line(original)}")
    return None


def _file_error(context: ExceptionContext, original: BaseException | None) -> StoreError | None:
    """Return the typed error for trouble with a SQLite file, named; None for trouble with a statement."""
    name = context.engine.url.database if context.engine is not None else None
    where = unquote(name.removeprefix("file://")) if name else "SQLite"
    if type(original) is sqlite3.DatabaseError:  # its subclasses are about statements; this is about the file
        return StoreError(f"{where}: {one_line(original)}")
    found = unavailable(original) if isinstance(original, sqlite3.Error) else None
    return None if found is None else type(found)(f"{where}: {one_line(original)}")
