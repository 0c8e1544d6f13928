"""Engines and sessions: one URL, the same behaviour on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import ArchiveClosedError, DatabaseReadOnlyError, DatabaseUnavailableError, StoreError
from ztfdb.store.address import Address, address_of
from ztfdb.store.backends import connect_sqlite
from ztfdb.store.backends.reads import WRITE
from ztfdb.store.checked_types import check_types
from ztfdb.store.faults import LOST, typed_error
from ztfdb.store.interrupt import current_work
from ztfdb.texts import is_secret_key

_WORK = "ztfdb_work"
"""Key, in a connection's ``info``, of the work that uses it."""


def normalise_url(url: str | Path | URL | Address) -> URL:
    """Return the SQLAlchemy URL of an archive, with its driver; see `ztfdb.store.address.address_of`."""
    found = address_of(url)
    driver = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}[found.engine]
    return URL.create(driver, found.username, found.password, found.host, found.port, found.database, {**found.query})


def make_engine(url: str | Path | URL | Address, *, read_only: bool = False, exists: bool = False) -> Engine:
    """Make the engine of an archive.

    SQLite connections check foreign keys, use write-ahead logging and wait for other writers. A transaction begins
    DEFERRED, or IMMEDIATE if it was made by `writing`. PostgreSQL is reached by psycopg in UTC.

    Parameters
    ----------
    url : str, Path or URL
        See `normalise_url`.
    read_only : bool
        Open such that the database itself refuses writes.
    exists : bool
        The archive is known to exist: a SQLite file that is missing now is not created.

    Raises
    ------
    ConfigError
        For a URL of another kind of database.
    """
    parsed = normalise_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite_engine(parsed, read_only, exists)
    else:
        from ztfdb.store.backends import connect_postgresql  # a SQLite file needs no psycopg

        # not in the URL: SQLAlchemy shows everything in it except its first password
        secrets = {key: value for key, value in parsed.query.items() if is_secret_key(key)}
        engine = create_engine(
            parsed.difference_update_query(secrets),
            json_serializer=strict_json,
            pool_use_lifo=True,
            connect_args={**secrets, **connect_postgresql.session_arguments(parsed.query.get("options"))},
        )

        def on_connect(connection: Any, record: Any) -> None:
            connect_postgresql.set_up(connection, record.info, read_only=read_only)

        event.listen(engine, "connect", on_connect)
        event.listen(engine, "rollback", _drop_if_at_work)
        event.listen(engine, "checkin", _note_time)
        event.listen(engine, "checkout", _check_alive)
    event.listen(engine, "handle_error", _translate, retval=True)
    event.listen(engine, "checkout", _register_work)
    event.listen(engine, "checkin", _unregister_work)
    _ENGINES.add(engine)
    return engine


def close_for_good(engine: Engine) -> None:
    """Close every connection of an engine; new connections raise `ArchiveClosedError` from now on."""
    engine.dispose()
    if event.contains(engine, "do_connect", _refuse):
        return
    event.listen(engine, "do_connect", _refuse)


