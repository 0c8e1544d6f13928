"""Rows as aligned text.

Plain text rather than a rich table: the same bytes on a terminal and in a pipe, and 10^5 rows in a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ztfdb.cli.columns import decimals

EMPTY = "-"
"""Stands for NULL, so that the columns of every row can be counted (awk, cut)."""

_GAP = 2
_UNIT_ROW = 1


def text_table(
    frame: pd.DataFrame, units: Mapping[str, str], width: int | None = None, *, known: bool = True
) -> Iterator[str]:
    """Yield the lines of a table: names, units where there are any, rows.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    units : mapping of str
        Unit by column name.
    width : int, optional
        Characters to a line; wider tables come in blocks of columns, each beginning with the first column.
        None never breaks.
    known : bool
        Whether the columns are ztfdb's own, whose decimals are known by their names; others show ten digits.

    Yields
    ------
    str
        One line without its line end.
    """
    columns = [_column(str(name), frame.iloc[:, i], units, known) for i, name in enumerate(frame.columns)]
    for k, block in enumerate(_blocks([len(column[0]) for column in columns], width)):
        if k:
            yield ""
        for row, cells in enumerate(zip(*(columns[i] for i in block), strict=True)):
            line = (" " * _GAP).join(cells).rstrip()
            if line or row != _UNIT_ROW:
                yield line


def fitting(frame: pd.DataFrame, width: int) -> int:
    """Return how many leading columns of `frame` fit into `width` characters, at least one."""
    used = -_GAP
    for i, name in enumerate(frame.columns):
        used += _GAP + len(_column(str(name), frame.iloc[:, i], {})[0])
        if used > width:
            return max(i, 1)
    return frame.shape[1]


def _blocks(widths: list[int], width: int | None) -> Iterator[list[int]]:
    """Share out the columns over blocks; a column wider than the line has a block of its own."""
    if not widths:
        return
    block = [0]
    for i in range(1, len(widths)):
        if width is not None and len(block) > 1 and sum(widths[j] + _GAP for j in block) + widths[i] > width:
            yield block
            block = [0]
        block.append(i)
    yield block


def _column(name: str, values: pd.Series[Any], units: Mapping[str, str], known: bool = True) -> list[str]:
    """Return name, unit and cells of one column, padded to one width."""
    cells = [name, units.get(name, ""), *_cells(name if known else None, values)]
    width = max(map(len, cells))
    return [f"{cell:<{width}}" if _is_text(values) else f"{cell:>{width}}" for cell in cells]


def _cells(name: str | None, values: pd.Series[Any]) -> list[str]:
    missing = values.isna().to_numpy()
    form = _form(name, values)
    return [EMPTY if none else form(value) for value, none in zip(values.tolist(), missing, strict=True)]


def _form(name: str | None, values: pd.Series[Any]) -> Callable[[Any], str]:
    if pd.api.types.is_bool_dtype(values.dtype):
        return lambda value: "yes" if value else "no"
    if pd.api.types.is_float_dtype(values.dtype):
        if name is None:
            return "{:.10g}".format
        digits = decimals(name)
        return "{:.6g}".format if digits is None or _out_of_scale(values, digits) else f"{{:.{digits}f}}".format
    return lambda value: str(value).replace("\n", " ")


def _out_of_scale(values: pd.Series[Any], digits: int) -> bool:
    """Tell whether fixed decimals would be silly: all zeros, or numbers of more than 12 digits."""
    size = np.abs(values.to_numpy(dtype=float, na_value=np.nan))
    largest = np.max(size, where=np.isfinite(size), initial=0.0)
    return bool(largest > 1e12 or 0.0 < largest < 0.5 * 10.0**-digits)


def _is_text(values: pd.Series[Any]) -> bool:
    return not (pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype))
