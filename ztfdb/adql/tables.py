"""The tables that statements may use: the archive's own, with descriptions of their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from sqlglot import exp
from sqlglot.schema import Schema

from ztfdb.adql.kept import Kept
from ztfdb.schema import describe_tables

PUBLISHED = (
    "light_curve_point", "psf_light_curve_point", "self_light_curve_point", "image_summary", "matched_source",
    "image_calibration", "object_summary", "object_oid_summary", "image_psf_check",
    "source", "psf_source", "image", "image_cell", "forced_source", "psf_check", "calibration", "self_solution",
    "self_star", "detection_limit", "catalogue",
    "ps1", "gaia", "reference_source", "source_match", "image_match", "object", "object_source", "object_filter",
    "object_alias", "object_oid",
)  # fmt: skip
"""In the order of listings. Internal tables (queue, files, paths) are not published."""

HIDDEN_COLUMNS = {
    "path", "data_root", "data_root_id", "config_id", "config_hash", "sha256", "settings", "failure",
    "versions", "noise", "model", "bins",
}  # fmt: skip
"""Hidden columns: folders, settings, errors that may name files, and JSON, which the engines format differently."""
SCHEMA = "ztf"

OBJECTS = ("object", "object_summary")
"""Tables of objects, whose ``object_id`` is the cell of their first clean detection."""

KEYS = {
    "source": "source_id", "psf_source": "source_id", "light_curve_point": "source_id", "object_source": "source_id",
    "psf_light_curve_point": "source_id", "image": "image_id", "object": "object_id", "ps1": "ps1_id",
    "gaia": "gaia_id", "catalogue": "catalogue_id",
}  # fmt: skip
"""Columns with another value in every row."""

MOST_SHAPES = 256
"""Number of shapes with cached translations, see `ztfdb.adql.shapes`."""

SQL_KINDS = {
    "short": exp.DType.SMALLINT, "int": exp.DType.INT, "long": exp.DType.BIGINT, "float": exp.DType.FLOAT,
    "double": exp.DType.DOUBLE, "boolean": exp.DType.BOOLEAN, "unicodeChar": exp.DType.TEXT, "char": exp.DType.TEXT,
}  # fmt: skip
"""Corresponding datatypes of VOTable."""


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
    origin : str
        Table and column of the database that it is without a change, as ``image.obsmjd``.
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
    origin: str = ""

    @property
    def arraysize(self) -> str:
        """``*`` for text, else empty."""
        return "*" if self.datatype in ("char", "unicodeChar") else ""

    @property
    def published(self) -> Column:
        """The column as published: values computed from single precision are double; truth values are 1 and 0."""
        return replace(self, datatype={"boolean": "short"}.get(self.datatype, self.datatype))


Relation = Callable[[Any, list[str], Any], exp.Expr]
"""Makes the item of FROM for a table that is not in the database, from the parameters, the requested columns and, with
footprints, the cells that its rows touch (`ztfdb.adql.relations.Cells`)."""


@dataclass(frozen=True)
class Table:
    """One table that statements may use.

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
        Whether each row covers a part of the sky, given by its column ``s_region``.
    key : str
        A column with another value in every row; empty if unknown.
    did : str
        What ``image_id`` follows in ``obs_publisher_did``, if the table has it.
    """

    schema: str
    name: str
    description: str
    columns: tuple[Column, ...]
    kind: str = "table"
    relation: Relation | None = None
    utype: str = ""
    footprints: bool = False
    key: str = ""
    did: str = ""

    @property
    def full_name(self) -> str:
        """Schema and name."""
        return f"{self.schema}.{self.name}"

    @property
    def indexed(self) -> bool:
        """Whether rows are found by position: ``hpx29`` is the cell of ``ra`` and ``dec``."""
        return self.relation is None and {"hpx29", "ra", "dec"} <= {column.name for column in self.columns}

    @property
    def of_sources(self) -> bool:
        """Whether its rows belong to sources of images: ``source_id`` is in the range of ``image_id``."""
        return self.schema == SCHEMA and {"source_id", "image_id"} <= self._by_name.keys()

    @property
    def of_objects(self) -> bool:
        """Whether rows are found by position nearly: ``object_id`` is a cell near ``ra`` and ``dec``."""
        return self.relation is None and self.name in OBJECTS

    @property
    def position(self) -> tuple[str, str] | None:
        """The columns of the indexed position, None without an index."""
        if self.footprints:
            return "s_ra", "s_dec"
        return ("ra", "dec") if self.indexed or self.of_objects else None

    def column(self, name: str) -> Column | None:
        """Return the column of a name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}


