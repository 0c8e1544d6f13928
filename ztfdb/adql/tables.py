"""The tables that statements may name: the archive's own, with what their columns mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sqlglot import exp
from sqlglot.schema import MappingSchema

from ztfdb.schema import describe_tables

PUBLISHED = (
    "light_curve_point", "psf_light_curve_point", "image_summary", "matched_source", "image_calibration",
    "object_summary", "object_oid_summary", "image_psf_check",
    "source", "psf_source", "image", "image_cell", "forced_source", "psf_check", "calibration", "catalogue",
    "ps1", "gaia", "reference_source", "source_match", "image_match", "object", "object_source", "object_filter",
    "object_alias", "object_oid",
)  # fmt: skip
"""In the order in which they are listed. What only keeps an archive going (queue, files, paths) is not published."""

HIDDEN_COLUMNS = {"path", "data_root", "data_root_id", "config_id", "config_hash", "sha256", "settings", "failure"}
SCHEMA = "ztf"

SQL_TYPES = {
    "short": "SMALLINT", "int": "INT", "long": "BIGINT", "float": "REAL", "double": "DOUBLE", "boolean": "BOOLEAN",
    "unicodeChar": "TEXT", "char": "TEXT",
}  # fmt: skip
"""Of VOTable's datatypes, as sqlglot spells them."""


@dataclass(frozen=True)
class Column:
    """One column of a table or of an answer.

    Attributes
    ----------
    name : str
    datatype : str
        VOTable's: ``short``, ``int``, ``long``, ``float``, ``double``, ``boolean``, ``char``, ``unicodeChar``.
    unit : str
        A VOUnit.
    ucd, utype, xtype, description : str
    arraysize : str
        ``*`` for text, else empty.
    """

    name: str
    datatype: str
    unit: str = ""
    ucd: str = ""
    description: str = ""
    utype: str = ""
    xtype: str = ""

    @property
    def arraysize(self) -> str:
        """``*`` for text, else empty."""
        return "*" if self.datatype in ("char", "unicodeChar") else ""

    @property
    def published(self) -> Column:
        """The column as it is told: what is computed from single precision is double; true and false are 1 and 0."""
        return replace(self, datatype={"boolean": "short"}.get(self.datatype, self.datatype))


Relation = Callable[[Any, list[str], Any], exp.Expr]
"""Makes what stands in FROM for a table that the database has not: of the parameters, the columns wanted, and, for one
with footprints, what is known of the cells that its rows touch (`ztfdb.adql.relations.Cells`)."""


@dataclass(frozen=True)
class Table:
    """One table that statements may name.

    Attributes
    ----------
    schema, name, description : str
    columns : tuple of Column
    kind : str
        ``table`` or ``view``.
    relation : callable, optional
        For a table that is not in the database under its own name.
    utype : str
    footprints : bool
        Whether each row covers a part of the sky, its column ``s_region``.
    """

    schema: str
    name: str
    description: str
    columns: tuple[Column, ...]
    kind: str = "table"
    relation: Relation | None = None
    utype: str = ""
    footprints: bool = False

    @property
    def full_name(self) -> str:
        """Schema and name."""
        return f"{self.schema}.{self.name}"

    @property
    def indexed(self) -> bool:
        """Whether rows are found by position: ``hpx29`` is the cell of ``ra`` and ``dec``."""
        return self.relation is None and {"hpx29", "ra", "dec"} <= {column.name for column in self.columns}

    @property
    def position(self) -> tuple[str, str] | None:
        """The columns of the position by which rows are found, None where they are not."""
        return ("s_ra", "s_dec") if self.footprints else ("ra", "dec") if self.indexed else None

    def column(self, name: str) -> Column | None:
        """Return the column of a name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Tables:
    """Every table that statements may name, found by schema and name.

    Attributes
    ----------
    by_name : mapping of (str, str) to Table
    """

    by_name: Mapping[tuple[str, str], Table]
    schema: MappingSchema = field(compare=False)

    @classmethod
    def of(cls, tables: list[Table]) -> Tables:
        """Make it of a list."""
        nested: dict[str, Any] = {}
        for table in tables:
            columns = {column.name: SQL_TYPES[column.datatype] for column in table.columns}
            nested.setdefault(table.schema, {})[table.name] = columns
        schema = MappingSchema(nested, normalize=False)
        return cls({(table.schema, table.name): table for table in tables}, schema)

    def with_more(self, tables: list[Table]) -> Tables:
        """Return these and more, for one statement."""
        return Tables.of([*self.by_name.values(), *tables]) if tables else self

    def find(self, name: str, schema: str = "") -> Table | None:
        """Return the table of a name; without a schema that of ``ztf``, then of any other."""
        if schema:
            return self.by_name.get((schema, name))
        own = self.by_name.get((SCHEMA, name))
        return own or next((table for (_, known), table in self.by_name.items() if known == name), None)


@cache
def archive_tables() -> tuple[Table, ...]:
    """Return the archive's own tables and views that are published."""
    described = {table.name: table for table in describe_tables()}
    made = []
    for name in PUBLISHED:
        table = described[name]
        columns = tuple(
            Column(one.name, one.datatype or "unicodeChar", one.vounit, one.ucd, one.description)
            for one in table.columns
            if one.name not in HIDDEN_COLUMNS and one.datatype != "unsignedByte" and one.name != "extra"
        )
        made.append(Table(SCHEMA, name, table.description, columns, table.kind))
    return tuple(made)