def _refuse(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    raise ArchiveClosedError("the archive is closed: open it again")


def _renew_forked() -> None:
    """Make a forked process open connections of its own: on a shared one, each process would get some of the bytes.

    The parent's connections are left to it, and so is the lock of its pool, which another thread may have held.
    """
    for engine in list(_ENGINES):
        engine.dispose(close=False)


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
"""All engines of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_forked)


def strict_json(value: Any) -> str:
    """Return JSON text; raise ValueError for NaN or infinity, which are not JSON."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _stored_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError) as exc:
        raise StoreError(f"SQLite: a stored text is not JSON: {exc}") from exc


def sessions(engine: Engine) -> sessionmaker[Session]:
    """Return the maker of sessions on `engine`; functions return records, not ORM objects, from them."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def writing(maker: sessionmaker[Session]) -> Iterator[Session]:
    """One writing transaction: committed when the block ends, rolled back if it raises.

    On SQLite the write lock is taken at the start, so that two writers queue and never deadlock.
    """
    with maker.begin() as session:
        session.connection(execution_options={WRITE: True})
        yield session


def _register_work(connection: Any, record: Any, proxy: Any) -> None:
    """Add a connection taken from the pool to the work of its thread."""
    work = current_work()
    if work is not None:
        work.check()
        work.add(connection)
        record.info[_WORK] = work


def _unregister_work(connection: Any, record: Any) -> None:
    work = record.info.pop(_WORK, None)
    if work is not None:
        work.discard(connection)


def _drop_if_at_work(connection: Connection) -> None:
    """Close a connection that cannot roll back: Ctrl-C while psycopg begins a COPY leaves it in the middle of that."""
    from psycopg.pq import TransactionStatus

    if connection.invalidated:
        return
    driver = cast(Any, connection.connection.driver_connection)
    if driver.pgconn.transaction_status == TransactionStatus.ACTIVE:
        connection.invalidate()


def _note_time(connection: Any, record: Any) -> None:
    from ztfdb.store.backends.connect_postgresql import IDLE_SINCE

    record.info[IDLE_SINCE] = time.monotonic()


def _check_alive(connection: Any, record: Any, proxy: Any) -> None:
    """Make the pool open new connections if one was lost while idle; a new one that is lost already is an error."""
    from ztfdb.store.backends.connect_postgresql import IDLE_SINCE, is_alive

    if is_alive(connection, record.info):
        return
    if IDLE_SINCE in record.info:
        raise InvalidatePoolError
    raise DatabaseUnavailableError(LOST)


def _sqlite_engine(url: URL, read_only: bool, exists: bool) -> Engine:
    path = None if not url.database or url.database.startswith((":", "file:")) else Path(url.database).absolute()
    read_only = read_only or (path is not None and not connect_sqlite.may_write(path))
    if read_only and path is not None:
        # A URI makes SQLite itself refuse: the file is neither created nor written.
        url = url.set(database=path.as_uri(), query={"mode": "ro", "uri": "true"})
    engine = create_engine(
        url,
        connect_args={"timeout": connect_sqlite.BUSY_TIMEOUT_S},
        json_serializer=strict_json,
        json_deserializer=_stored_json,
        pool_use_lifo=True,  # the connection used last has warm caches of pages and images
    )

    check_types(engine.dialect)

    def on_connect(connection: Any, record: Any) -> None:
        connect_sqlite.set_up(connection, read_only=read_only)

    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITE, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # cannot wait or fail, so it bypasses SQLAlchemy, which would take 0.1 ms more
            cast(sqlite3.Connection, connection.connection.driver_connection).execute("BEGIN")

    def on_checkin(connection: Any, record: Any) -> None:
        if connection is None:
            record.info.pop(connect_sqlite.FEEDS, None)
        else:
            connect_sqlite.detach_all(connection, record.info)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "checkin", on_checkin)
    if path is not None:
        _follow_file(engine, path, read_only, exists)
    return engine


def _follow_file(engine: Engine, path: Path, read_only: bool, exists: bool) -> None:
    """Open connections anew if another file has taken the place of the one that they show.

    Where SQLite cannot make its log's index, they are opened as ``immutable``, and anew if the file has changed. Only
    the first connection may create the file, if it is not known to exist.
    """
    seen = exists

    def on_do_connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        look: connect_sqlite.Look = connect_sqlite.identity
        facts: tuple[int, ...] | None = None
        if read_only and (facts := connect_sqlite.facts_to_hold(path)) is not None:
            arguments[0] += "&immutable=1"
            look = connect_sqlite.facts_without_log
        elif (facts := look(path)) is None and seen:
            raise sqlite3.OperationalError("unable to open database file: it is gone")
        record.info[connect_sqlite.FILE_AS_OPENED] = look, facts

    def on_connect(connection: Any, record: Any) -> None:
        nonlocal seen
        look, facts = record.info[connect_sqlite.FILE_AS_OPENED]
        if facts is None:  # this connection has created the file
            record.info[connect_sqlite.FILE_AS_OPENED] = look, look(path)
        seen = True

    def on_checkout(connection: Any, record: Any, proxy: Any) -> None:
        if not connect_sqlite.is_as_opened(path, record.info):
            raise InvalidatePoolError

    event.listen(engine, "do_connect", on_do_connect)
    event.listen(engine, "connect", on_connect)
    event.listen(engine, "checkout", on_checkout)


def _translate(context: ExceptionContext) -> BaseException | None:
    name = context.engine.url.database if context.engine is not None else None
    typed = typed_error(context.original_exception, unquote(name.removeprefix("file://")) if name else None)
    if isinstance(typed, DatabaseReadOnlyError):
        context.is_disconnect = True  # the next connection may reach the server that has taken over
    return typed
