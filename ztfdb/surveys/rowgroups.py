"""Find the row groups of a HATS catalogue that touch ranges of cells, and their rows in the ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, separation, unit_vector
from ztfdb.sky.cells import CELL_REACH, HPX_ORDER, cell_to_sky, distinct, neighbours, sky_to_cell
from ztfdb.surveys.blocks import Block, integers, numbers

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

BORDER_ORDER = 12
"""Order of the border cells (52 arcsec) that are also read, because cells of other libraries differ by 1 mas."""

MOST_BORDER_CELLS = 50_000
"""With more cells, the border has a coarser order."""

CAP_CELLS = 500
"""Maximum cells used to bound ranges by a cap."""

CAP_PADDING = 1e-8
"""Padding of the cap around ranges, rad (2 mas): far above the rounding of positions."""


@dataclass(frozen=True)
class Cap:
    """A circle on the sky around ranges of cells.

    Attributes
    ----------
    ra, dec : float
        Its centre, deg.
    radius : float
        deg.
    """

    ra: float
    dec: float
    radius: float

    def near(self, ra: FloatArray, dec: FloatArray) -> NDArray[np.int64]:
        """Return the indices of positions inside, ascending; invalid positions are outside."""
        with np.errstate(invalid="ignore"):
            band = np.flatnonzero(np.abs(dec - self.dec) <= self.radius)
        band = band[_is_position(ra[band], dec[band])]
        return band[separation(self.ra, self.dec, ra[band], dec[band]) <= self.radius * 3600.0]


@dataclass
class Group:
    """A row group whose positions have been read.

    A query for a few rows computes the cells of nearby rows without caching them. Once as many cells were computed as
    there are rows, or if most rows are requested, the cells of all rows are computed and cached in order.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,)
        deg, as in the file.
    columns : dict of ChunkedArray, each of length n
        Columns read so far, of all rows.
    """

    ra: FloatArray
    dec: FloatArray
    columns: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    _row: IntArray | None = None
    _cell: IntArray | None = None
    _n_computed: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        kept = sum(one.nbytes for one in (self._row, self._cell) if one is not None)
        return int(self.ra.nbytes + self.dec.nbytes + kept + sum(one.nbytes for one in self.columns.values()))

    def rows(self, lo: IntArray, hi: IntArray, cap: Cap | None) -> IntArray:
        """Return the rows in half-open ranges of order-29 cells, ascending; `cap` contains all ranges."""
        if self._cell is None and cap is not None:
            near = cap.near(self.ra, self.dec)
            self._n_computed += len(near)
            if self._n_computed <= len(self.ra):
                of_near = sky_to_cell(np.mod(self.ra[near], 360.0), self.dec[near])
                return near[overlap(of_near, of_near, lo, hi)]
        row, cell = self._by_cell()
        first, last = np.searchsorted(cell, lo), np.searchsorted(cell, hi)
        found = [row[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True) if a < b]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _by_cell(self) -> tuple[IntArray, IntArray]:
        """Return the rows with a position, ordered by cell, and their cells."""
        if self._row is None or self._cell is None:
            row = np.flatnonzero(_is_position(self.ra, self.dec))
            cell = sky_to_cell(np.mod(self.ra[row], 360.0), self.dec[row])
            by = np.argsort(cell, kind="stable")
            self._row, self._cell = row[by], cell[by]
        return self._row, self._cell

    def block(self, rows: IntArray, wanted: Mapping[str, str]) -> Block:
        """Return columns of some rows; ``line`` is their number in the group, from 1."""
        import pyarrow as pa

        block, at = Block(rows + 1, {}), pa.array(rows)
        for name, kind in wanted.items():
            values, missing = arrow_values(self.columns[name].take(at))
            if kind == "i":
                block.columns[name], none = integers(values, missing)
                if none.any():
                    block.missing[name] = none
            else:
                block.columns[name] = numbers(values, missing)
        return block


def _is_position(ra: FloatArray, dec: FloatArray) -> BoolArray:
    with np.errstate(invalid="ignore"):
        answer: BoolArray = (np.abs(dec) <= 90.0) & (ra >= -360.0) & (ra <= 360.0)
    return answer


def cap_around(lo: IntArray, hi: IntArray) -> Cap | None:
    """Return a cap that contains ranges of order-29 cells; None if they are spread over the sky."""
    cell, order = _cells_of(lo, hi, HPX_ORDER, CAP_CELLS)
    vectors = unit_vector(*cell_to_sky(cell, order))
    middle = vectors.mean(axis=1)
    length = float(np.linalg.norm(middle))
    if length < 0.5:
        return None
    ra, dec = np.degrees(np.arctan2(middle[1], middle[0])) % 360.0, np.degrees(np.arcsin(middle[2] / length))
    distance = separation(ra, dec, *cell_to_sky(cell, order)).max() / ARCSEC_PER_RADIAN
    return Cap(float(ra), float(dec), float(np.degrees(distance + CELL_REACH / (1 << order) + CAP_PADDING)))


def with_border(lo: IntArray, hi: IntArray) -> tuple[IntArray, IntArray]:
    """Return disjoint ascending ranges that contain ranges of order-29 cells and all cells around them."""
    cells, order = _cells_of(lo, hi, BORDER_ORDER, MOST_BORDER_CELLS + len(lo))
    around = distinct(np.concatenate([cells, neighbours(cells, order).ravel()]))
    around = around[around >= 0]
    shift = 2 * (HPX_ORDER - order)
    start = np.flatnonzero(np.diff(around, prepend=-2) > 1)
    end = np.append(start[1:], len(around)) - 1
    return around[start] << shift, (around[end] + 1) << shift


def _cells_of(lo: IntArray, hi: IntArray, order: int, most: int) -> tuple[NDArray[np.int64], int]:
    """Return the cells that ranges touch, ascending, and their order: `order`, or the finest with at most `most`."""

    def ends(order: int) -> tuple[IntArray, IntArray]:
        shift = 2 * (HPX_ORDER - order)
        return lo >> shift, (hi - 1) >> shift

    while order and int(np.sum(np.subtract(*reversed(ends(order))) + 1)) > most:
        order -= 1
    first, last = ends(order)
    n = last - first + 1
    cells = np.repeat(first, n) + np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return distinct(cells.astype(np.int64, copy=False)), order


def overlap(first: IntArray, last: IntArray, lo: IntArray, hi: IntArray) -> BoolArray:
    """Return which of the closed ranges overlap any of the half-open ones, which are ascending and disjoint."""
    at = np.searchsorted(hi, first, side="right")  # the first half-open range that ends after the start
    there = at < len(lo)
    overlapping: BoolArray = there & (lo[np.minimum(at, len(lo) - 1)] <= last)
    return overlapping


def arrow_values(column: pa.ChunkedArray) -> tuple[NDArray[Any], BoolArray | None]:
    """Return a column as numpy values and the mask of its nulls, None without any; integers stay integers."""
    import pyarrow as pa

    missing = np.asarray(column.is_null()) if column.null_count else None
    if missing is not None and pa.types.is_integer(column.type):
        column = column.fill_null(0)
    return column.to_numpy(), missing


def statistics(metadata: parquet.FileMetaData, name: str) -> list[tuple[Any, Any] | None]:
    """Return minimum and maximum of a column per row group, None if the footer does not have them."""
    found: list[tuple[Any, Any] | None] = [None] * metadata.num_row_groups
    leaves = [metadata.schema.column(k).path for k in range(metadata.num_columns)]
    if name in leaves:
        place = leaves.index(name)
        for number in range(metadata.num_row_groups):
            known = metadata.row_group(number).column(place).statistics
            if known is not None and known.has_min_max:
                found[number] = known.min, known.max
    return found
