"""Rows of a user's statement as pages of a temporary file, in bounded memory.

The statement runs under the authorizer of `ztfdb.store.backends.readonly_sqlite`, which only allows writing to the
table of that file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ztfdb.store.backends.sqlite_drain import PAGES_AT_ONCE, Rows, leaves, read_leaves
from ztfdb.store.backends.sqlite_feed import PAGE, Bytes

NAME = "pages"
"""Name of the attached database."""

_CACHE_KIB = 8_192
_MOST_PAGES = 1 << 20
"""68 GB: the file system is full long before, or the time limit of the statement reached."""

Piece = Rows | list[tuple[Any, ...]]
"""Rows in their pages, or as the driver returns them if a text is long."""


def permitted(action: int, first: str | None, database: str | None) -> bool:
    """Return whether an action other than reading is writing to the temporary file."""
    return action == sqlite3.SQLITE_INSERT and first == "rows" and database == NAME


@contextmanager
def paged(
    connection: sqlite3.Connection, authorizer: Any, text: str, values: Mapping[str, Any], n_column: int
) -> Iterator[Iterator[Piece]]:
    """Run a statement, and yield its rows in pieces.

    Parameters
    ----------
    connection : sqlite3.Connection
        On it the statement was found to be read-only.
    authorizer : callable
        Set while the statement runs.
    text : str
    values : mapping
    n_column : int
    """
    with TemporaryDirectory(prefix="ztfdb-") as folder:
        file = Path(folder) / "rows.sqlite"
        connection.set_authorizer(None)
        connection.execute(f"pragma cache_size=-{_CACHE_KIB}")  # a statement of many rows reads most pages once
        connection.execute(f"attach ? as {NAME}", (str(file),))
        for setting in (
            f"page_size={PAGE}",
            "journal_mode=off",
            "synchronous=off",
            f"cache_size=-{_CACHE_KIB}",
            f"max_page_count={_MOST_PAGES}",
        ):
            connection.execute(f"pragma {NAME}.{setting}")
        connection.execute(f"create table {NAME}.rows ({', '.join(f'c{k}' for k in range(n_column))})")
        connection.set_authorizer(authorizer)
        connection.execute(f"insert into {NAME}.rows {text}", values)
        connection.set_authorizer(None)
        ((root,),) = connection.execute(f"select rootpage from {NAME}.sqlite_master")
        with file.open("rb") as content:
            yield _pieces(connection, content, root, n_column)


def _pieces(connection: sqlite3.Connection, content: Any, root: int, n_column: int) -> Iterator[Piece]:
    def page(number: int) -> Bytes:
        content.seek((number - 1) * PAGE)
        return np.frombuffer(content.read(PAGE), np.uint8)

    n_before, some = 0, []
    for number in leaves(page, root):
        some.append(page(number))
        if len(some) == PAGES_AT_ONCE:
            piece = _piece(connection, some, n_column, n_before)
            yield piece
            n_before, some = n_before + len(piece), []
    if some:
        yield _piece(connection, some, n_column, n_before)


def _piece(connection: sqlite3.Connection, pages: list[Bytes], n_column: int, n_before: int) -> Piece:
    rows = read_leaves(pages, n_column)
    if rows is not None:
        return rows
    n_row = sum(int.from_bytes(page[3:5].tobytes(), "big") for page in pages)
    between = f"select * from {NAME}.rows where rowid > ? and rowid <= ? order by rowid"
    return connection.execute(between, (n_before, n_before + n_row)).fetchall()
