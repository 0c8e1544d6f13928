"""SQL that can only read, because the database itself refuses everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import URL

from ztfdb.query.dataframes import from_values
from ztfdb.store import readonly
from ztfdb.store.readonly import run_read_only

TIMEOUT_S = 60.0
"""Default time limit of a statement."""


def read_only_sql(
    url: str | Path | URL,
    statement: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    force: bool = False,
) -> pd.DataFrame:
    """Run one SQL statement that returns rows and cannot write.

    PostgreSQL: a connection of its own, the extended protocol (one statement), a READ ONLY transaction with a time
    limit that is always rolled back; a superuser is refused, and so is a role that may write files or run programs on
    the server. SQLite: the file is opened read-only, and an authorizer allows only to select, to read columns, to call
    functions and to recurse.

    Parameters
    ----------
    url : str, Path or URL
        The archive.
    statement : str
        One statement; values are written as ``:name``.
    params : mapping, optional
        Those values: numbers, text, bytes, None.
    timeout_s : float
        The statement is stopped after this long.
    force : bool
        Run it on PostgreSQL even though the role could get around the safeguards.

    Returns
    -------
    DataFrame
        Integers as ``Int64``, numbers as float64, text as ``str``; columns without a single value are ``object``.

    Raises
    ------
    QueryError
        If the statement is refused, wrong, or takes too long; the message says which.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    _check_limit(timeout_s)
    names, columns = run_read_only(url, statement, dict(params or {}), timeout_s=timeout_s, force=force)
    return from_values(names, columns)


def read_only_csv(
    url: str | Path | URL,
    statement: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    force: bool = False,
) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV, in bounded memory; otherwise as `read_only_sql`.

    Numbers are as Python's ``repr`` writes them, so that each is read back as the same double; NULL is an empty field,
    an empty text ``""``, a truth value 1 or 0, a blob hexadecimal digits. Each value is written by its own type: no
    column has to be looked at as a whole. PostgreSQL writes the rows of a statement without parameters itself.

    Yields
    ------
    content : bytes
        First the line of names, then whole lines.
    n_row : int
        Rows in it.
    """
    _check_limit(timeout_s)
    return readonly.read_only_csv(url, statement, dict(params or {}), timeout_s=timeout_s, force=force)


def _check_limit(timeout_s: float) -> None:
    if not timeout_s > 0:
        raise ValueError(f"a time limit of {timeout_s} s: expected more than 0")
