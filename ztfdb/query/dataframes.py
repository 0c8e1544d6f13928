"""Columns into DataFrames and astropy tables, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ztfdb.query.columns import MaskedIntegers, Texts, Words

if TYPE_CHECKING:
    from astropy.table import MaskedColumn, Table

try:  # from pandas 3 on
    from pandas.api.internals import (  # type: ignore[import-not-found]
        create_dataframe_from_blocks as _create_dataframe_from_blocks,
    )
except ImportError:
    _create_dataframe_from_blocks = None

_NumpyArray = pd.arrays.NumpyExtensionArray

FEW_ROWS = 10_000
"""Frames with more rows are made column by column."""

_NO_INTEGER = int(np.iinfo(np.int64).min)


@lru_cache(maxsize=64)
def _category(words: tuple[str, ...]) -> pd.CategoricalDtype:
    return pd.CategoricalDtype(list(words))


def _pandas(column: Any) -> Any:
    """Return a column as a pandas array; numpy arrays stay as they are."""
    if isinstance(column, Words):
        return pd.Categorical.from_codes(column.codes, dtype=_category(column.words), validate=False)
    if isinstance(column, MaskedIntegers):
        return pd.arrays.IntegerArray(column.values, column.mask)
    if isinstance(column, Texts):
        return pd.array(column.values, dtype="str")
    return column


def data_frame(columns: Mapping[str, Any], attrs: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a DataFrame of equal-length columns, in their order, with index 0 to n - 1."""
    columns = {name: one if type(one) is np.ndarray else _pandas(one) for name, one in columns.items()}
    frame = _from_blocks(columns)
    if frame is None:
        # integer names, replaced at the end, take 30 % of the time for some 40 short columns
        frame = pd.DataFrame(dict(enumerate(columns.values())), copy=False)
        frame.columns = _index(tuple(columns))
    frame.attrs.update(attrs or {})
    return frame


def _from_blocks(columns: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return a short DataFrame made of one block per dtype, 3 times as fast; None where that does not apply.

    A long one would pay for the copies of its columns, and older versions of pandas lack the function.
    """
    if _create_dataframe_from_blocks is None:
        return None
    blocks: list[tuple[Any, NDArray[np.intp]]] = []
    alike: dict[np.dtype[Any], list[int]] = {}
    values = list(columns.values())
    for at, column in enumerate(values):
        if len(column) != len(values[0]) or len(column) > FEW_ROWS:
            return None
        if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in "fib":
            alike.setdefault(column.dtype, []).append(at)
        elif isinstance(column, pd.api.extensions.ExtensionArray):
            blocks.append((column, np.array([at])))
        else:
            return None
    n_row = len(values[0]) if values else 0
    for dtype, places in alike.items():
        block = np.empty((len(places), n_row), dtype)  # np.stack takes 3 times as long
        for row, at in enumerate(places):
            block[row] = values[at]
        blocks.append((block, np.array(places)))
    index = pd.RangeIndex(n_row)
    frame: pd.DataFrame = _create_dataframe_from_blocks(blocks, index, _index(tuple(columns)))
    return frame


@lru_cache(maxsize=32)
def _index(names: tuple[str, ...]) -> pd.Index[str]:
    return pd.Index(names)


def astropy_table(frame: pd.DataFrame, meta: Mapping[str, Any], answer: str | None = None) -> Table:
    """Return an astropy table whose columns have units, descriptions and UCDs (``meta["ucd"]``).

    <NA> and missing words are masked, NaN stays NaN. The `fill_value` of masked integers is the smallest integer, which
    is TNULL in a FITS file.

    Parameters
    ----------
    frame : DataFrame
    meta : mapping
        Goes into the table's ``meta``.
    answer : str, optional
        Name of the answer for `ztfdb.schema.describe_column`.
    """
    from astropy.table import Table

    from ztfdb.schema import describe_column

    table = Table(meta=dict(meta))
    for name in frame.columns:
        table[name] = _astropy_column(frame[name].array)
        if (described := describe_column(str(name), answer)) is not None:
            column = table[name]
            column.unit = described.unit or None
            column.description = described.description
            column.meta["ucd"] = described.ucd
    return table


def columns_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a DataFrame: numpy arrays, masked integers, words, or else pandas' own arrays."""
    arrays = getattr(frame, "_iter_column_arrays", None)  # 10 times as fast as items()
    if arrays is not None:
        found = zip(map(str, frame.columns), arrays(), strict=True)
        return {name: _plain(one) for name, one in found}
    if frame.attrs:
        frame = frame.copy(deep=False)
        frame.attrs = {}  # pandas would deep-copy them for each column accessed
    return {str(name): _plain(column.array) for name, column in frame.items()}


def _plain(array: Any) -> Any:
    if type(array) is _NumpyArray:  # texts are a subclass of it where pyarrow is not installed
        return np.asarray(array)
    if isinstance(array, pd.Categorical):
        return Words(array.codes, tuple(np.asarray(array.categories, object)))  # 4 times as fast as tolist()
    if isinstance(array, pd.arrays.IntegerArray) and isinstance(array.dtype, pd.Int64Dtype):
        return MaskedIntegers(array.to_numpy(np.int64, na_value=0), array.isna())
    return array


def _astropy_column(values: Any) -> NDArray[Any] | MaskedColumn:
    from astropy.table import MaskedColumn

    if pd.api.types.is_string_dtype(values.dtype) or isinstance(values, pd.Categorical):
        missing = values.isna()
        texts = np.where(missing, "", np.asarray(values, dtype=object)).astype(str)
        return MaskedColumn(texts, mask=missing) if missing.any() else texts
    if isinstance(values, pd.arrays.IntegerArray):
        missing = values.isna()
        numbers = values.to_numpy(np.int64, na_value=0)
        # FITS files name their nulls by the fill value; astropy's own, 999999, can be a value
        return MaskedColumn(numbers, mask=missing, fill_value=_NO_INTEGER) if missing.any() else numbers
    return np.asarray(values)


def from_values(names: Sequence[str], columns: Sequence[Any], kinds: Sequence[set[type]] | None = None) -> pd.DataFrame:
    """Return rows of SQL as a DataFrame whose types follow from the values alone, the same on both engines.

    A column is a list of Python values, an array of floats, or a pair of integers and their mask. Integers become
    ``Int64``, numbers float64 (decimals too), texts ``str``; anything else stays as it is. `kinds` are the types of
    each column's values in the whole answer, if these rows are a part of it.
    """
    given = [None] * len(columns) if kinds is None else kinds
    frame = pd.DataFrame({number: _inferred(*one) for number, one in enumerate(zip(columns, given, strict=True))})
    frame.columns = pd.Index(list(names))
    return frame


def _inferred(values: Any, kinds: set[type] | None = None) -> Any:
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, tuple):
        if values[1].all() and not kinds:
            return pd.Series([None] * len(values[1]), dtype=object)
        return _pandas(MaskedIntegers(*values))
    if kinds is None:
        kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int}:
        return pd.array(values, dtype="Int64")
    if kinds and kinds <= {int, float, Decimal}:
        return np.array([np.nan if value is None else float(value) for value in values])
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds == {str}:
        return pd.array(values, dtype="str")
    return pd.Series(list(values), dtype=object)
