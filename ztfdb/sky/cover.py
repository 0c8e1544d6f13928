"""The cells around a whole table of positions, as few ranges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.sky.angles import ARCSEC_PER_RADIAN
from ztfdb.sky.cells import HPX_ORDER, RANGE_PADDING, with_neighbours

FINEST_ORDER = 12
"""52 arcsec a cell: a quadrant's sources give some hundred ranges, 7 % wider than the quadrant itself."""

Int64Array = NDArray[np.int64]


def cover_positions(hpx29: Int64Array, radius: float) -> tuple[Int64Array, Int64Array]:
    """Cover all positions within a radius of any of a table's positions.

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
    order = min(FINEST_ORDER, int(np.floor(np.log2(0.5 / reach))))
    if order < 0:
        return np.zeros(1, np.int64), np.full(1, 12 << 2 * HPX_ORDER, dtype=np.int64)
    shift = 2 * (HPX_ORDER - order)
    cells = with_neighbours(np.unique(hpx29 >> shift), order)
    first = np.flatnonzero(np.diff(cells, prepend=-2) > 1)
    last = np.append(first[1:], len(cells)) - 1
    return cells[first] << shift, (cells[last] + 1) << shift
