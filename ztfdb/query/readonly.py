"""SQL that can only read; the database itself refuses everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ztfdb.query.dataframes import from_values
from ztfdb.query.readonly_csv import TIMEOUT_S, check_limit
from ztfdb.store.readonly import run_read_only, spooled
from ztfdb.store.spool import Spool

if TYPE_CHECKING:
    from sqlalchemy import URL

    from ztfdb.store.address import Address


def read_only_sql(
    url: str | Path | URL | Address,
    statement: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    force: bool = False,
) -> pd.DataFrame:
    """Run one SQL statement that returns rows and cannot write.

    PostgreSQL: a connection of its own, the extended protocol (one statement), and a READ ONLY transaction with a time
    limit, always rolled back. Superusers are refused, and so are roles that may write files or run programs on the
    server. SQLite: the file is opened read-only, and an authorizer allows only to select, to read columns, to call
    functions and to recurse.

    Parameters
    ----------
    url : str, Path, URL or Address
        The archive.
    statement : str
        One statement; values are written as ``:name``.
    params : mapping, optional
        Those values: numbers, text, bytes, None.
    timeout_s : float
        The statement is stopped after this long.
    force : bool
        Run it on PostgreSQL even if the role could bypass the safeguards.

    Returns
    -------
    DataFrame
        Integers as ``Int64``, numbers as float64, text as ``str``; columns without any value are ``object``.

    Raises
    ------
    QueryError
        If the statement is refused, wrong, or takes too long; the message says which.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    check_limit(timeout_s)
    names, columns = run_read_only(url, statement, dict(params or {}), timeout_s=timeout_s, force=force)
    return from_values(names, columns)


class SqlParts:
    """The rows of a statement as DataFrames, which have the columns and dtypes of the whole answer.

    The rows lie in a temporary file until `close`, or the end of the ``with`` block. They can be read several times,
    one after another.

    Attributes
    ----------
    n_row : int
        Rows of all parts.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.n_row = spool.n_row

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the parts in the statement's order: at least one, which may be empty."""
        for columns in self._spool:
            yield from_values(self._spool.names, columns, self._spool.kinds)

    def __enter__(self) -> SqlParts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._spool.close()


def read_only_parts(
    url: str | Path | URL | Address,
    statement: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> SqlParts:
    """Run a statement as `read_only_sql`, for any number of rows in bounded memory.

    Parameters
    ----------
    url, statement, params, timeout_s, force
        As in `read_only_sql`.
    progress : callable, optional
        Called with the number of rows of each piece that has come from the database.

    Returns
    -------
    SqlParts
        Joined, its parts are the frame of `read_only_sql`.

    Raises
    ------
    QueryError, DatabaseUnavailableError
        As `read_only_sql`.
    StoreError
        If the temporary folder is full.
    """
    check_limit(timeout_s)
    return SqlParts(spooled(url, statement, dict(params or {}), timeout_s=timeout_s, force=force, progress=progress))
