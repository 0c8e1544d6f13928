"""Descriptions of every table, view and column: unit, UCD and text, by name.

The texts are in `ztfdb.schema.words`. This module puts them on SQLAlchemy's tables and columns (``info`` and
``comment``), and looks them up.

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

from dataclasses import replace
from functools import cache

from sqlalchemy import JSON, REAL, BigInteger, Boolean, Column, Double, Integer, LargeBinary, SmallInteger, Table, Text
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
from ztfdb.schema.described import ColumnDescription, TableDescription, described
from ztfdb.schema.shapes import DATATYPES, Shape
from ztfdb.schema.views import VIEWS, view_columns
from ztfdb.schema.words import TABLES

_TYPES: tuple[tuple[type, str], ...] = (
    # subclasses first: SQLAlchemy derives the sized integers from Integer and Double from Float
    (SmallInteger, "i2"),
    (BigInteger, "i8"),
    (Integer, "i4"),
    (Double, "f8"),
    (REAL, "f4"),
    (Boolean, "bool"),
    (Text, "text"),
    (JSON, "json"),
    (LargeBinary, "blob"),
)
"""SQLAlchemy's types, and `ztfdb.schema.shapes.Shape`'s words."""


@cache
def describe_table(name: str) -> TableDescription:
    """Return the description of a table or view, with its columns.

    Raises
    ------
    ValueError
        If there is none with this name; the message lists those that exist.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; there are {', '.join(sorted(TABLES))}")
    kind = "view" if name in VIEWS else "table"
    columns = _view_columns(name) if name in VIEWS else _table_columns(name)
    return TableDescription(name, kind, TABLES[name], columns)


def describe_tables() -> tuple[TableDescription, ...]:
    """Return every table and view: the views, then the tables, each sorted by name."""
    return tuple(describe_table(name) for name in (*sorted(VIEWS), *sorted(Base.metadata.tables)))


def _of_table(name: str, table: str, datatype: str) -> ColumnDescription:
    found = described(name, table, datatype)
    if found is None:
        raise KeyError(f"column {table}.{name} has no words in ztfdb.schema.words")
    return found


def _table_columns(name: str) -> tuple[ColumnDescription, ...]:
    return tuple(_of_table(c.name, name, _datatype(c.type)) for c in Base.metadata.tables[name].columns)


def _view_columns(name: str) -> tuple[ColumnDescription, ...]:
    return tuple(
        replace(_of_table(column, name, _view_datatype(column, origin)), origin=origin if _is_column(origin) else "")
        for column, origin in view_columns(name)
    )


def _is_column(origin: str) -> bool:
    table, _, column = origin.partition(".")
    return table in Base.metadata.tables and column in Base.metadata.tables[table].columns


def _view_datatype(name: str, origin: str) -> str:
    """Return the datatype of a view's column: that of the table's column, else that of its expression."""
    if _is_column(origin):
        table, _, column = origin.partition(".")
        return _datatype(Base.metadata.tables[table].columns[column].type)
    return _EXPRESSIONS.get(name, "double")


_EXPRESSIONS = {
    **dict.fromkeys(("mask_bits", "catflags", "good", "simulated", "has_mask"), "int"),
    **dict.fromkeys(("number", "oid", "sourceid"), "long"),
    "filtercode": "unicodeChar",
}
"""Datatypes of the views' expressions that are not doubles."""


def _datatype(kind: TypeEngine[object]) -> str:
    return DATATYPES[_word(kind)]


def _word(kind: TypeEngine[object]) -> str:
    return next(word for cls, word in _TYPES if isinstance(kind, cls))


@cache
def defined_shape(table: Table) -> Shape:
    """Return the columns of a table from its definition; see `ztfdb.schema.by_name.shape_of`."""
    types = {c.name: _word(c.type) for c in table.columns}
    nullable = frozenset(c.name for c in table.columns if c.nullable)
    return Shape(table.name, types, nullable, tuple(c.name for c in table.primary_key.columns))


def _put_on_tables() -> None:
    """Copy the descriptions to ``info`` and ``comment`` of every table and column of the metadata."""
    for table in Base.metadata.tables.values():
        described = describe_table(table.name)
        table.comment = described.description
        table.info["description"] = described.description
        for one in described.columns:
            column: Column[object] = table.columns[one.name]
            column.comment = one.comment
            column.info.update(unit=one.unit, ucd=one.ucd, description=one.description)


_put_on_tables()
