"""Rows as aligned text.

Plain text instead of a rich table gives the same bytes on a terminal and in a pipe, and writes 10^5 rows in a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ztfdb.cli.cells import Cells, Rows, cells_of, pairs_of
from ztfdb.cli.columns import decimals
from ztfdb.texts import printable

EMPTY = "-"
"""Text for NULL, so that every row has the same number of fields (awk, cut)."""

_GAP = 2
_UNIT_ROW = 1


def text_table(
    rows: Rows, units: Mapping[str, str], width: int | None = None, *, known: bool = True, terminal: bool = False
) -> Iterator[str]:
    """Yield the lines of a table: names, units if there are any, rows.

    Parameters
    ----------
    rows : DataFrame or Answer
    units : mapping of str
        Unit by column name.
    width : int, optional
        Characters per line; wider tables are split into blocks of columns, each beginning with the first column.
        None never splits.
    known : bool
        Whether the columns are ztfdb's own, whose decimals follow from their names; others show 10 digits.
    terminal : bool
        Escape texts as the terminal stream does, so that columns stay aligned.

    Yields
    ------
    str
        One line without its line end.
    """
    columns = [_column(name, column, units, known, terminal) for name, column in pairs_of(rows)]
    for k, block in enumerate(_blocks([len(column[0]) for column in columns], width)):
        if k:
            yield ""
        for row, cells in enumerate(zip(*(columns[i] for i in block), strict=True)):
            line = (" " * _GAP).join(cells).rstrip()
            if line or row != _UNIT_ROW:
                yield line


def fitting(rows: Rows, width: int) -> int:
    """Return how many leading columns fit into `width` characters, at least one."""
    used = -_GAP
    pairs = pairs_of(rows)
    for i, (name, column) in enumerate(pairs):
        used += _GAP + len(_column(name, column, {})[0])
        if used > width:
            return max(i, 1)
    return len(pairs)


def _blocks(widths: list[int], width: int | None) -> Iterator[list[int]]:
    """Divide the columns into blocks; a column wider than the line gets its own block."""
    if not widths:
        return
    block = [0]
    for i in range(1, len(widths)):
        if width is not None and len(block) > 1 and sum(widths[j] + _GAP for j in block) + widths[i] > width:
            yield block
            block = [0]
        block.append(i)
    yield block


def _column(name: str, column: Any, units: Mapping[str, str], known: bool = True, terminal: bool = False) -> list[str]:
    """Return name, unit and cells of one column, padded to one width."""
    cells = cells_of(column)
    shown = cells.texts(_form(name if known else None, cells, terminal), EMPTY)
    texts = [printable(name) if terminal else name, units.get(name, ""), *shown]
    width = max(map(len, texts))
    return [f"{text:<{width}}" if cells.kind == "t" else f"{text:>{width}}" for text in texts]


def _form(name: str | None, cells: Cells, terminal: bool) -> Callable[[Any], str]:
    if cells.kind == "b":
        return lambda value: "yes" if value else "no"
    if cells.kind == "f":
        if name is None:
            return "{:.10g}".format
        digits = decimals(name)
        return "{:.6g}".format if digits is None or _out_of_scale(cells, digits) else f"{{:.{digits}f}}".format
    if terminal:
        return lambda value: str(printable(value) if isinstance(value, str) else value).replace("\n", " ")
    return lambda value: str(value).replace("\n", " ")


def _out_of_scale(cells: Cells, digits: int) -> bool:
    """Return whether fixed decimals do not fit: all would be zero, or have more than 12 digits."""
    size = np.abs([np.nan if none else value for value, none in zip(cells.values, cells.missing, strict=True)])
    largest = np.max(size, where=np.isfinite(size), initial=0.0)
    return bool(largest > 1e12 or 0.0 < largest < 0.5 * 10.0**-digits)
