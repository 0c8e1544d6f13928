"""Columns and tables by name: from written-down lists if possible, else from SQLAlchemy's tables (a slow import)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ztfdb.schema.shapes import DATATYPES, WRITTEN_DOWN, Shape

if TYPE_CHECKING:
    from ztfdb.schema.described import ColumnDescription


def describe_column(name: str, table: str | None = None) -> ColumnDescription | None:
    """Return the description of a column.

    Parameters
    ----------
    name : str
        Its name.
    table : str, optional
        A table or view, or an answer (``cone``, ``psf_cone``, ``light_curve``, ``images``, ``stamps``), in which a few
        columns have a more specific meaning. By default, and in all other answers, the general meaning.

    Returns
    -------
    ColumnDescription or None
        None if ztfdb has no column with this name, or the given table or view has none.
    """
    from ztfdb.schema.described import described  # the words: an answer without descriptions needs none
    from ztfdb.schema.words import TABLES

    if table is not None and table in WRITTEN_DOWN:
        kind = shape_of(table).types.get(name)
        return None if kind is None else described(name, table, DATATYPES[kind])
    if table is not None and table in TABLES:
        from ztfdb.schema.describe import describe_table  # SQLAlchemy's tables

        return next((column for column in describe_table(table).columns if column.name == name), None)
    return described(name, table)


@cache
def shape_of(table: str) -> Shape:
    """Return the columns of a table.

    Raises
    ------
    KeyError
        If an archive has no such table.
    """
    if table not in WRITTEN_DOWN:
        from ztfdb.schema.describe import defined_shape  # SQLAlchemy's tables
        from ztfdb.schema.tables import Base

        return defined_shape(Base.metadata.tables[table])
    pairs = [word.split(":") for word in WRITTEN_DOWN[table].split()]
    types = {name: kind.rstrip("?*") for name, kind in pairs}
    nullable, key = ([name for name, kind in pairs if kind[-1] == mark] for mark in "?*")
    return Shape(table, types, frozenset(nullable), tuple(key))
