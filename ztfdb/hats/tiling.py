"""Partitions: divide the sky by a maximum number of rows, and find the cells in their margins.

A partition is a HEALPix pixel (NESTED, ICRS). Everything is integer arithmetic on stored cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ztfdb.arrays import IntArray
from ztfdb.sky.angles import ARCSEC_PER_RADIAN
from ztfdb.sky.cells import HPX_ORDER, distinct, neighbours

DEEPEST = 10
"""Order of the smallest partition (3.4 arcmin) and of the cells for counting rows."""

GAP = 0.65
"""Minimum distance of two cells without a common side or corner, in radians times nside.

Sampled along the edges of all cells of orders 3 and 4 and of thousands of cells of orders 5 and 6: 0.713, 0.704, 0.699,
0.695.
"""

FINEST = 17
"""Finest order of the cells of a margin (1.6 arcsec): at order 23, those around a partition of order 3 take 0.8 GB."""

WIDEST_MARGIN = GAP / (1 << DEEPEST) * ARCSEC_PER_RADIAN
"""Maximum margin, arcsec (130.9): one cell of the smallest partition's order must span it."""


class Pixel(NamedTuple):
    """A HEALPix pixel.

    Attributes
    ----------
    norder, npix : int
        Order and NESTED number.
    """

    norder: int
    npix: int

    @property
    def lo(self) -> int:
        """The first order-29 cell."""
        return self.npix << 2 * (HPX_ORDER - self.norder)

    @property
    def hi(self) -> int:
        """One past the last order-29 cell."""
        return (self.npix + 1) << 2 * (HPX_ORDER - self.norder)


def tile(cells: IntArray, weights: IntArray, threshold: int, held: Sequence[Pixel] = ()) -> list[Pixel]:
    """Divide the sky so that no partition weighs more than `threshold`.

    Parameters
    ----------
    cells : ndarray of int64, shape (n,)
        Order-10 cells with rows, ascending.
    weights : ndarray of int64, shape (n,)
        Rows (or epochs) in each.
    threshold : int
        A single cell may weigh more, because partitions are not smaller.
    held : sequence of Pixel
        Disjoint partitions of an earlier division. They stay, but are divided if they exceed `threshold`.

    Returns
    -------
    list of Pixel
        Partitions with rows, in order of position on the sky. Each new one is the smallest pixel with its rows.
    """
    total = np.concatenate([[0], np.cumsum(weights)])
    found: list[Pixel] = []
    old = sorted(held, key=lambda pixel: pixel.lo)
    starts = np.array([pixel.lo for pixel in old], np.int64)
    free = np.ones(len(cells), bool)
    for pixel in old:
        first, last = _span(cells, pixel)
        free[first:last] = False
        if first == last:
            continue
        if total[last] - total[first] <= threshold or pixel.norder >= DEEPEST:
            found.append(pixel)
        else:
            _divide(cells, total, threshold, [*_children(pixel)], starts[:0], found)
    rest = np.concatenate([[0], np.cumsum(weights[free])])
    _divide(cells[free], rest, threshold, [Pixel(0, base) for base in range(12)], starts, found)
    return sorted(found, key=lambda pixel: pixel.lo)


def _divide(
    cells: IntArray, total: IntArray, threshold: int, waiting: list[Pixel], taken: IntArray, found: list[Pixel]
) -> None:
    """Add the partitions for `cells` below the waiting pixels; none contains a partition that starts at `taken`."""
    while waiting:
        pixel = waiting.pop()
        first, last = _span(cells, pixel)
        if first == last:
            continue
        small = pixel.norder >= DEEPEST or total[last] - total[first] <= threshold
        if small:
            pixel = _smallest(int(cells[first]), int(cells[last - 1]))
        if small and np.searchsorted(taken, pixel.lo) == np.searchsorted(taken, pixel.hi):
            found.append(pixel)
        else:
            waiting += _children(pixel)


def _span(cells: IntArray, pixel: Pixel) -> tuple[int, int]:
    shift = 2 * (DEEPEST - pixel.norder)
    first, last = np.searchsorted(cells, [pixel.npix << shift, (pixel.npix + 1) << shift])
    return int(first), int(last)


def _children(pixel: Pixel) -> list[Pixel]:
    return [Pixel(pixel.norder + 1, 4 * pixel.npix + k) for k in range(4)]


