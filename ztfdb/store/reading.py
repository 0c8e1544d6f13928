"""Statements of programs: sent over connections that can only read, rows taken in pieces, stopped from outside."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import capabilities
from sqlalchemy import URL

from ztfdb.errors import QueryError
from ztfdb.store.backends.readonly_sqlite import MAX_BYTES, authorize
from ztfdb.store.engine import make_engine, unavailable
from ztfdb.store.interrupt import why_stopped
from ztfdb.texts import one_line

PIECE = 2_000
"""Rows of a piece."""

UPLOAD_SETTINGS = ("jit=off", "enable_bitmapscan=off", "enable_seqscan=off")
"""Of a transaction that joins uploaded positions by their cells: PostgreSQL does not know how few rows that is."""

_SQLITE_TYPES = {"short": "integer", "int": "integer", "long": "integer", "float": "real", "double": "real",
                 "boolean": "integer", "char": "text", "unicodeChar": "text"}  # fmt: skip

_TOLD_CLASSES = ("21", "22", "54")
"""Classes of PostgreSQL's errors that are about a statement's values, rows and size."""

_TOLD_STATES = ("42501", "53400", "57014")
"""No right to read, beyond the reader's limits, stopped by the server. Others may name files, or parts of our SQL."""

_TOLD_WORDS = re.compile(
    r"integer overflow|parser stack overflow|string or blob too big|too many [\w ]+|LIKE or GLOB pattern too complex|"
    r"Expression tree is too large \(maximum depth \d+\)"
)
"""The same, in SQLite's words: most of its errors have one code."""

log = logging.getLogger(__name__)

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Rowset:
    """A table that a statement brings.

    Attributes
    ----------
    name : str
        Of the temporary table on SQLite.
    datatypes : mapping of str to str
        VOTable's datatypes by column.
    columns : sequence of list
        Python values.
    """

    name: str
    datatypes: Mapping[str, str]
    columns: Sequence[list[Any]] = field(repr=False)


class Reader:
    """Connections to an archive for statements of programs.

    Parameters
    ----------
    url : str, Path or URL
        PostgreSQL: of a role that may only read, see `ztfdb.store.readonly.check_reader`.

    Attributes
    ----------
    engine : str
        ``sqlite`` or ``postgresql``.
    """

    def __init__(self, url: str | Path | URL) -> None:
        self._engine = make_engine(url, read_only=True)
        self.engine = self._engine.dialect.name

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def pieces(
        self, sql: str, values: Any, uploads: Sequence[Rowset] = (), *, upload_join: bool = False, size: int = PIECE
    ) -> Iterator[Rows]:
        """Yield the rows of a statement piece by piece, from one snapshot; an empty answer has no piece.

        Parameters
        ----------
        sql : str
            One statement that reads.
        values : list or dict
            Its parameters: ``$1`` and so on on PostgreSQL, ``:name`` on SQLite.
        uploads : sequence of Rowset
            Temporary tables for SQLite.
        upload_join : bool
            See `UPLOAD_SETTINGS`.
        size : int
            Rows of a piece.

        Raises
        ------
        QueryError
            If the database refuses it.
        DatabaseUnavailableError
            If it cannot be reached.
        """
        read = self._sqlite if self.engine == "sqlite" else self._postgresql
        with self._told():
            yield from read(sql, values, uploads, upload_join, size)

    def _sqlite(self, sql: str, values: Any, uploads: Sequence[Rowset], upload_join: bool, size: int) -> Iterator[Rows]:
        pooled = self._engine.raw_connection()
        try:
            connection = pooled.driver_connection
            assert isinstance(connection, sqlite3.Connection)
            connection.set_authorizer(None)
            connection.execute("PRAGMA case_sensitive_like=on")
            connection.execute("select 1 from json_each('[]')")  # its first use makes it, which the authorizer forbids
            for upload in uploads:
                _fill(connection, upload)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
            connection.set_authorizer(authorize)
            cursor = connection.execute(sql, values)
            while rows := cursor.fetchmany(size):
                yield rows
            cursor.close()
        finally:
            if uploads:
                pooled.invalidate()  # its temporary tables go with it
            pooled.close()

    def _postgresql(
        self, sql: str, values: Any, uploads: Sequence[Rowset], upload_join: bool, size: int
    ) -> Iterator[Rows]:
        pooled = self._engine.raw_connection()
        try:
            connection = pooled.driver_connection
            assert isinstance(connection, psycopg.Connection)
            for setting in UPLOAD_SETTINGS if upload_join else UPLOAD_SETTINGS[:1]:
                connection.execute(f"set local {setting}".encode())
            cursor = psycopg.RawCursor(connection)
            rows: Rows = []
            for row in cursor.stream(sql, values, binary=True, size=size if capabilities.has_stream_chunked() else 1):
                rows.append(row)
                if len(rows) >= size:
                    yield rows
                    rows = []
            if rows:
                yield rows
        finally:
            pooled.close()  # rolls back

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, sqlite3.Error, sqlite3.Warning) as exc:
            if (reason := why_stopped()) is not None:
                raise reason from exc
            raise unavailable(exc) or QueryError(_refusal(exc)) from exc
        except OverflowError as exc:
            raise QueryError("a number does not fit 64 bits") from exc


def _fill(connection: sqlite3.Connection, upload: Rowset) -> None:
    """Make the temporary table of an upload, its rows numbered from 0 by ``_k``."""
    columns = ", ".join(f'"{name}" {_SQLITE_TYPES[kind]}' for name, kind in upload.datatypes.items())
    connection.execute(f'create temporary table "_upload_{upload.name}" (_k integer primary key, {columns})')
    places = ", ".join("?" * (1 + len(upload.datatypes)))
    n_row = len(upload.columns[0]) if upload.columns else 0
    rows = zip(range(n_row), *upload.columns, strict=True)
    connection.execute("begin")
    connection.executemany(f'insert into "_upload_{upload.name}" values ({places})', rows)
    connection.commit()


def _refusal(exc: Exception) -> str:
    """Return what a program is told: the database's words about its values and their size, nothing of ours."""
    if isinstance(exc, psycopg.Error):
        state = exc.sqlstate or ""
        known = state[:2] in _TOLD_CLASSES or state in _TOLD_STATES
        words = str(exc.diag.message_primary or "")
    else:
        words = str(exc)
        known = isinstance(exc, sqlite3.DataError) or _TOLD_WORDS.fullmatch(words) is not None
    if not known:
        log.error("the database refused a statement", exc_info=exc)
        return "the database refused the statement; the log of the service has the reason"
    return f"the database refused the statement: {one_line(words)[:200]}"
