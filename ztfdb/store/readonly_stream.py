"""Statements of programs: sent over connections that can only read, rows taken in pieces, stopped from outside."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL

from ztfdb.errors import QueryError
from ztfdb.store.backends import engine_class
from ztfdb.store.engine import make_engine
from ztfdb.store.faults import unavailable
from ztfdb.store.interrupt import why_stopped
from ztfdb.store.statement import Rows, Rowset
from ztfdb.texts import one_line

PIECE = 2_000
"""Rows of a piece."""

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
        self._class = engine_class(self._engine)
        self.engine = self._class.name

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
            Whether uploaded positions are joined by their cells: few rows, which PostgreSQL does not know.
        size : int
            Rows of a piece.

        Raises
        ------
        QueryError
            If the database refuses it.
        DatabaseUnavailableError
            If it cannot be reached.
        """
        with self._told():
            yield from self._class.stream(self._engine, sql, values, uploads, upload_join=upload_join, size=size)

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
