"""Numbers and texts as lines of CSV by pyarrow, if installed: the same bytes as `ztfdb.store.csv_lines`."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray
from ztfdb.store.csv_lines import field

FEW_DIFFERENT = 4
"""A column with this many times fewer distinct values than rows is formatted once per distinct value."""

_OPTIONS = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")


def lines(columns: list[Any]) -> bytes | None:
    """Return columns of one length as lines; None if a text needs quotation marks.

    Parameters
    ----------
    columns : list
        Floats (NaN where NULL), pairs of integers and a mask, lists of texts (None where NULL).
    """
    arrays = [_array(column) for column in columns]
    if any(array is None for array in arrays):
        return None
    table = pa.table(arrays, names=[str(k) for k in range(len(arrays))])
    stream = io.BytesIO()
    try:
        pyarrow.csv.write_csv(table, stream, _OPTIONS)
    except pa.ArrowInvalid:
        return None
    return stream.getvalue()


def _array(column: Any) -> Any:
    if isinstance(column, tuple):
        values, missing = column
        return pa.array(values, mask=missing if missing.any() else None)
    if isinstance(column, list):
        return None if "" in column else pa.array(column, pa.string())
    missing = np.isnan(column)
    other = _written_differently(column) & ~missing
    if not other.any():
        return pa.array(column, mask=missing if missing.any() else None)
    return pa.array(_texts(column), pa.string())


def _written_differently(values: NDArray[np.float64]) -> BoolArray:
    """Return which numbers pyarrow writes in another form: whole ones without point, small ones without exponent."""
    size = np.abs(values)
    return np.asarray((values == np.trunc(values)) | (size < 1e-4) | (size >= 1e15))


def _texts(values: NDArray[np.float64]) -> list[str | None]:
    different, at = np.unique(values, return_inverse=True)
    if FEW_DIFFERENT * len(different) > len(values) or (np.signbit(values) & (values == 0.0)).any():
        return [field(value) or None for value in values.tolist()]
    made = [field(value) or None for value in different.tolist()]
    return [made[k] for k in at.tolist()]
