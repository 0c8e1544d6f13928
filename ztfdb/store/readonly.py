"""Run SQL that the database itself keeps from writing; engine-specific parts are in the backends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztfdb.arguments import shown
from ztfdb.errors import QueryError
from ztfdb.store.address import Address, address_of
from ztfdb.store.backends import ReadOnlySql, read_only_sql
from ztfdb.store.columns import python_value
from ztfdb.store.connections import own_connection
from ztfdb.store.statement import Statement

if TYPE_CHECKING:
    from sqlalchemy import URL

    from ztfdb.store.spool import Spool

MAX_ROWS = 5_000_000
"""A query with more rows is refused: one without end would fill the memory before its time limit."""

ROWS_AT_ONCE = 2_000
"""Rows converted to CSV at a time: they fit into the processor's cache."""

READING = ("select", "with", "values", "table", "explain", "show")
"""First words of statements that return rows. DO, COPY, CALL, SET and the like never pass."""

_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*([a-z]*)", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(
    r"""
      [eE]'(?:[^'\\]|''|\\.)*'            # text with escapes
    | '(?:[^']|'')*'                      # text
    | "(?:[^"]|"")*"                      # a quoted name
    | \$(?P<tag>[a-zA-Z_]?\w*)\$.*?\$(?P=tag)\$   # dollar-quoted text
    | --[^\n]*
    | /\*.*?\*/
    | ::                                  # PostgreSQL's cast
    | :(?P<name>[a-zA-Z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def run_read_only(
    url: str | Path | URL | Address,
    text: str,
    params: Mapping[str, Any],
    *,
    timeout_s: float,
    force: bool = False,
    max_rows: int = MAX_ROWS,
) -> tuple[list[str], list[Any]]:
    """Run a statement on a connection of its own; see `ztfdb.query.readonly.read_only_sql`.

    Returns
    -------
    names : list of str
        The columns' names; they may repeat.
    columns : list
        Their values as Python objects. With many rows, columns without other values are floats (NaN where NULL), or a
        pair of integers and their mask.

    Raises
    ------
    QueryError
        If it is refused, wrong, too slow, or has more than `max_rows` rows.
    ValueError
        If parameters and values do not match.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    statement = parse(text, params, timeout_s, max_rows)
    with _opened(url) as (sql, connection):
        return sql.run(connection, statement, force=force)


def read_only_csv(
    url: str | Path | URL | Address, text: str, params: Mapping[str, Any], *, timeout_s: float, force: bool = False
) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV, in pieces, in bounded memory and without a limit on their number.

    Yields
    ------
    content : bytes
        First the header line. Then lines as by `ztfdb.store.csv_lines`, the same bytes on both engines.
    n_row : int
        Rows in it.

    Raises
    ------
    QueryError, ValueError, DatabaseUnavailableError
        As `run_read_only`; possibly after some rows have been yielded.
    """
    statement = parse(text, params, timeout_s)
    with _opened(url) as (sql, connection):
        yield from sql.csv(connection, statement, ROWS_AT_ONCE, force=force)


def spooled(
    url: str | Path | URL | Address,
    text: str,
    params: Mapping[str, Any],
    *,
    timeout_s: float,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Spool:
    """Run a statement, and return its rows in a temporary file, in bounded memory and without a limit on their number.

    Parameters
    ----------
    url, text, params, timeout_s, force
        As in `run_read_only`.
    progress : callable, optional
        Called with the number of rows of each piece.

    Raises
    ------
    QueryError, ValueError, DatabaseUnavailableError
        As `run_read_only`.
    StoreError
        If the temporary folder is full.
    """
    from ztfdb.store.spool import Spool  # a service starts without

    statement = parse(text, params, timeout_s)
    spool: Spool | None = None
    try:
        with _opened(url) as (sql, connection):
            for names, columns in sql.pieces(connection, statement, force=force):
                spool = spool or Spool(names)
                n_row = spool.add(columns)
                if progress is not None:
                    progress(n_row)
    except BaseException:
        if spool is not None:
            spool.close()
        raise
    assert spool is not None  # there is at least one piece
    return spool


def check_reader(url: str | Path | URL | Address) -> None:
    """Refuse to serve an archive as a PostgreSQL role that a READ ONLY transaction does not restrict.

    Raises
    ------
    QueryError
        If the role is a superuser, or may write files or run programs on the server.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    with _opened(url) as (sql, connection):
        sql.check_reader(connection)


@contextmanager
def _opened(url: str | Path | URL | Address) -> Iterator[tuple[ReadOnlySql, Any]]:
    """Yield the engine's part and a connection of its own, as its settings are changed."""
    address = address_of(url)
    with own_connection(address) as connection:
        try:
            yield read_only_sql(address.engine), connection
        except UnicodeEncodeError as exc:
            raise QueryError(f"{exc.object!r} is not UTF-8: no database can store it") from exc


def parse(text: str, params: Mapping[str, Any], timeout_s: float, max_rows: int = MAX_ROWS) -> Statement:
    """Check the first word of a statement, and that its parameters have values.

    Raises
    ------
    QueryError
        If its first word is not one of `READING`.
    ValueError
        If a parameter has no value, a value no parameter, or a value is not one that both engines take.
    """
    match = _FIRST_WORD.match(text)
    word = match[1].lower() if match else ""
    if word not in READING:
        first = word.upper() or (text.split() or ["an empty statement"])[0]  # ".tables", as in the shell of SQLite
        raise QueryError(f"{first} is refused: only statements that return rows are run")
    numbers: dict[str, int] = {}

    def number(token: re.Match[str]) -> str:
        name = token["name"]
        return token[0] if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    numbered = _TOKEN.sub(number, text)
    if missing := [name for name in numbers if name not in params]:
        raise ValueError(f"no value for :{missing[0]}")
    if unused := [name for name in params if name not in numbers]:
        raise ValueError(f"the statement has no parameter :{unused[0]}")
    values = {name: _bound(name, params[name]) for name in numbers}
    body = _TOKEN.sub(lambda token: " " if token[0].startswith(("--", "/*")) else token[0], text).rstrip("; \t\r\n")
    return Statement(text, numbered, values, timeout_s, max_rows, body)


def _bound(name: str, given: Any) -> Any:
    """Return the value of a parameter; sqlite3 would take the bytes in memory of an array for it."""
    value = python_value(given)
    if not isinstance(value, bool | int | float | str | bytes | date | None):
        raise ValueError(f"the value of :{name} is {shown(given)}, expected a number, a text or None")
    return value
