"""Cover a table of positions, or polygons, with a few ranges of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Int64Array
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, unit_vector
from ztfdb.sky.cells import CELL_REACH, HPX_ORDER, RANGE_PADDING, cell_to_sky, distinct, neighbours

WIDE_ORDER, FINEST_ORDER = 12, 15
"""52 and 6 arcsec per cell: larger cells read more beyond the positions, smaller ones give more ranges."""

CELLS_SKIPPED = 6
"""Up to this many of the finest cells between two ranges are included: at PS1's density faster than another range."""


def cover_positions(hpx29: Int64Array, radius: float) -> tuple[Int64Array, Int64Array]:
    """Cover all positions within a radius of any of a table's positions.

    For a small radius, only a part of a table much denser than the positions is read: of 81,000 rows on a quadrant,
    32,000 are in the cells around 12,000 sources.

    Parameters
    ----------
    hpx29 : ndarray of int64, shape (n,)
        Cells of the positions, order 29.
    radius : float
        arcsec.

    Returns
    -------
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of order-29 cells, ascending and not touching; none for an empty table.
    """
    if not len(hpx29):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    reach = radius / ARCSEC_PER_RADIAN + RANGE_PADDING
    # a cell and its neighbours contain everything within half of 1/nside of the cell: the rule that cones start from
    fine = min(HPX_ORDER, int(np.floor(np.log2(0.5 / reach))))
    if fine < 0:
        return np.zeros(1, np.int64), np.full(1, 12 << 2 * HPX_ORDER, dtype=np.int64)
    order = min(fine, max(WIDE_ORDER, min(FINEST_ORDER, fine - 1)))
    cells = _around(distinct(hpx29 >> 2 * (HPX_ORDER - fine)), fine, order)
    skipped = CELLS_SKIPPED >> 2 * max(0, FINEST_ORDER - order)
    first = np.flatnonzero(np.diff(cells, prepend=-2 - skipped) > 1 + skipped)
    last = np.append(first[1:], len(cells)) - 1
    shift = 2 * (HPX_ORDER - order)
    return cells[first] << shift, (cells[last] + 1) << shift


def _around(cells: Int64Array, fine: int, order: int) -> Int64Array:
    """Return the cells of an order that contain cells of a finer one or their neighbours, ascending and distinct."""
    shift = 2 * (fine - order)
    own, around = cells >> shift, neighbours(cells, fine) >> shift
    others = around[around != own]  # most are equal, so less remains to be sorted
    return distinct(np.concatenate([own, others[others >= 0]]))


MOST_CELLS = 96
"""Cells of a polygon's cover: each range costs a search in the index, each cell outside of the polygon its rows."""


def cover_triangles(corners: NDArray[np.float64]) -> tuple[Int64Array, Int64Array]:
    """Cover triangles of great circles.

    Parameters
    ----------
    corners : ndarray, shape (n_triangle, 3, 3)
        Unit vectors of the corners, counter-clockwise as seen from outside the sphere; sides below 180 deg.

    Returns
    -------
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of order-29 cells, ascending and not touching, which contain every point of the triangles.
    """
    normals = np.cross(corners, np.roll(corners, -1, axis=1))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    middle = corners.sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    size = np.arccos(np.clip(np.einsum("tci,ti->tc", corners, middle), -1.0, 1.0)).max(axis=1)
    cells, order = np.arange(12, dtype=np.int64), 0
    while True:
        reach = CELL_REACH / (1 << order) + RANGE_PADDING
        centre = unit_vector(*cell_to_sky(cells, order))
        # a cell whose centre is farther than its reach behind a side has no point of the triangle
        near = (np.einsum("tsi,ic->tsc", normals, centre) >= -np.sin(min(reach, np.pi / 2))).all(axis=1)
        # nor has one beyond the circle around it: behind a sharp corner, a cell can be near all three sides
        near &= middle @ centre >= np.cos(np.minimum(size + 1.001 * reach, np.pi))[:, None]
        kept = cells[near.any(axis=0)]
        if order == HPX_ORDER or (4 * len(kept) > MOST_CELLS and order > 0):
            break
        cells, order = (4 * kept[:, None] + np.arange(4)).ravel(), order + 1
    first = np.flatnonzero(np.diff(kept, prepend=-2) > 1)
    last = np.append(first[1:], len(kept)) - 1
    shift = 2 * (HPX_ORDER - order)
    return kept[first] << shift, (kept[last] + 1) << shift
