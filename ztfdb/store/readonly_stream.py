"""Run the statements of a service's clients on read-only connections: rows in pieces, stopped from another thread."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztfdb.errors import QueryError
from ztfdb.store.address import Address, address_of
from ztfdb.store.backends import read_only_sql
from ztfdb.store.connections import Connections
from ztfdb.store.faults import broken, errors_of_drivers, unavailable
from ztfdb.store.interrupt import why_stopped
from ztfdb.store.statement import Rows, Rowset
from ztfdb.texts import one_line

if TYPE_CHECKING:
    from sqlalchemy import URL

PIECE = 2_000
"""Default number of rows in a piece."""

_SHOWN_CLASSES = ("21", "22", "54")
"""Classes of PostgreSQL errors about a statement's values, rows and size, whose text the client may see."""

_SHOWN_STATES = ("42501", "53400", "57014")
"""No right to read, beyond the reader's limits, stopped by the server. Others may name files or parts of our SQL."""

_SHOWN_WORDS = re.compile(
    r"integer overflow|parser stack overflow|string or blob too big|too many [\w ]+|LIKE or GLOB pattern too complex|"
    r"Expression tree is too large \(maximum depth \d+\)"
)
"""The same as texts of SQLite, most of whose errors have one code."""

log = logging.getLogger(__name__)


class Reader:
    """Connections to an archive for the statements of clients.

    Parameters
    ----------
    url : str, Path or URL
        For PostgreSQL with a role that may only read, see `ztfdb.store.readonly.check_reader`.

    Attributes
    ----------
    engine : str
        ``sqlite`` or ``postgresql``.
    """

    def __init__(self, url: str | Path | URL | Address) -> None:
        address = address_of(url)
        self._connections = Connections(address, read_only=True)
        self._sql = read_only_sql(address.engine)
        self.engine = address.engine

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def pieces(
        self, sql: str, values: Any, uploads: Sequence[Rowset] = (), *, upload_join: bool = False, size: int = PIECE
    ) -> Iterator[Rows]:
        """Yield the rows of a statement in pieces, from one snapshot; without rows, no piece.

        Parameters
        ----------
        sql : str
            One statement that reads.
        values : list or dict
            Its parameters: ``$1`` and so on on PostgreSQL, ``:name`` on SQLite.
        uploads : sequence of Rowset
            Temporary tables for SQLite.
        upload_join : bool
            Uploaded positions are joined by their cells. They are few rows, which PostgreSQL cannot know.
        size : int
            Rows of a piece.

        Raises
        ------
        QueryError
            If the database refuses it.
        DatabaseUnavailableError, StoreError
            If it cannot be reached, or is damaged.
        """
        with self._typed_errors(), self._connections.reading() as session:
            yield from self._sql.stream(session.driver, sql, values, uploads, upload_join=upload_join, size=size)

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except errors_of_drivers(sqlite3.Warning) as exc:
            if (reason := why_stopped()) is not None:
                raise reason from exc
            raise unavailable(exc) or broken(exc) or QueryError(_refusal(exc)) from exc
        except OverflowError as exc:
            raise QueryError("a number does not fit 64 bits") from exc


def _refusal(exc: Exception) -> str:
    """Return the error text for a client: the database's own on values and sizes, else one without details."""
    if isinstance(exc, (sqlite3.Error, sqlite3.Warning)):
        words = str(exc)
        shown = isinstance(exc, sqlite3.DataError) or _SHOWN_WORDS.fullmatch(words) is not None
    else:
        import psycopg  # by now it is: the error came from there

        assert isinstance(exc, psycopg.Error)
        state = exc.sqlstate or ""
        shown = state[:2] in _SHOWN_CLASSES or state in _SHOWN_STATES
        words = str(exc.diag.message_primary or "")
    if not shown:
        log.error("the database refused a statement", exc_info=exc)
        return "the database refused the statement; the log of the service has the reason"
    return f"the database refused the statement: {one_line(words)[:200]}"
