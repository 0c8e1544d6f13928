"""Connections to a SQLite file: their settings, and opening one for reading only."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from ztfdb.store.address import Address

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite connection waits for another writer."""

SQLITE_CACHE_KIB = 65536
"""Page cache of a SQLite connection: large enough for the inner pages of the light-curve index of some 10^8 rows."""

SQLITE_PAGE = 8192
"""Page size of new SQLite files. An image's sources are on as many index pages as there are stars; doubling the page
size halves that number, until a field has about 100 epochs."""

SQLITE_CHECKPOINT_PAGES = 8192
"""Pages (64 MB) in the write-ahead log before a checkpoint: a page changed by several images is copied once."""

FEEDS = "ztfdb_feeds"
"""Key, in a connection's ``info``, of the list of databases attached to it until its transaction ends."""

MOST_FEEDS = 6
"""A transaction cannot detach what it has read, and SQLite by default attaches at most 10 databases."""

FILE_AS_OPENED = "ztfdb_file_as_opened"
"""Key, in a connection's ``info``, of what its file was: the function that looks, and what it returned."""

Look = Callable[[Path], "tuple[int, ...] | None"]


def set_up(connection: sqlite3.Connection, *, read_only: bool) -> None:
    """Apply the settings of every connection: foreign keys, a large cache, write-ahead logging."""
    connection.isolation_level = None  # sqlite3 must not begin transactions of its own
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
    connection.execute("PRAGMA case_sensitive_like=ON")  # as in PostgreSQL
    if not read_only:
        connection.execute(f"PRAGMA page_size={SQLITE_PAGE}")  # takes effect if the file is still empty
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}")


def detach_all(connection: sqlite3.Connection, info: dict[str, Any]) -> None:
    """Detach the databases that a transaction has attached, after it has ended."""
    for name in info.pop(FEEDS, ()):
        connection.execute(f"DETACH {name}")


def may_write(path: Path) -> bool:
    """Return whether SQLite can write a file and its folder; True if the file does not exist yet."""
    return not os.path.exists(path) or (  # noqa: PTH110 (where Path raises, SQLite says why)
        os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    )


def has_no_table(path: Path) -> bool:
    """Return whether a file is a SQLite database without a table, as making an archive leaves it when interrupted.

    An empty file is not: it may have been made for something else.
    """
    if not os.path.isfile(path) or path.stat().st_size == 0:  # noqa: PTH113 (no error of names that cannot be)
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("select count(*) from sqlite_master").fetchone() == (0,))
    except sqlite3.Error:  # no database, or busy: opening it reports which
        return False


def facts_to_hold(path: Path) -> tuple[int, int, int] | None:
    """Return the facts of a file that must not change while it is open as ``immutable``; None if it must not be so.

    It is needed where SQLite cannot make its log's index: a file without a log, in a folder that we may not write. With
    a log there is an active writer, whose files are used as they are.
    """
    return None if os.access(path.parent, os.W_OK) else facts_without_log(path)


def facts_without_log(path: Path) -> tuple[int, int, int] | None:
    """Return facts that change with a file; None if its write-ahead log is in use, or the file cannot be read."""
    log, index = (path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))
    try:
        if log.exists() and (index.exists() or log.stat().st_size):
            return None
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def identity(path: Path) -> tuple[int, ...] | None:
    """Return what distinguishes a file from another one that takes its place; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_as_opened(path: Path, info: dict[str, Any]) -> bool:
    """Return whether a connection still shows the current file.

    SQLite itself does not notice that a file was replaced or removed: it continues to write to the old one, which no
    name leads to.
    """
    look, facts = cast("tuple[Look, tuple[int, ...] | None]", info[FILE_AS_OPENED])
    return look(path) == facts


class SqliteOpener:
    """Opens connections that read a SQLite file.

    Parameters
    ----------
    address : Address
    read_only : bool
        Open the file itself for reading only; a connection that could write may recover its log.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self.where = str(address.database)
        self._path = Path(self.where).absolute()
        self._read_only = read_only or not may_write(self._path)

    def open(self) -> tuple[sqlite3.Connection, dict[str, Any]]:
        """Return a new connection, and the ``info`` that is kept with it."""
        info: dict[str, Any] = {FILE_AS_OPENED: (identity, identity(self._path))}
        name = f"{self._path.as_uri()}?mode={'ro' if self._read_only else 'rw'}"  # never creates a file
        if self._read_only and (facts := facts_to_hold(self._path)) is not None:
            name, info[FILE_AS_OPENED] = f"{name}&immutable=1", (facts_without_log, facts)
        connection = sqlite3.connect(name, timeout=BUSY_TIMEOUT_S, uri=True, check_same_thread=False)
        try:
            set_up(connection, read_only=self._read_only)
            connection.execute("PRAGMA query_only=ON")
        except BaseException:
            connection.close()
            raise
        return connection, info

    def is_usable(self, connection: sqlite3.Connection, info: dict[str, Any]) -> bool:
        """Return whether an idle connection still shows the current file."""
        return is_as_opened(self._path, info)

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begin a transaction, which reads from one snapshot of the file."""
        connection.execute("BEGIN")

    def end(self, connection: sqlite3.Connection, info: dict[str, Any]) -> bool:
        """End the transaction, and return whether the connection can be reused."""
        connection.rollback()
        detach_all(connection, info)
        return True
