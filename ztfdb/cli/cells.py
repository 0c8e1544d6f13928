"""Columns of answers and of DataFrames as text cells, without importing pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ztfdb.query.answer import Answer
from ztfdb.query.columns import MaskedIntegers, Texts, Words

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "pd.DataFrame | Answer"
"""What a command writes."""

Pairs: TypeAlias = "Sequence[tuple[str, Any]]"
"""Names and columns; two columns of an answer to SQL may have one name."""

CHUNK = 10_000
"""Rows turned into text at a time."""


@dataclass(frozen=True)
class Cells:
    """The values of one column.

    Attributes
    ----------
    kind : str
        ``b`` truth values, ``i`` whole numbers, ``f`` other numbers, ``t`` anything else.
    values : list
        Python values; arbitrary where missing.
    missing : list of bool
        True where there is no value.
    """

    kind: str
    values: list[Any]
    missing: list[bool]

    def texts(self, form: Callable[[Any], str], empty: str) -> list[str]:
        """Return the values as texts, `empty` where one is missing."""
        return [empty if none else form(value) for value, none in zip(self.values, self.missing, strict=True)]


def pairs_of(rows: Rows) -> Pairs:
    """Return the names and columns of rows, in their order."""
    if isinstance(rows, Answer):
        return list(rows.arrays.items())
    columns = (rows.iloc[:, i] for i in range(rows.shape[1]))
    arrays = (one.to_numpy() if isinstance(one.dtype, np.dtype) else one.array for one in columns)
    return [(str(name), array) for name, array in zip(rows.columns, arrays, strict=True)]


def cells_of(column: Any) -> Cells:
    """Return the values of a column: one of `ztfdb.query.columns`, or an array of pandas."""
    if isinstance(column, MaskedIntegers):
        return Cells("i", column.values.tolist(), column.mask.tolist())
    if isinstance(column, Words | Texts):
        values: list[Any] = list(column.tolist())
        return Cells("t", values, [value is None for value in values])
    kind = kind_of(column)
    if not isinstance(column, np.ndarray):
        return Cells(kind, column.tolist(), column.isna().tolist())
    values = column.tolist()
    if kind == "t":
        return Cells(kind, values, [_is_missing(value) for value in values])
    return Cells(kind, values, np.isnan(column).tolist() if kind == "f" else [False] * len(values))


def kind_of(column: Any) -> str:
    """Return which `Cells.kind` a column is."""
    if isinstance(column, MaskedIntegers):
        return "i"
    if isinstance(column, Words | Texts):
        return "t"
    return {"b": "b", "i": "i", "u": "i", "f": "f"}.get(column.dtype.kind, "t")


def chunks(pairs: Pairs, n_row: int) -> Iterator[Pairs]:
    """Yield batches of `CHUNK` rows."""
    for start in range(0, n_row, CHUNK):
        yield [(name, column[start : start + CHUNK]) for name, column in pairs]


def _is_missing(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, pandas' NA and NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # NA != NA is NA, which has no truth value
        return True
