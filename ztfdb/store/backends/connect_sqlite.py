"""Connections to a SQLite file: how they are set up, whoever opens them, and how they are opened for reading alone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from ztfdb.store.address import Address

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite connection waits for another writer."""

SQLITE_CACHE_KIB = 65536
"""Page cache of a SQLite connection: holds the inner pages of the light-curve index of some 10^8 rows."""

SQLITE_PAGE = 8192
"""Page size of new SQLite files: an image's sources touch as many index pages as there are stars, and twice the page
halves their number until a field has about a hundred epochs."""

SQLITE_CHECKPOINT_PAGES = 8192
"""Pages (64 MB) in the write-ahead log before it is copied back: a page that several images touch is copied once."""

FEEDS = "ztfdb_feeds"
"""Name, in a connection's ``info``, of the list of databases attached to it until its transaction is over."""

MOST_FEEDS = 6
"""A transaction cannot detach what it has read; SQLite attaches ten at a time, by default."""

FILE_AS_OPENED = "ztfdb_file_as_opened"
"""Name, in the ``info`` of a connection that takes its file as unchanging, of that file's size and time."""


def set_up(connection: sqlite3.Connection, *, read_only: bool) -> None:
    """Give a new connection the habits of every one: foreign keys, a large cache, write-ahead logging."""
    connection.isolation_level = None  # sqlite3 must not begin transactions of its own
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
    connection.execute("PRAGMA case_sensitive_like=ON")  # as in PostgreSQL
    if not read_only:
        connection.execute(f"PRAGMA page_size={SQLITE_PAGE}")  # heeded by a file that is still empty
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}")


def detach_all(connection: sqlite3.Connection, info: dict[str, Any]) -> None:
    """Detach the databases that a transaction has attached, now that none reads them any more."""
    for name in info.pop(FEEDS, ()):
        connection.execute(f"DETACH {name}")


def may_write(path: Path) -> bool:
    """Tell whether SQLite can write a file, which needs its folder, too; True where there is no file yet."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def facts_to_hold(path: Path) -> tuple[int, int, int] | None:
    """Return what a file must keep while it is open as ``immutable``; None where it must not be opened so.

    It must be where SQLite could not make its log's index: a file without a log in a folder that we may not write. With
    a log there is a writer at work, whose files are used as they are.
    """
    return None if os.access(path.parent, os.W_OK) else facts_without_log(path)


def facts_without_log(path: Path) -> tuple[int, int, int] | None:
    """Return what tells whether a file changed; None where its write-ahead log is in use, or it cannot be read."""
    log, index = (path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))
    try:
        if log.exists() and (index.exists() or log.stat().st_size):
            return None
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class SqliteOpener:
    """Opens connections that read a SQLite file.

    Parameters
    ----------
    address : Address
    read_only : bool
        Whether the file itself is opened for reading; a connection that could write may recover its log.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self.where = str(address.database)
        self._path = Path(self.where).absolute()
        self._read_only = read_only or not may_write(self._path)

    def open(self) -> tuple[sqlite3.Connection, dict[str, Any]]:
        """Return a new connection, and what is to be remembered of it."""
        info: dict[str, Any] = {}
        name, as_uri = self.where, False
        if self._read_only:  # SQLite itself refuses: the file is neither made nor written
            name, as_uri = f"{self._path.as_uri()}?mode=ro", True
            if (facts := facts_to_hold(self._path)) is not None:
                name, info[FILE_AS_OPENED] = f"{name}&immutable=1", facts
        connection = sqlite3.connect(name, timeout=BUSY_TIMEOUT_S, uri=as_uri, check_same_thread=False)
        try:
            set_up(connection, read_only=self._read_only)
            connection.execute("PRAGMA query_only=ON")
        except BaseException:
            connection.close()
            raise
        return connection, info

    def is_usable(self, connection: sqlite3.Connection, info: dict[str, Any]) -> bool:
        """Tell whether a connection that was idle still shows the file as it is."""
        facts = info.get(FILE_AS_OPENED)
        return facts is None or facts == facts_without_log(self._path)

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begin a transaction, which sees one state of the file."""
        connection.execute("BEGIN")

    def end(self, connection: sqlite3.Connection, info: dict[str, Any]) -> bool:
        """End it, and tell whether the connection can be used again."""
        connection.rollback()
        detach_all(connection, info)
        return True
