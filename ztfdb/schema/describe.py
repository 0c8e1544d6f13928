"""What every table, view and column is: its unit, UCD and description, by name.

The words are those of `ztfdb.schema.words`; here they are put on the tables (``info`` and ``comment`` of SQLAlchemy's
tables and columns) and looked up.

Examples
--------
>>> from ztfdb.schema import describe_column, describe_table
>>> describe_column("flux_ujy").unit
'uJy'
>>> describe_column("ra", "image").description
"Right ascension of the image's centre, ICRS."
>>> [column.name for column in describe_table("image_cell").columns]
['cell9', 'image_id']
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from sqlalchemy import JSON, REAL, BigInteger, Boolean, Column, Double, Integer, LargeBinary, SmallInteger, Text
from sqlalchemy.types import TypeEngine

from ztfdb.schema import (  # noqa: F401
    archive,
    calibration,
    catalogue,
    completeness,
    forced,
    image,
    match,
    objects,
    psf,
    psfcheck,
    queue,
    source,
)
from ztfdb.schema.base import Base
from ztfdb.schema.views import VIEWS, view_columns
from ztfdb.schema.words import GENERAL, PARTICULAR, TABLES

_DATATYPES: tuple[tuple[type, str], ...] = (
    # subclasses first: SQLAlchemy derives the sized integers from Integer and Double from Float
    (SmallInteger, "short"),
    (BigInteger, "long"),
    (Integer, "int"),
    (Double, "double"),
    (REAL, "float"),
    (Boolean, "boolean"),
    (Text, "unicodeChar"),
    (JSON, "unicodeChar"),
    (LargeBinary, "unsignedByte"),
)


@dataclass(frozen=True)
class ColumnDescription:
    """One column of a table, a view or an answer.

    Attributes
    ----------
    name : str
    unit : str
        As astropy spells it (``deg``, ``DN``, ``mas / yr``); empty where there is none.
    ucd : str
        IVOA's UCD1+.
    description : str
        One sentence.
    datatype : str or None
        VOTable's word: ``short``, ``int``, ``long``, ``float``, ``double``, ``boolean``, ``unicodeChar`` (text, JSON),
        ``unsignedByte`` (bytes); None where it was looked up by name alone.
    """

    name: str
    unit: str
    ucd: str
    description: str
    datatype: str | None = None

    @property
    def vounit(self) -> str:
        """The unit as IVOA's VOUnits spell it; DN becomes adu, the same count."""
        return re.sub(r"([A-Za-z])(\d)", r"\1**\2", self.unit.replace(" ", "").replace("DN", "adu"))

    @property
    def comment(self) -> str:
        """Description, unit and UCD in one text, as PostgreSQL's ``COMMENT ON`` holds it."""
        return f"{self.description} [{self.unit or '-'}] ({self.ucd})"


@dataclass(frozen=True)
class TableDescription:
    """One table or view.

    Attributes
    ----------
    name : str
    kind : str
        ``table`` or ``view``.
    description : str
        One sentence.
    columns : tuple of ColumnDescription
        In their order.
    """

    name: str
    kind: str
    description: str
    columns: tuple[ColumnDescription, ...]


def describe_column(name: str, table: str | None = None) -> ColumnDescription | None:
    """Return what a column is.

    Parameters
    ----------
    name : str
        Its name.
    table : str, optional
        A table or view, or an answer (``cone``, ``psf_cone``, ``light_curve``, ``images``, ``stamps``): a few columns
        mean something more particular there. By default, and in all other answers, what the name means everywhere.

    Returns
    -------
    ColumnDescription or None
        None where ztfdb has no column of this name; with the name of a table or view, where that has no such column.
    """
    if table is not None and table in TABLES:
        return next((column for column in describe_table(table).columns if column.name == name), None)
    return _described(name, table, None)


@cache
def describe_table(name: str) -> TableDescription:
    """Return what a table or view is, with its columns.

    Raises
    ------
    ValueError
        If an archive has none of this name; the message lists those that there are.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; there are {', '.join(sorted(TABLES))}")
    kind = "view" if name in VIEWS else "table"
    columns = _view_columns(name) if name in VIEWS else _table_columns(name)
    return TableDescription(name, kind, TABLES[name], columns)


def describe_tables() -> tuple[TableDescription, ...]:
    """Return every table and view: the views, then the tables, each in order of their names."""
    return tuple(describe_table(name) for name in (*sorted(VIEWS), *sorted(Base.metadata.tables)))


def _described(name: str, table: str | None, datatype: str | None) -> ColumnDescription | None:
    facts = PARTICULAR.get(table or "", {}).get(name) or GENERAL.get(name)
    return None if facts is None else ColumnDescription(name, *facts, datatype=datatype)


def _of_table(name: str, table: str, datatype: str) -> ColumnDescription:
    found = _described(name, table, datatype)
    if found is None:
        raise KeyError(f"column {table}.{name} has no words in ztfdb.schema.words")
    return found


def _table_columns(name: str) -> tuple[ColumnDescription, ...]:
    return tuple(_of_table(c.name, name, _datatype(c.type)) for c in Base.metadata.tables[name].columns)


def _view_columns(name: str) -> tuple[ColumnDescription, ...]:
    return tuple(_of_table(column, name, _view_datatype(column, origin)) for column, origin in view_columns(name))


def _view_datatype(name: str, origin: str) -> str:
    """Return the datatype of a view's column: that of the table's it is, else that of the expression's numbers."""
    table, _, column = origin.partition(".")
    if table in Base.metadata.tables and column in Base.metadata.tables[table].columns:
        return _datatype(Base.metadata.tables[table].columns[column].type)
    return _EXPRESSIONS.get(name, "double")


_EXPRESSIONS = {
    **dict.fromkeys(("mask_bits", "catflags", "good", "simulated", "has_mask"), "int"),
    **dict.fromkeys(("number", "oid", "sourceid"), "long"),
    "filtercode": "unicodeChar",
}
"""Datatypes of the views' expressions that are no doubles."""


def _datatype(kind: TypeEngine[object]) -> str:
    return next(word for cls, word in _DATATYPES if isinstance(kind, cls))


def _put_on_tables() -> None:
    """Enter the words into ``info`` and ``comment`` of every table and column of the metadata."""
    for table in Base.metadata.tables.values():
        described = describe_table(table.name)
        table.comment = described.description
        table.info["description"] = described.description
        for one in described.columns:
            column: Column[object] = table.columns[one.name]
            column.comment = one.comment
            column.info.update(unit=one.unit, ucd=one.ucd, description=one.description)


_put_on_tables()
