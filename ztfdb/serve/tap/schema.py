"""TAP_SCHEMA: every published table and column, including its own, as rows inside a statement."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlglot import exp

from ztfdb.adql import obscore, obsplan
from ztfdb.adql.relations import POSTGRESQL, Cells, Parameters, parse_own
from ztfdb.adql.selects import REGION
from ztfdb.adql.tables import SCHEMA, Column, Relation, Table, Tables, archive_tables

TAP_SCHEMA = "tap_schema"

_SCHEMAS = {
    SCHEMA: "Sources, light curves and images of the archive.",
    obscore.SCHEMA: "Tables that the Virtual Observatory defines.",
    TAP_SCHEMA: "Tables and columns that can be queried.",
}

_RESERVED = {"size"}
"""ADQL keywords that are names of columns here or in TAP_SCHEMA, and are quoted there."""


def _text(name: str, description: str) -> Column:
    return Column(name, "char", description=description)


def _number(name: str, description: str) -> Column:
    return Column(name, "int", description=description)


_TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "schemas": ("Schemas.", (
        _text("schema_name", "Name of the schema."),
        _text("utype", "Data model of the schema."),
        _text("description", "What the schema holds."),
        _number("schema_index", "Place in a list."),
    )),
    "tables": ("Tables and views.", (
        _text("schema_name", "Schema of the table."),
        _text("table_name", "Name as it is written in a statement."),
        _text("table_type", "table or view."),
        _text("utype", "Data model of the table."),
        _text("description", "What the table holds."),
        _number("table_index", "Place in a list."),
        _number("irsa_dbms", "21 for tables with a position, as IRSA's clients look for."),
        _text("irsa_pos", "y for tables with a position, as IRSA's clients look for."),
    )),
    "columns": ("Columns.", (
        _text("table_name", "Table of the column."),
        _text("column_name", "Name as it is written in a statement."),
        _text("datatype", "VOTable datatype."),
        _text("arraysize", "VOTable arraysize."),
        _text("xtype", "VOTable xtype."),
        _number("size", "Length of the column; deprecated."),
        _text("description", "What the column holds."),
        _text("utype", "Data model of the column."),
        _text("unit", "Unit, a VOUnit."),
        _text("ucd", "UCD1+."),
        _number("indexed", "1 if an index finds rows by it."),
        _number("principal", "1 if most users need it."),
        _number("std", "1 if a standard defines it."),
        _number("column_index", "Place in the table."),
    )),
    "keys": ("Foreign keys.", (
        _text("key_id", "Name of the key."),
        _text("from_table", "Table that refers."),
        _text("target_table", "Table that is referred to."),
        _text("description", "What the key says."),
        _text("utype", "Data model of the key."),
    )),
    "key_columns": ("Columns of foreign keys.", (
        _text("key_id", "Name of the key."),
        _text("from_column", "Column that refers."),
        _text("target_column", "Column that is referred to."),
    )),
}  # fmt: skip

_KEYS: tuple[tuple[str, str, str, str, str], ...] = (
    ("k_tables_schemas", "tap_schema.tables", "tap_schema.schemas", "schema_name", "schema_name"),
    ("k_columns_tables", "tap_schema.columns", "tap_schema.tables", "table_name", "table_name"),
    ("k_keys_from", "tap_schema.keys", "tap_schema.tables", "from_table", "table_name"),
    ("k_keys_target", "tap_schema.keys", "tap_schema.tables", "target_table", "table_name"),
    ("k_key_columns", "tap_schema.key_columns", "tap_schema.keys", "key_id", "key_id"),
    ("k_source_image", "ztf.source", "ztf.image", "image_id", "image_id"),
    ("k_point_image", "ztf.light_curve_point", "ztf.image", "image_id", "image_id"),
    ("k_psf_image", "ztf.psf_light_curve_point", "ztf.image", "image_id", "image_id"),
    ("k_match_source", "ztf.source_match", "ztf.source", "source_id", "source_id"),
    ("k_calibration_image", "ztf.calibration", "ztf.image", "image_id", "image_id"),
    ("k_calibration_solution", "ztf.calibration", "ztf.self_solution", "solution_id", "solution_id"),
    ("k_star_solution", "ztf.self_star", "ztf.self_solution", "solution_id", "solution_id"),
    ("k_self_image", "ztf.self_light_curve_point", "ztf.image", "image_id", "image_id"),
    ("k_limit_image", "ztf.detection_limit", "ztf.image", "image_id", "image_id"),
    ("k_object_source", "ztf.object_source", "ztf.object", "object_id", "object_id"),
    ("k_obscore_image", "ivoa.obscore", "ztf.image", "image_id", "image_id"),
    ("k_obsplan_image", "ivoa.obsplan", "ztf.image", "image_id", "image_id"),
    ("k_object_filter", "ztf.object_filter", "ztf.object", "object_id", "object_id"),
)
"""Name, table, table it refers to, column, column it refers to."""

_INDEXED = {"hpx29", "source_id", "image_id", "object_id", "obsmjd", "ps1_id", "gaia_id"}


@cache
def published() -> Tables:
    """Return every table that statements may name."""
    return Tables.of(list(ordered()))


@cache
def ordered() -> tuple[Table, ...]:
    """Return the same tables in the order of listings."""
    return (*archive_tables(), obscore.obscore_table(), obsplan.obsplan_table(), *_own_tables())


@cache
def _own_tables() -> tuple[Table, ...]:
    return tuple(
        Table(TAP_SCHEMA, name, description, columns, relation=_relation(name, columns))
        for name, (description, columns) in _TABLES.items()
    )


def schemas() -> dict[str, str]:
    """Return the schemas with their descriptions."""
    return dict(_SCHEMAS)


def keys_of(table: Table) -> list[tuple[str, str, str]]:
    """Return the foreign keys of a table: target, column, column it refers to."""
    return [(target, own, other) for _, source, target, own, other in _KEYS if source == table.full_name]


def shown_name(column: Column) -> str:
    """Return a column's name as written in a statement."""
    return f'"{column.name}"' if column.name in _RESERVED else column.name


