"""Conversion between numpy columns and SQL values, and its traps.

Drivers get Python ints, not ``np.int64``: SQLite binds one as an 8-byte blob and silently matches nothing. NaN is
written as NULL, and NULL read as NaN, because PostgreSQL sorts NaN above every number. REAL columns are rounded to
single precision here, because SQLite would keep 8 bytes where PostgreSQL keeps 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import AnyColumns, BoolArray, Columns
from ztfdb.schema.by_name import shape_of
from ztfdb.schema.shapes import Shape
from ztfdb.store.statement import by_column

if TYPE_CHECKING:
    from sqlalchemy import Table

MISSING, MISSING_INT32, MISSING_INT16 = -(1 << 62), -(1 << 31), -(1 << 15)
"""Values for NULL in integers of 64, 32 and 16 bits; none is ever as low."""

NO_MASK = -1
"""Value for NULL in ``mask_bits``: the image has no mask."""


@dataclass(frozen=True)
class SqlColumn:
    """One column ready for writing.

    Attributes
    ----------
    name : str
    values : ndarray, shape (n_row,)
        In the dtype of the SQL column; arbitrary where `null` is True.
    null : ndarray of bool or None
        True where the row has NULL; None if no row has.
    """

    name: str
    values: NDArray[Any]
    null: BoolArray | None

    def to_list(self) -> list[Any]:
        """Return the column as Python values, None where NULL."""
        values: list[Any] = self.values.tolist()
        if self.null is not None:
            for row in np.flatnonzero(self.null).tolist():
                values[row] = None
        return values


def table_dtypes(table: Table | str) -> dict[str, np.dtype[Any]]:
    """Return the numpy dtype of each numeric column of a table, in the table's order; `table` may be its name."""
    return shape(table).dtypes


def shape(table: Table | str) -> Shape:
    """Return the columns of a table; `table` may be its name."""
    if isinstance(table, str):
        return shape_of(table)
    from ztfdb.schema.describe import defined_shape  # a table of SQLAlchemy's implies that it is imported

    return defined_shape(table)


def stand_ins(dtypes: Mapping[str, Any]) -> dict[str, int]:
    """Return the value for NULL in each integer column: `NO_MASK` in ``mask_bits``, else `MISSING` of its width."""
    widths = {8: MISSING, 4: MISSING_INT32, 2: MISSING_INT16}
    kinds = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
    found = {name: widths[kind.itemsize] for name, kind in kinds.items() if kind.kind == "i"}
    return found | ({"mask_bits": NO_MASK} if "mask_bits" in found else {})


def sql_columns(table: Table, columns: AnyColumns, nulls: Mapping[str, BoolArray] | None = None) -> list[SqlColumn]:
    """Convert columns to the types of a table.

    Parameters
    ----------
    table : Table
        Its numeric columns give the dtypes.
    columns : mapping of str to ndarray, each of shape (n_row,)
        NaN becomes NULL; doubles meant for a REAL column are rounded to single precision.
    nulls : mapping of str to ndarray of bool, optional
        Rows that are NULL in an integer column.

    Raises
    ------
    ValueError
        If lengths differ, a column is not in the table, or an integer does not fit its column.
    """
    dtypes = table_dtypes(table)
    return [_sql_column(name, np.asarray(values), dtypes, (nulls or {}).get(name)) for name, values in columns.items()]


def python_value(value: Any) -> Any:
    """Return one value as drivers need it: a Python number, string or None; NaN becomes None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    return value


def python_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row's values as drivers need them; see `python_value`."""
    return {name: python_value(value) for name, value in values.items()}


def python_ints(values: Iterable[Any] | NDArray[Any]) -> list[int]:
    """Return integers as a list of Python ints."""
    return [int(v) for v in (values.tolist() if isinstance(values, np.ndarray) else values)]


def numpy_columns(
    rows: Sequence[Sequence[Any]], dtypes: Mapping[str, Any], nulls: Mapping[str, int] | None = None
) -> Columns:
    """Convert fetched rows to columns.

    Parameters
    ----------
    rows : sequence of tuples
        One value per entry of `dtypes`, in its order.
    dtypes : mapping of str to dtype
        Names and types of the columns; NULL becomes NaN in a float column and None in an object column.
    nulls : mapping of str to int, optional
        Value for NULL in an integer column.

    Raises
    ------
    ValueError
        If an integer column holds NULL and `nulls` does not name it.
    """
    columns = by_column(rows, len(dtypes))
    return {
        name: _numpy_column(name, values, np.dtype(dtype), nulls or {})
        for (name, dtype), values in zip(dtypes.items(), columns, strict=True)
    }


def _sql_column(
    name: str, values: NDArray[Any], dtypes: Mapping[str, np.dtype[Any]], null: BoolArray | None
) -> SqlColumn:
    dtype = dtypes.get(name)
    if dtype is None:
        raise ValueError(f"{name!r} is not a numeric column of the table")
    if values.ndim != 1 or (null is not None and null.shape != values.shape):
        raise ValueError(f"column {name}: expected one value per row, found shape {values.shape}")
    if dtype.kind == "f":
        missing = np.isnan(values)
        null = missing if null is None else null | missing
        with np.errstate(over="ignore"):  # beyond single precision becomes infinite, the same on both engines
            return SqlColumn(name, values.astype(dtype), null if null.any() else None)
    if values.dtype.kind not in "iub":
        raise ValueError(f"column {name} holds integers, found {values.dtype}")
    if null is not None and null.any():
        values = np.where(null, 0, values)
    converted = values.astype(dtype)
    if not np.array_equal(converted, values):
        raise ValueError(f"column {name}: a value does not fit {dtype.itemsize} bytes")
    return SqlColumn(name, converted, null if null is not None and null.any() else None)


def _numpy_column(name: str, values: Iterable[Any], dtype: np.dtype[Any], nulls: Mapping[str, int]) -> NDArray[Any]:
    values = list(values)
    if dtype.kind in "iub":
        if name in nulls:
            fill = nulls[name]
            values = [fill if v is None else v for v in values]
        elif None in values:
            raise ValueError(f"column {name} contains NULL: name its stand-in")
    with np.errstate(over="ignore"):  # SQLite stores doubles in a REAL column; damage may make them too large
        return np.array(values, dtype=dtype)
