"""Convert what drivers raise to typed errors: transient trouble, damage, missing rights."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ztfdb.errors import DatabaseReadOnlyError, DatabaseUnavailableError, StatementStoppedError, StoreError
from ztfdb.texts import one_line

_RETRYABLE_STATES = ("08", "53", "57P", "40001", "40P01", "55P03", "25P03", "25P04")
"""PostgreSQL's SQLSTATEs (prefixes) of transient trouble.

Connection, resources, shutdown, serialization, locks, transactions that the server timed out.
"""

LOST = "the connection to the database was lost, as by a restart of its server: try again"

_LOST_STATES = ("57P01", "57P02")
"""PostgreSQL's SQLSTATEs of a connection that the server ends, by a shutdown or after a crash."""

_LOST_WORDS = re.compile(
    r"connection is (lost|closed)|closed the connection|consuming input failed|no connection to the server"
)
"""Words of psycopg and libpq, which have no SQLSTATE, for a connection that was open."""

_NO_SUCH_LETTER = "22P05"
"""PostgreSQL's SQLSTATE of a text that the encoding of the database cannot hold."""

_READ_ONLY_STATE = "25006"
"""PostgreSQL's SQLSTATE of a write in a read-only transaction: on a standby, or set for a server or role."""

_NO_OPTIONS = "unsupported startup parameter"
_POOLER = " (a setting of PgBouncer lets ztfdb connect: ignore_startup_parameters = options)"

_NO_RIGHT = "42501"
"""PostgreSQL's SQLSTATE of a missing privilege."""

_STOPPED_STATE = "57014"
"""PostgreSQL's SQLSTATE of a statement that was cancelled. Where we cancel our own, its error never gets here."""

_BROKEN_STATES = ("XX", "58")
"""PostgreSQL's SQLSTATEs (prefixes) of damage: corrupted pages and indexes, missing files, disk errors."""

_RETRYABLE_WORDS = ("locked", "busy", "unable to open", "disk i/o error", "disk is full")

_READ_ONLY_WORDS = "readonly database"


def unavailable(exc: BaseException | None) -> DatabaseUnavailableError | None:
    """Return the typed error for a driver's exception that means "not now", None for any other.

    Parameters
    ----------
    exc : BaseException or None
        What psycopg or sqlite3 raised.
    """
    if "psycopg" in sys.modules:  # else it is not imported (SQLite), and raised nothing
        import psycopg

        if isinstance(exc, psycopg.Error):
            state = exc.sqlstate or ""
            if state == _READ_ONLY_STATE:
                return DatabaseReadOnlyError(f"the database takes no writes now: {one_line(exc)}")
            if state in _LOST_STATES or (isinstance(exc, psycopg.OperationalError) and _is_lost(exc, state)):
                return DatabaseUnavailableError(LOST)
            if state.startswith(_RETRYABLE_STATES) or (isinstance(exc, psycopg.OperationalError) and not state):
                return DatabaseUnavailableError(one_line(exc) + (_POOLER if _NO_OPTIONS in str(exc) else ""))
    if isinstance(exc, sqlite3.OperationalError):
        if _READ_ONLY_WORDS in str(exc).lower():
            return DatabaseReadOnlyError(f"SQLite: this archive may not be written here: {_line(exc)}")
        if any(word in str(exc).lower() for word in _RETRYABLE_WORDS):
            return DatabaseUnavailableError(f"SQLite: {_line(exc)}")
    return None


def _is_lost(exc: Exception, state: str) -> bool:
    """Return whether the error without a SQLSTATE is about a connection that was open, not one being made."""
    words = str(exc)
    return not state and not words.startswith("connection failed") and _LOST_WORDS.search(words) is not None


def _line(exc: sqlite3.Error) -> str:
    """Return an error of SQLite as one line."""
    name = getattr(exc, "sqlite_errorname", "")
    if name == "SQLITE_FULL":  # SQLite does not say which disk
        return f"{one_line(exc)}: its own, or that of temporary files, {_temporary_folder()}"
    if name == "SQLITE_IOERR_SHMSIZE":
        return f"the disk is full: no room for the index of its log, 32 kB ({one_line(exc)})"
    return one_line(exc)


