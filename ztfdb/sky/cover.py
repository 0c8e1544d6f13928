"""The cells around a whole table of positions, as few ranges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.sky.angles import ARCSEC_PER_RADIAN
from ztfdb.sky.cells import HPX_ORDER, RANGE_PADDING, distinct, neighbours

WIDE_ORDER, FINEST_ORDER = 12, 15
"""52 and 6 arcsec a cell: what is read beyond the positions grows with the cell, the number of ranges shrinks."""

CELLS_SKIPPED = 6
"""So many of the finest cells between two ranges are read with them: at PS1's density faster than one more range."""

Int64Array = NDArray[np.int64]


def cover_positions(hpx29: Int64Array, radius: float) -> tuple[Int64Array, Int64Array]:
    """Cover all positions within a radius of any of a table's positions.

    Of a table much denser than the positions a part is read where the radius is small: of 81,000 rows on a quadrant
    32,000 lie in the cells around 12,000 sources.

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
    # a cell and its neighbours hold what is within half of 1/nside of it: the rule that cones start from
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
    """Return the cells of an order that hold cells of a finer one or their neighbours, ascending, each once."""
    shift = 2 * (fine - order)
    own, around = cells >> shift, neighbours(cells, fine) >> shift
    others = around[around != own]  # most are the same: there is less to sort
    return distinct(np.concatenate([own, others[others >= 0]]))
