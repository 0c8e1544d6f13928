"""HEALPix cells (NESTED, ICRS) and the ranges of cells that cover a cone.

All of ztfdb's HEALPix goes through this module and through one library. Libraries differ by a pixel of order 29 for a
few positions in ten million, so keys made by one must not be looked up with another. The compiled functions of
`astropy_healpix._core` are private, but have kept their signatures from 1.1 to 2.0. The public ones add a unit
conversion around each call, which costs 10 times as much for one position. The compiled module is loaded alone, because
its package imports astropy's coordinates, which takes longer than a light curve.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztfdb.arrays import Float64Array, Int64Array, IntArray
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, check_position, unit_vector

HPX_ORDER = 29
"""Order of the stored cells: 0.4 mas a side, with 4 bits left in a signed 64-bit integer."""

MAX_CONE_RADIUS = 180.0 * 3600.0
"""Largest radius of a cone, arcsec: the whole sphere."""

CELL_REACH = 1.0690
"""Largest distance of a point in a cell from its centre, in radians divided by nside (healpy's max_pixrad)."""

FEW_CONES, FEW_ORDERS = 8, 3
"""Up to this many cones, refined this often, start with cells of the deepest order: more cells, but in one pass."""

RANGE_PADDING = 1e-13
"""Radians added to a cone's radius, for the rounding of unit vectors (an order-29 cell is 2e-9 rad wide)."""

Ranges = tuple[NDArray[np.intp], Int64Array, Int64Array]
"""Cone, start and end of each range."""


def _load_core() -> Any:
    """Return the compiled module of astropy-healpix without importing its package."""
    name = "astropy_healpix._core"
    if name in sys.modules:
        return sys.modules[name]
    package = find_spec("astropy_healpix")
    spec = PathFinder.find_spec(name, package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        raise ImportError("astropy-healpix is missing from this installation", name=name)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_core = _load_core()


def cell_area(order: ArrayLike) -> Float64Array:
    """Return the area of a cell, deg²; cells of an order have equal areas."""
    return np.asarray(np.degrees(np.degrees(4.0 * np.pi)) / 12.0 / 4.0 ** np.asarray(order, np.float64))


def sky_to_cell(ra: ArrayLike, dec: ArrayLike, order: int = HPX_ORDER) -> Int64Array:
    """Return the HEALPix cells of positions.

    Parameters
    ----------
    ra, dec : array_like
        ICRS position, deg.
    order : int
        HEALPix order, 0..29.

    Returns
    -------
    ndarray of int64
        NESTED cell; a cell of a coarser order is this one shifted right by two bits per order.

    Raises
    ------
    ValueError
        If a position is not finite or ``|dec| > 90``.
    """
    return _cell_of(*check_position(ra, dec), order)


def _cell_of(ra: Float64Array, dec: Float64Array, order: int) -> Int64Array:
    return np.asarray(_core.lonlat_to_healpix_nested(np.radians(ra), np.radians(dec), _nside(order))[0], dtype=np.int64)


def cell_to_sky(cell: ArrayLike, order: int = HPX_ORDER) -> tuple[Float64Array, Float64Array]:
    """Return the centres of cells.

    Parameters
    ----------
    cell : array_like of int
        NESTED cells.
    order : int
        HEALPix order, 0..29.

    Returns
    -------
    ra, dec : ndarray
        Centre, deg, ICRS.

    Raises
    ------
    ValueError
        If a cell is not one of the ``12 * 4**order``.
    """
    cell = np.asarray(cell, dtype=np.int64)
    if ((cell < 0) | (cell >= 12 * 4**order)).any():
        raise ValueError(f"a cell of order {order} lies in 0..{12 * 4**order - 1}")
    half = np.full(cell.shape, 0.5)
    lon, lat = _core.healpix_nested_to_lonlat(cell, _nside(order), half, half)
    return np.mod(np.degrees(lon), 360.0), np.asarray(np.degrees(lat))


def cell_boundary(cell: Int64Array, order: int, n_step: int) -> tuple[Float64Array, Float64Array]:
    """Return points along the boundaries of cells, in order around each cell.

    Parameters
    ----------
    cell : ndarray of int64, shape (n_cell,)
        NESTED cells.
    order : int
        HEALPix order.
    n_step : int
        Points per side.

    Returns
    -------
    ra, dec : ndarray, shape (n_cell, 4 * n_step)
        Position, deg, ICRS; the first point closes the polygon.
    """
    t = np.arange(n_step) / n_step
    zero, one = np.zeros(n_step), np.ones(n_step)
    dx = np.concatenate([t, one, 1.0 - t, zero])
    dy = np.concatenate([zero, t, one, 1.0 - t])
    cells = np.repeat(cell[:, None], dx.size, axis=1)
    lon, lat = _core.healpix_nested_to_lonlat(
        cells, _nside(order), np.broadcast_to(dx, cells.shape), np.broadcast_to(dy, cells.shape)
    )
    return np.mod(np.degrees(lon), 360.0), np.asarray(np.degrees(lat))


def neighbours(cell: Int64Array, order: int) -> Int64Array:
    """Return the 8 neighbours of cells, shape (8, n_cell); -1 for the eighth where a cell has only 7."""
    with np.errstate(invalid="ignore"):  # raised inside the library for cells that lack one
        return np.asarray(_core.neighbours_nested(cell, _nside(order)), dtype=np.int64)


def with_neighbours(cell: Int64Array, order: int) -> Int64Array:
    """Return cells and all that share a side or a corner with them, ascending, without repeats."""
    cells = distinct(np.concatenate([cell.ravel(), neighbours(cell, order).ravel()]))
    return cells[cells >= 0]


def distinct(cell: IntArray) -> Int64Array:
    """Return cells (or other integers >= 0) ascending, without repeats.

    numpy sorts in 10 % of the time in which `numpy.unique` hashes; the latter also imports `numpy.ma`.
    """
    ascending = np.sort(cell)
    new: NDArray[np.bool_] = np.diff(ascending, prepend=-2) != 0
    return np.asarray(ascending[new], np.int64)


def cone_ranges(ra: ArrayLike, dec: ArrayLike, radius: ArrayLike, *, extra: int = 2) -> Ranges:
    """Cover cones with ranges of order-29 cells.

    The cover contains every position of every cone and some around it, so an exact test of the separation must follow.
    It starts from the 9 cells around the centre, about twice the radius wide. Cells cut by the rim are refined `extra`
    times; cells completely inside are kept at the coarser level.

    Parameters
    ----------
    ra, dec : array_like, shape (n,) or scalar
        Centres, deg, ICRS.
    radius : array_like, arcsec
        One radius or one per centre, 0 to 648000 (the whole sphere). A cone of radius 0 gets the cells that may contain
        its centre, including a neighbour if the centre is on a cell's edge.
    extra : int
        Refinements. 2 gives 6 to 8 ranges of 3.3 times the cone's area, 3 gives 10 and 2.0, 4 gives 18 and 1.5.

    Returns
    -------
    k : ndarray of intp, shape (n_range,)
        Index of the cone, ascending.
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges ``lo <= hpx29 < hi``, ascending and not touching within a cone.

    Raises
    ------
    ValueError
        If a position is not finite, or a radius is not finite, negative or above 648000 arcsec.
    """
    ra, dec = (np.atleast_1d(v).ravel() for v in check_position(ra, dec))
    radius = np.broadcast_to(np.asarray(radius, dtype=np.float64), ra.shape)
    if not ((radius >= 0.0) & (radius <= MAX_CONE_RADIUS)).all():
        raise ValueError(f"a cone's radius must lie in 0..{MAX_CONE_RADIUS:.0f} arcsec")
    reach = radius / ARCSEC_PER_RADIAN * (1.0 + 1e-9) + RANGE_PADDING
    start = np.minimum(np.maximum(np.floor(np.log2(0.5 / reach)), -1), HPX_ORDER).astype(int)
    orders = start if len(start) == 1 else np.unique(start)
    parts = [_cover(np.flatnonzero(start == order), ra, dec, reach, int(order), extra) for order in orders]
    return _merged(*_joined(parts)) if parts else _no_ranges()


def _cover(
    cone: NDArray[np.intp], ra: Float64Array, dec: Float64Array, reach: Float64Array, order: int, extra: int
) -> Ranges:
    """Cover the cones of one starting order; order -1 means cones that need all 12 base cells."""
    last = min(HPX_ORDER, max(order, 0) + extra)
    k, cells, order = _first_cells(cone, ra[cone], dec[cone], order)
    if cone.size <= FEW_CONES and last - order <= FEW_ORDERS:
        k, cells, order = *_split(k, cells, last - order), last
    centre = unit_vector(ra, dec)
    found: list[Ranges] = []
    while k.size:
        distance, cell_radius = _distance(cells, order, centre[:, k]), CELL_REACH / _nside(order)
        touched = distance <= reach[k] + cell_radius
        done = touched if order == last else distance + cell_radius <= reach[k]
        shift = 2 * (HPX_ORDER - order)
        found.append((k[done], cells[done] << shift, (cells[done] + 1) << shift))
        split = touched & ~done
        k, cells = _split(k[split], cells[split], 1)
        order += 1
    return _joined(found)


def _split(k: NDArray[np.intp], cells: Int64Array, n_order: int) -> tuple[NDArray[np.intp], Int64Array]:
    """Return the cells that are `n_order` orders deeper, each with the cone of its parent."""
    n = 1 << 2 * n_order
    return np.repeat(k, n), (n * cells[:, None] + np.arange(n)).ravel()


def _first_cells(
    cone: NDArray[np.intp], ra: Float64Array, dec: Float64Array, order: int
) -> tuple[NDArray[np.intp], Int64Array, int]:
    """Return cells that contain the cones: the centre's and its neighbours, or for huge cones the 12 base cells."""
    if order < 0:
        return np.repeat(cone, 12), np.tile(np.arange(12, dtype=np.int64), cone.size), 0
    cells = np.empty((cone.size, 9), np.int64)
    cells[:, 0] = cell = _cell_of(ra, dec, order)
    cells[:, 1:] = neighbours(cell, order).T
    there = cells.ravel() >= 0
    return np.repeat(cone, 9)[there], cells.ravel()[there], order


def _distance(cells: Int64Array, order: int, centre: Float64Array) -> Float64Array:
    """Return the angle from each cell's centre to its cone's centre, rad."""
    half = np.full(cells.shape, 0.5)
    x, y, z = _core.healpix_nested_to_xyz(cells, _nside(order), half, half)
    chord = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return np.asarray(2.0 * np.arcsin(np.minimum(1.0, 0.5 * chord)))


def _merged(k: NDArray[np.intp], lo: Int64Array, hi: Int64Array) -> Ranges:
    """Sort ranges by cone and start, and join those that touch (they never overlap)."""
    by = np.lexsort((lo, k))
    k, lo, hi = k[by], lo[by], hi[by]
    first, last = np.ones(k.size, bool), np.ones(k.size, bool)
    first[1:] = (lo[1:] != hi[:-1]) | (k[1:] != k[:-1])
    last[:-1] = first[1:]
    return k[first], lo[first], hi[last]


def _joined(parts: list[Ranges]) -> Ranges:
    if len(parts) == 1:
        return parts[0]
    k, lo, hi = (np.concatenate(column) for column in zip(*parts, strict=True))
    return k, lo, hi


def _no_ranges() -> Ranges:
    return np.empty(0, np.intp), np.empty(0, np.int64), np.empty(0, np.int64)


def _nside(order: int) -> int:
    if not 0 <= order <= HPX_ORDER:
        raise ValueError(f"HEALPix order {order} lies outside 0..{HPX_ORDER}")
    return 1 << order
