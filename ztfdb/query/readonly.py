"""SQL that can only read; the database itself refuses everything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import URL

from ztfdb.query.dataframes import from_values
from ztfdb.query.readonly_csv import TIMEOUT_S, check_limit
from ztfdb.store.readonly import run_read_only


def read_only_sql(
    url: str | Path | URL,
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
    url : str, Path or URL
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