def is_indexed(table: Table, column: Column) -> bool:
    """Return whether an index finds rows by a column; positions and footprints are indexed by their cells."""
    if table.schema == TAP_SCHEMA:
        return False
    footprint = table.footprints and column.name == REGION
    return column.name in _INDEXED or column.name in (table.position or ()) or footprint


def is_standard(table: Table, column: Column) -> bool:
    """Return whether a standard defines a column."""
    return table.schema == TAP_SCHEMA or (table.schema == obscore.SCHEMA and column.name not in obscore.OWN)


def is_principal(table: Table, column: Column) -> bool:
    """Return whether most users need a column."""
    if table.schema == obscore.SCHEMA:
        return column.name in obscore.MANDATORY
    return column.name in {"source_id", "image_id", "object_id", "ra", "dec", "mjd", "obsmjd", "filtercode", "mag",
                           "magerr", "flux", "flux_err", "good", "exptime", "fid", "field"}  # fmt: skip


def _relation(name: str, columns: tuple[Column, ...]) -> Relation:
    def make(parameters: Parameters, wanted: list[str], cells: Cells) -> exp.Query:
        place = parameters.add(_rows_text(name))
        shown = [column for column in columns if column.name in wanted] or list(columns[:1])
        if parameters.engine == POSTGRESQL:
            kinds = ", ".join(f'"{c.name}" {"text" if c.arraysize else "integer"}' for c in columns)
            names = ", ".join(f'_j."{c.name}"' for c in shown)
            return parse_own(f"select {names} from jsonb_to_recordset({place}::jsonb) as _j({kinds})", POSTGRESQL)
        names = ", ".join(f"json_extract(_j.value, '$.{c.name}') as \"{c.name}\"" for c in shown)
        return parse_own(f"select {names} from json_each({place}) as _j", parameters.engine)

    return make


@cache
def _rows_text(name: str) -> str:
    return json.dumps(_rows(name), separators=(",", ":"))


def _rows(name: str) -> list[dict[str, Any]]:
    if name == "schemas":
        return [
            {"schema_name": schema, "utype": None, "description": text, "schema_index": at}
            for at, (schema, text) in enumerate(_SCHEMAS.items())
        ]
    if name == "tables":
        return [_table_row(at, table) for at, table in enumerate(ordered())]
    if name == "columns":
        return [_column_row(at, table, column) for table in ordered() for at, column in enumerate(table.columns)]
    if name == "keys":
        return [
            {"key_id": key, "from_table": source, "target_table": target, "description": None, "utype": None}
            for key, source, target, _, _ in _KEYS
        ]
    return [{"key_id": key, "from_column": own, "target_column": other} for key, _, _, own, other in _KEYS]


def _table_row(at: int, table: Table) -> dict[str, Any]:
    positioned = {"ra", "dec"} <= {column.name for column in table.columns}
    return {
        "schema_name": table.schema, "table_name": table.full_name, "table_type": table.kind,
        "utype": table.utype or None, "description": table.description, "table_index": at,
        "irsa_dbms": 21 if positioned else None, "irsa_pos": "y" if positioned else None,
    }  # fmt: skip


def _column_row(at: int, table: Table, column: Column) -> dict[str, Any]:
    told = column.published
    return {
        "table_name": table.full_name, "column_name": shown_name(column), "datatype": told.datatype,
        "arraysize": told.arraysize or None, "xtype": told.xtype or None, "size": None,
        "description": told.description or None, "utype": told.utype or None, "unit": told.unit or None,
        "ucd": told.ucd or None, "indexed": int(is_indexed(table, column)),
        "principal": int(is_principal(table, column)), "std": int(is_standard(table, column)), "column_index": at,
    }  # fmt: skip
