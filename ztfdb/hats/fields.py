"""Columns of HATS products: their Parquet types, with unit, UCD and description as field metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztfdb.arrays import AnyColumns, Columns
from ztfdb.schema import describe_column

HEALPIX_COLUMN = "_healpix_29"


ARROW_TYPES: dict[str, pa.DataType] = {
    "i2": pa.int16(),
    "i4": pa.int32(),
    "i8": pa.int64(),
    "f4": pa.float32(),
    "f8": pa.float64(),
    "b1": pa.bool_(),
    "O": pa.string(),
}


def arrow_type(dtype: Any) -> pa.DataType:
    """Return the Arrow type of a numpy dtype; objects are strings."""
    kind = np.dtype(dtype)
    return ARROW_TYPES["O" if kind.kind == "O" else kind.str[1:]]


def arrow_array(values: NDArray[Any], field: pa.Field, null: int | None = None) -> pa.Array:
    """Return an Arrow column; a NaN, a None, or the integer `null` become NULL."""
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        return pa.array(values, field.type, mask=missing if missing.any() else None)
    if values.dtype.kind == "O":
        return pa.array(values.tolist(), field.type)
    missing = values == null if null is not None else None
    return pa.array(values, field.type, mask=missing)


def arrow_table(columns: AnyColumns, schema: pa.Schema, nulls: Mapping[str, int]) -> pa.Table:
    """Return columns as a table with the fields of `schema`, in its order."""
    arrays = [arrow_array(columns[field.name], field, nulls.get(field.name)) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def take(columns: AnyColumns, rows: NDArray[Any]) -> Columns:
    """Return selected or reordered rows."""
    return {name: values[rows] for name, values in columns.items()}


def float_columns(schema: pa.Schema) -> Sequence[str]:
    """Return the names of floating-point columns, in the order of the schema."""
    return [field.name for field in schema if pa.types.is_floating(field.type)]


def field(
    table: str | None, column: str, kind: pa.DataType, *, name: str | None = None, note: str | None = None
) -> pa.Field:
    """Return a field with a column's ``unit``, ``ucd`` and ``description`` from the schema.

    Parameters
    ----------
    table : str or None
        A table, or the answer ``light_curve``; None for the general meaning of a name.
    column : str
    kind : DataType
    name : str, optional
        Name of the field, by default that of the column.
    note : str, optional
        Text to append to the description.
    """
    facts = describe_column(column, table)
    assert facts is not None, f"{table}.{column} has no description"
    description = facts.description if note is None else f"{facts.description} {note}"
    words = {"unit": facts.vounit, "ucd": facts.ucd, "description": description}
    return pa.field(name or column, kind, metadata={key: text for key, text in words.items() if text})
