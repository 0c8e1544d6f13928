"""Find pairs of near points by cells of a cubic grid: for sparse pairs several times as fast as a k-d tree.

Each point is compared with the points of its own cell, and of a neighbouring cell only if it is within reach of the
border. The cells are 3 times narrower than the spacing of the points, so most points that share one are pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Float64Array, Int64Array

BITS = 21
"""Bits of a cell's number along each axis; three of them fit into 63."""

SMALLEST_SIDE = 2.0 ** (2 - BITS)
"""Unit vectors span 2; this leaves room for the cells at the edges."""

CELLS_PER_SPACING = 3.0

MOST_PER_POINT = 8
"""With more candidate pairs per point, a tree that only visits the nearest is faster."""

LARGE = 100_000
"""From this many rows on, two threads are used: numpy releases the GIL in its loops, sorts and copies."""

Done = TypeVar("Done")


def near_pairs(first: Float64Array, second: Float64Array, reach: float) -> tuple[Int64Array, Int64Array] | None:
    """Return all pairs of points at most `reach` apart.

    Parameters
    ----------
    first : ndarray, shape (n1, 3)
        Unit vectors.
    second : ndarray, shape (n2, 3)
        Unit vectors, at least one.
    reach : float
        Largest distance along the chord.

    Returns
    -------
    i, j : ndarray of int64
        Rows of the two tables, in no particular order; None if the points are too dense, or the reach is too wide, for
        this method.
    """
    side = max(_spacing(second) / CELLS_PER_SPACING, 4.0 * reach, SMALLEST_SIDE)
    if side > 0.25:
        return None
    if max(len(first), len(second)) < LARGE:
        order2, second, cells, starts, counts = _sorted_cells(second, side)
        order1, first, base, spread = _sorted_points(first, reach, side)
    else:  # the two tables are prepared at the same time
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(_sorted_cells, second, side)
            order1, first, base, spread = _sorted_points(first, reach, side)
            order2, second, cells, starts, counts = waiting.result()
    most = MOST_PER_POINT * (len(order1) + len(order2)) + 100_000

    def look(rows: slice) -> tuple[Int64Array, Int64Array] | None:
        found = _pairs_in_cells(first[:, rows], base[rows], spread[rows], second, cells, starts, counts, reach, most)
        return None if found is None else (order1[rows][found[0]], order2[found[1]])

    halves = [found for found in in_halves(look, len(order1)) if found is not None]
    if not halves or (len(order1) >= LARGE and len(halves) < 2):
        return None
    return np.concatenate([i for i, _ in halves]), np.concatenate([j for _, j in halves])


def in_halves(work: Callable[[slice], Done], n_row: int) -> list[Done]:
    """Return the results of `work` for the rows; if there are many, for two halves in parallel."""
    if n_row < LARGE:
        return [work(slice(0, n_row))]
    with ThreadPoolExecutor(1) as other:
        second = other.submit(work, slice(n_row // 2, n_row))
        return [work(slice(0, n_row // 2)), second.result()]


def _pairs_in_cells(
    first: Float64Array,
    base: Int64Array,
    spread: NDArray[np.int8],
    second: Float64Array,
    cells: Int64Array,
    starts: Int64Array,
    counts: Int64Array,
    reach: float,
    most: int,
) -> tuple[Int64Array, Int64Array] | None:
    """Return the near pairs of some points with those in cells; None if there are more than `most` candidates."""
    parts_i: list[Int64Array] = []
    parts_j: list[Int64Array] = []
    for shift in range(8):  # the lowest cell, and the next along each set of axes if near
        rows = np.flatnonzero((spread & shift) == shift) if shift else None
        wanted = base if rows is None else base[rows] + _step(shift)
        at = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        hit = np.flatnonzero(cells[at] == wanted)
        at = at[hit]
        n_pair = counts[at]
        most -= int(n_pair.sum())
        if most < 0:
            return None
        i = np.repeat(hit if rows is None else rows[hit], n_pair)
        j = np.repeat(starts[at] - np.cumsum(n_pair) + n_pair, n_pair) + np.arange(len(i))
        near = _square_distance(first, i, second, j) <= reach * reach
        parts_i.append(i[near])
        parts_j.append(j[near])
    return np.concatenate(parts_i), np.concatenate(parts_j)


def _sorted_cells(
    points: Float64Array, side: float
) -> tuple[Int64Array, Float64Array, Int64Array, Int64Array, Int64Array]:
    """Return the order by cell, the points in that order (3, n), the occupied cells, their starts, and their counts."""
    keys = np.zeros(len(points), dtype=np.int64)
    for axis in range(3):
        keys = (keys << BITS) + _cell(points[:, axis], side)
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return order, points.T[:, order], keys[starts], starts, np.diff(starts, append=len(keys))


def _sorted_points(
    points: Float64Array, reach: float, side: float
) -> tuple[Int64Array, Float64Array, Int64Array, NDArray[np.int8]]:
    """Return the order by lowest cell, the points in that order (3, n), and both results of `_lowest_cells`."""
    base, spread = _lowest_cells(points, reach, side)
    order = np.argsort(base)
    return order, points.T[:, order], base[order], spread[order]


def _lowest_cells(points: Float64Array, reach: float, side: float) -> tuple[Int64Array, NDArray[np.int8]]:
    """Return for each point the lowest cell within reach, and along which axes the next one is also within reach."""
    keys, spread = np.zeros(len(points), dtype=np.int64), np.zeros(len(points), dtype=np.int8)
    for axis in range(3):
        low = _cell(points[:, axis] - reach, side)
        spread = (spread << 1) + (_cell(points[:, axis] + reach, side) != low).astype(np.int8)
        keys = (keys << BITS) + low
    return keys, spread


def _step(shift: int) -> int:
    """Return the distance to the key of the next cell along a set of axes (x 4, y 2, z 1)."""
    return ((shift >> 2 & 1) << 2 * BITS) + ((shift >> 1 & 1) << BITS) + (shift & 1)


def _spacing(points: Float64Array) -> float:
    """Return the approximate spacing of points: the square root of the area of their box over their number."""
    x, y, z = (np.ptp(points[:, axis]) for axis in range(3))
    return float(np.sqrt((x * y + y * z + x * z) / len(points)))


def _cell(coordinate: Float64Array, side: float) -> NDArray[np.int32]:
    """Return the number of the cell along one axis; the lowest number is reserved for points below -1."""
    return ((coordinate + (1.0 + side)) / side).astype(np.int32)  # never negative, so truncation rounds down


def _square_distance(first: Float64Array, i: Int64Array, second: Float64Array, j: Int64Array) -> Float64Array:
    """Return squared distances; the tables have shape (3, n)."""
    total = np.zeros(len(i))
    for one, other in zip(first, second, strict=True):
        apart = one[i] - other[j]
        apart *= apart
        total += apart
    return total