def _smallest(first: int, last: int) -> Pixel:
    """Return the smallest pixel that contains both cells."""
    up = ((first ^ last).bit_length() + 1) // 2
    return Pixel(DEEPEST - up, first >> 2 * up)


def margin_order(threshold: float) -> int:
    """Return the finest order, at most `FINEST`, whose cells span `threshold` arcsec.

    Raises
    ------
    ValueError
        If a margin is not positive, or wider than `WIDEST_MARGIN`.
    """
    if not 0.0 < threshold <= WIDEST_MARGIN:
        raise ValueError(f"a margin must be wider than 0 and at most {WIDEST_MARGIN:.1f} arcsec, not {threshold:g}")
    return min(FINEST, int(np.floor(np.log2(GAP * ARCSEC_PER_RADIAN / threshold))))


@dataclass(frozen=True)
class Margins:
    """The cells of partitions that lie in the margins of others.

    Attributes
    ----------
    order : int
        Order of the cells; the cells of a margin contain all rows within its width, and some beyond it.
    cell : ndarray of int64, shape (n,)
        Cells, ascending; a cell occurs once for every partition whose margin it is in.
    owner : ndarray of int64, shape (n,)
        Index of the partition that contains the cell.
    margin_of : ndarray of int64, shape (n,)
        Index of the partition whose margin the cell is in.
    """

    order: int
    cell: IntArray
    owner: IntArray
    margin_of: IntArray

    def of(self, owner: int) -> tuple[IntArray, IntArray]:
        """Return the cells of one partition that are in margins, ascending, and the partitions of these margins."""
        mine = slice(*np.searchsorted(self.owner, [owner, owner + 1]))  # ascending, because cells and partitions are
        return self.cell[mine], self.margin_of[mine]

    def sources(self) -> dict[int, list[int]]:
        """Return the partitions with cells in each margin, by the partition whose margin it is."""
        found: dict[int, list[int]] = {}
        for pair in distinct(self.margin_of << 32 | self.owner).tolist():
            found.setdefault(pair >> 32, []).append(pair & 0xFFFFFFFF)
        return found

    def near(self, changed: set[int]) -> set[int]:
        """Return the indices of the partitions whose margins have rows of `changed`."""
        touched = np.isin(self.owner, list(changed))
        return set(self.margin_of[touched].tolist())


def find_margins(pixels: Sequence[Pixel], threshold: float) -> Margins:
    """Find the cells around each partition that belong to other partitions.

    Parameters
    ----------
    pixels : sequence of Pixel
        Disjoint, in order of position on the sky.
    threshold : float
        Width of the margin, arcsec.
    """
    order = margin_order(threshold)
    shift = 2 * (HPX_ORDER - order)
    starts = np.array([pixel.lo for pixel in pixels], np.int64)
    ends = np.array([pixel.hi for pixel in pixels], np.int64)
    cells: list[IntArray] = []
    owners: list[IntArray] = []
    around: list[IntArray] = []
    for place, pixel in enumerate(pixels):
        cell = cells_around(pixel, order)
        owner = np.searchsorted(starts, cell << shift, side="right") - 1
        inside = (owner >= 0) & ((cell << shift) < ends[owner])
        cells.append(cell[inside])
        owners.append(owner[inside])
        around.append(np.full(int(inside.sum()), place, np.int64))
    none = [np.empty(0, np.int64)]
    cell, owner, margin_of = (np.concatenate(none + part) for part in (cells, owners, around))
    by = np.lexsort((margin_of, cell))
    return Margins(order, cell[by], owner[by], margin_of[by])


def cells_around(pixel: Pixel, order: int) -> IntArray:
    """Return the cells of an order that touch a pixel from outside, ascending."""
    side = 1 << (order - pixel.norder)
    along, none, full = np.arange(side), np.zeros(side, np.int64), np.full(side, side - 1)
    x, y = np.concatenate([along, along, none, full]), np.concatenate([none, full, along, along])
    shift = 2 * (order - pixel.norder)
    rim = (pixel.npix << shift) + (_spread(x) | _spread(y) << 1)
    cell = neighbours(rim, order).ravel()
    outside: IntArray = cell[(cell >= 0) & (cell >> shift != pixel.npix)]  # three in eight: less to sort
    return distinct(outside)


_MASKS = ((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333),
          (1, 0x5555555555555555))  # fmt: skip


def _spread(value: IntArray) -> IntArray:
    """Return integers below 2^30 with a zero bit between their bits."""
    for shift, mask in _MASKS:
        value = (value | value << shift) & mask
    return value
