"""Detections inside an area of any shape and size, in bounded memory.

The covering index gives ids and positions of the rows in the area's cells, and these are cut to the exact shape. The
wanted columns of the remaining rows are then read in the table's order: in the order of cells, each row would be on a
page of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ztfdb.arrays import Columns, IntArray
from ztfdb.store.backends import AnySession
from ztfdb.store.detections import SourceKind, positions_in_ranges, rows_found

POSITIONS_AT_ONCE = 1_000_000
"""Most rows of the index in memory: 32 MB, and as much again while they are cut."""

ROWS_AT_ONCE = 100_000
"""Most detections read at once: 20 MB with all their columns."""

GROWTH = 4
FILLED = 0.7
"""Each area after the first is sized to fill this fraction of `POSITIONS_AT_ONCE`, but at most `GROWTH` times the last
one. An area with too many rows is halved."""

Cut = Callable[[Columns], Columns]
"""Takes ``source_id``, ``hpx29``, ``ra``, ``dec`` of rows; returns these and new columns of the rows inside."""


def rows_within(
    session: AnySession, kind: SourceKind, lo: IntArray, hi: IntArray, cut: Cut, columns: Sequence[str]
) -> Iterator[Columns]:
    """Yield the detections inside an area in parts.

    Parameters
    ----------
    session : Session or Reading
    kind : SourceKind
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of cells that contain the area, ascending and not overlapping.
    cut : callable
    columns : sequence of str
        Of the table.

    Yields
    ------
    dict of ndarray
        What `cut` returns, and the columns: up to `ROWS_AT_ONCE` rows, ordered by ``source_id``. Without any rows, one
        empty part.
    """
    n_row = 0
    for found in _positions(session, kind, lo, hi):
        inside = cut(found)
        order = np.argsort(inside["source_id"])
        for start in range(0, len(order), ROWS_AT_ONCE):
            some = order[start : start + ROWS_AT_ONCE]
            piece = _with_columns(session, kind, {name: values[some] for name, values in inside.items()}, columns)
            n_row += len(piece["source_id"])
            yield piece
    if n_row == 0:
        nothing = {name: np.empty(0, dtype) for name, dtype in kind.position_dtypes.items()}
        yield _with_columns(session, kind, cut(nothing), columns)


def _with_columns(session: AnySession, kind: SourceKind, inside: Columns, columns: Sequence[str]) -> Columns:
    """Add columns to rows ordered by ``source_id``; rows removed since they were found are left out."""
    missing = [name for name in columns if name not in inside]
    if not missing:
        return inside
    rows = rows_found(session, kind, inside, ("source_id", *missing))
    if len(rows["source_id"]) < len(inside["source_id"]):
        still = np.isin(inside["source_id"], rows["source_id"], assume_unique=True)
        inside = {name: values[still] for name, values in inside.items()}
    return inside | {name: rows[name] for name in missing}


def _positions(session: AnySession, kind: SourceKind, lo: IntArray, hi: IntArray) -> Iterator[Columns]:
    """Yield the rows of the index in ranges, at most `POSITIONS_AT_ONCE` at a time."""
    wanted = float(np.sum(hi - lo))
    while len(lo):
        (some, rest), n_cell = _first_cells(lo, hi, wanted)
        found = positions_in_ranges(session, kind, *some, most=POSITIONS_AT_ONCE + 1)
        n_row = len(found["source_id"])
        if n_row > POSITIONS_AT_ONCE and n_cell > 1:
            wanted = n_cell / 2
            continue
        yield found
        lo, hi = rest
        expected = FILLED * POSITIONS_AT_ONCE * n_cell / max(n_row, 1)
        wanted = max(1.0, min(expected, GROWTH * n_cell))


def _first_cells(lo: IntArray, hi: IntArray, n_cell: float) -> tuple[tuple[tuple[IntArray, IntArray], ...], int]:
    """Cut ranges in two after about `n_cell` cells; also return how many cells the first part has."""
    widths = hi - lo
    before = np.cumsum(widths)
    wanted = int(min(max(n_cell, 1.0), float(before[-1])))
    k = int(np.searchsorted(before, wanted))
    middle = int(hi[k]) - int(before[k]) + wanted
    first = lo[: k + 1], np.append(hi[:k], middle)
    if middle == hi[k]:
        return (first, (lo[k + 1 :], hi[k + 1 :])), wanted
    return (first, (np.append(middle, lo[k + 1 :]), hi[k:])), wanted