def _temporary_folder() -> str:
    """Return where SQLite makes its temporary files."""
    wanted = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")
    return next((folder for folder in wanted if folder and os.path.isdir(folder)), ".")  # noqa: PTH112


def _why_not_opened(exc: sqlite3.Error, where: str | None) -> str | None:
    """Return what of the file system keeps SQLite from opening a file, as it does not say; None if nothing does."""
    if where is None or getattr(exc, "sqlite_errorname", "") != "SQLITE_CANTOPEN":
        return None
    import tempfile  # only for this message

    folder = os.path.dirname(os.path.realpath(where))  # noqa: PTH120 (of a name that may be impossible)
    log = f"{where}-wal"
    try:
        if stat.S_ISDIR(os.stat(where).st_mode):  # noqa: PTH116
            return "it is a folder; expected the file of an archive"
        if os.access(where, os.R_OK) and os.path.exists(log) and os.stat(log).st_size:  # noqa: PTH110, PTH116
            return (
                f"its log, {log}, has changes that are not in it yet: run `ztfdb init` once where its folder can be "
                "written, which takes them over"
            )
        os.close(os.open(where, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        if not os.path.isdir(folder):  # noqa: PTH112
            return f"there is no folder {folder}"
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as failed:
            return f"it cannot be created: {failed.strerror}"
    except OSError as failed:
        return f"it cannot be opened: {failed.strerror}"
    return None


def errors_of_drivers(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the exceptions of the imported drivers, and any others that are to be caught with them."""
    if "psycopg" not in sys.modules:
        return sqlite3.Error, *others
    import psycopg

    return sqlite3.Error, psycopg.Error, *others


@contextmanager
def driver_errors() -> Iterator[None]:
    """Convert what psycopg and sqlite3 raise inside the block to typed errors, for calls that bypass SQLAlchemy."""
    try:
        yield
    except errors_of_drivers() as exc:
        raise typed_error(exc) or StoreError(one_line(exc)) from exc


def broken(original: BaseException | None, where: str | None = None) -> StoreError | None:
    """Return the typed error for what a driver raised about damage, of the file or the disk; None for anything else."""
    # its subclasses are about statements, and so is what an authorizer refuses; this is about the file
    if type(original) is sqlite3.DatabaseError and getattr(original, "sqlite_errorname", "") != "SQLITE_AUTH":
        return StoreError(f"{where or 'SQLite'}: {one_line(original)}")
    if (getattr(original, "sqlstate", None) or "").startswith(_BROKEN_STATES):
        return StoreError(f"the database is damaged or its disk fails: {one_line(original)}")
    return None


def typed_error(original: BaseException | None, where: str | None = None) -> StoreError | None:
    """Return the typed error for what a driver raised on an archive; None for errors of a statement.

    Parameters
    ----------
    original : BaseException or None
    where : str, optional
        The SQLite file, named in the error.
    """
    if (typed := broken(original, where)) is not None:
        return typed
    if (typed := unavailable(original)) is not None:
        if isinstance(original, sqlite3.Error):
            return type(typed)(f"{where or 'SQLite'}: {_why_not_opened(original, where) or _line(original)}")
        return typed
    if isinstance(original, UnicodeEncodeError):  # a name with bytes that are not UTF-8, see os.fsdecode
        return StoreError(f"{original.object!r} is not UTF-8: no database keeps it as text")
    if isinstance(original, sqlite3.OperationalError) and "decode to utf-8" in str(original).lower():
        return StoreError(f"SQLite: a stored text is not UTF-8: {one_line(original)}")
    state = getattr(original, "sqlstate", None) or ""
    if state == _STOPPED_STATE:
        return StatementStoppedError(
            f"the server stopped a statement, by statement_timeout or an administrator: {one_line(original)}"
        )
    if state == _NO_SUCH_LETTER:
        return StoreError(f"the database cannot hold every text, as its encoding is not UTF8: {one_line(original)}")
    if state == _NO_RIGHT:
        return StoreError(f"this role may not do that: {one_line(original)}")
    return None