class KnownColumns(Schema):
    """Names and types of the tables' columns for sqlglot.

    sqlglot's own `sqlglot.schema.MappingSchema` stores the tree of every statement, and compares each new one with all
    of them.

    Parameters
    ----------
    by_name : mapping of (str, str) to Table
    """

    def __init__(self, by_name: Mapping[tuple[str, str], Table]) -> None:
        self._columns = {
            key: {column.name: SQL_KINDS[column.datatype] for column in table.columns} for key, table in by_name.items()
        }

    def add_table(self, *args: Any, **options: Any) -> None:
        """Refuse: the tables are fixed."""
        raise NotImplementedError("the tables are fixed")

    def column_names(self, table: exp.Table | str, *args: Any, **options: Any) -> list[str]:
        """Return the columns of a table; empty for an unknown one."""
        return list(self._of(table))

    def get_column_type(
        self, table: exp.Table | str, column: exp.Column | str, *args: Any, **options: Any
    ) -> exp.DataType:
        """Return the type of a column."""
        name = column if isinstance(column, str) else column.name
        return exp.DataType(this=self._of(table).get(name, exp.DType.UNKNOWN))

    @property
    def supported_table_args(self) -> tuple[str, ...]:
        """Return the parts of a table's name."""
        return ("this", "db")

    @property
    def empty(self) -> bool:
        """Return whether there is no table."""
        return not self._columns

    def _of(self, table: exp.Table | str) -> Mapping[str, exp.DType]:
        return self._columns.get((table.db, table.name), {}) if isinstance(table, exp.Table) else {}


@dataclass(frozen=True)
class Tables:
    """Every table that statements may use, by schema and name.

    Attributes
    ----------
    by_name : mapping of (str, str) to Table
    templates : Kept
        Translations of statements about these tables, by their shape.
    """

    by_name: Mapping[tuple[str, str], Table]
    schema: KnownColumns = field(compare=False)
    templates: Kept[Any] = field(default_factory=lambda: Kept(MOST_SHAPES), compare=False, repr=False)

    @classmethod
    def of(cls, tables: list[Table]) -> Tables:
        """Make an instance from a list."""
        by_name = {(table.schema, table.name): table for table in tables}
        return cls(by_name, KnownColumns(by_name))

    def with_more(self, tables: list[Table]) -> Tables:
        """Return these and further tables, for one statement."""
        return Tables.of([*self.by_name.values(), *tables]) if tables else self

    def find(self, name: str, schema: str = "") -> Table | None:
        """Return a table by name; without a schema look in ``ztf`` first, then in the others."""
        if schema:
            return self.by_name.get((schema, name))
        own = self.by_name.get((SCHEMA, name))
        return own or next((table for (_, known), table in self.by_name.items() if known == name), None)


@cache
def archive_tables() -> tuple[Table, ...]:
    """Return the archive's own published tables and views."""
    described = {table.name: table for table in describe_tables()}
    made = []
    for name in PUBLISHED:
        table = described[name]
        columns = tuple(
            replace(
                Column(one.name, one.datatype or "unicodeChar", one.vounit, one.ucd, one.description),
                origin=one.origin or f"{name}.{one.name}",
            )
            for one in table.columns
            if one.name not in HIDDEN_COLUMNS and one.datatype != "unsignedByte" and one.name != "extra"
        )
        made.append(Table(SCHEMA, name, table.description, columns, table.kind, key=KEYS.get(name, "")))
    return tuple(made)
