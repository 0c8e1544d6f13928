"""Read rows of a table by id, by cells or by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.ids import source_id_range
from ztfdb.schema.shapes import Shape
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.backends.reads import Reads
from ztfdb.store.columns import shape, stand_ins

if TYPE_CHECKING:
    from sqlalchemy import Table


def rows(
    session: AnySession,
    table: Table | str,
    columns: Sequence[str] | Mapping[str, Any] | None = None,
    *,
    ids: IntArray | None = None,
    lo: IntArray | None = None,
    hi: IntArray | None = None,
    image_id: int | None = None,
    key: str | None = None,
    where: str = "",
    ordered: bool = True,
) -> Columns:
    """Return rows of a table as columns.

    Parameters
    ----------
    session : Session or Reading
    table : Table or str
        The table, or its name.
    columns : sequence of str, or mapping of str to dtype, optional
        Columns to read, in the table's dtypes or the given ones; by default all that are numbers. Others become arrays
        of objects.
    ids : ndarray of int64, optional
        Keys of the rows, without repeats; unknown ones are left out.
    lo, hi : ndarray of int64, optional
        Half-open ranges of the key, which do not overlap.
    image_id : int, optional
        Rows of one image, by their range of ``source_id``. Without ids, ranges and image: all rows.
    key : str, optional
        The column to search: by default the primary key for `ids`, ``hpx29`` for ranges.
    where : str
        Another condition on the table's columns; SQL without values from users.
    ordered : bool
        Order the rows by the columns of the primary key that are read; otherwise they are in no order.

    Returns
    -------
    dict of ndarray
        NULL is NaN in floats, None in objects, and the value of `ztfdb.store.columns.stand_ins` in integers.

    Raises
    ------
    ValueError
        If a column is unknown, or an integer column contains NULL although the table declares it NOT NULL.
    """
    table_shape = shape(table)
    dtypes = _dtypes(table_shape, columns)
    name, on = table_shape.name, reads(session)
    params: dict[str, Any] = {}
    fields = ", ".join(f"{name}.{column}" for column in dtypes)
    condition = [where] if where else []
    if ids is not None:
        on = on.in_table_order()
        origin, among, params = on.chosen(name, key or table_shape.key[0], ids)
        condition.insert(0, among)
    elif lo is not None and hi is not None:
        on = on.by_index()
        given, params = on.range_rows(lo=lo, hi=hi)
        key = key or "hpx29"
        origin = on.joined(given, name, list({**dtypes, key: None}), f"{name}.{key} >= r.lo and {name}.{key} < r.hi")
    else:
        origin = name
        if image_id is not None:
            condition.insert(0, f"{name}.source_id between :first and :last")
            params = dict(zip(("first", "last"), source_id_range(image_id), strict=True))
    statement = f"select {fields} from {origin}" + (f" where {' and '.join(condition)}" if condition else "")
    read = on.read_columns if any(np.dtype(dtype).kind == "O" for dtype in dtypes.values()) else on.read_bulk
    nullable = {column: dtype for column, dtype in dtypes.items() if column in table_shape.nullable}
    found = read(statement, params, dtypes, nulls=stand_ins(nullable))
    own_key = [column for column in table_shape.key if column in found]
    return sorted_rows(found, own_key) if ordered else found


def records(
    session: AnySession, statement: str, dtypes: Mapping[str, Any], params: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return a few rows as Python values by name; NULL is None.

    Parameters
    ----------
    session : Session or Reading
    statement : str
        A query with one expression per entry of `dtypes`, in its order.
    dtypes : mapping of str to dtype
        ``i8``, ``f8``, ``?`` or ``O``, for texts.
    params : mapping, optional
        Values of its ``:name`` parameters.
    """
    return records_by(reads(session), statement, dtypes, params or {})


def records_by(on: Reads, statement: str, dtypes: Mapping[str, Any], params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what `records` returns, read by a reader that was told how, such as `Reads.by_index`."""
    missing = stand_ins({name: dtype for name, dtype in dtypes.items() if dtype == "i8"})
    found = on.read_columns(statement, params, dtypes, nulls=missing)
    columns = [_python_values(values, missing.get(name)) for name, values in found.items()]
    return [dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True)]


def _python_values(values: NDArray[Any], missing: int | None) -> list[Any]:
    plain = values.tolist()
    if missing is not None:
        return [None if value == missing else value for value in plain]
    return [None if value != value else value for value in plain]  # NaN


def sorted_rows(columns: Columns, by: Sequence[str]) -> Columns:
    """Return rows ordered by some of their columns, the first counting most."""
    if not by:
        return columns
    if len(by) == 1:
        order = np.argsort(columns[by[0]], kind="stable")
    else:
        order = np.lexsort([columns[name] for name in reversed(by)])
    return {name: values[order] for name, values in columns.items()}


def _dtypes(table: Shape, columns: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    if columns is None:
        return dict(table.dtypes)
    unknown = [name for name in columns if name not in table.types]
    if unknown:
        raise ValueError(f"{table.name} has no column {', '.join(map(repr, unknown))}")
    if isinstance(columns, Mapping):
        return dict(columns)
    return {name: table.dtypes.get(name, np.dtype(object)) for name in columns}
