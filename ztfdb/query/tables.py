"""The tables, views and columns of an archive, as rows."""

from __future__ import annotations

import pandas as pd

from ztfdb.schema import describe_table, describe_tables


def table_list() -> pd.DataFrame:
    """Return every table and view: ``name``, ``kind`` (``view`` or ``table``), ``n_column``, ``description``.

    Views come first, because queries are meant to use them; each kind is sorted by name.
    """
    rows = [(one.name, one.kind, len(one.columns), one.description) for one in describe_tables()]
    return pd.DataFrame(rows, columns=["name", "kind", "n_column", "description"])


def column_list(table: str) -> pd.DataFrame:
    """Return the columns of a table or view, in their order.

    Parameters
    ----------
    table : str
        Its name.

    Returns
    -------
    DataFrame
        ``name``, ``datatype`` (VOTable's word), ``unit``, ``ucd``, ``description``.

    Raises
    ------
    ValueError
        If there is no such table; the message lists those that exist.
    """
    names = ["name", "datatype", "unit", "ucd", "description"]
    rows = [[getattr(column, name) for name in names] for column in describe_table(table).columns]
    return pd.DataFrame(rows, columns=names)
