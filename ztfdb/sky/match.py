"""Match two tables of positions: nearest, mutually nearest, or every pair within a radius.

Positions become unit vectors, in cells of a grid or in a k-d tree, so RA 0 and the poles are not special. Rows with a
position that is not finite never match. Of equally near partners (to 1e-9 arcsec, for duplicates) the smallest row is
used.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztfdb.arrays import Float64Array, Int64Array
from ztfdb.records import Match
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, separation, unit_vector
from ztfdb.sky.grid import LARGE, in_halves, near_pairs

TIE_ARCSEC = 1e-9
"""Separations closer than this are equal: unit vectors are rounded at 3e-11 arcsec."""

TIE_CHORD = 1e-14
"""`TIE_ARCSEC` as a distance of unit vectors, with a margin for their rounding."""

MAX_RADIUS = 180.0 * 3600.0
"""Largest matching radius, arcsec."""


def match_nearest(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, radius: float) -> Match:
    """Find for each position of the first table the nearest of the second.

    Parameters
    ----------
    ra1, dec1 : array_like, shape (n1,)
        First table, deg, ICRS.
    ra2, dec2 : array_like, shape (n2,)
        Second table, deg, ICRS.
    radius : float
        Largest separation, arcsec, inclusive.

    Returns
    -------
    Match
        At most one pair per row of the first table, by ascending ``index1``. A row of the second table may occur
        more than once. Equal to astropy's ``match_coordinates_sky`` cut at `radius`, except for ties.

    Raises
    ------
    ValueError
        If `radius` does not lie in 0..648000 arcsec, or the coordinates of a table differ in length.
    """
    return _each_nearest(ra1, dec1, ra2, dec2, radius, ways=1)[0]


def match_mutual(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, radius: float) -> Match:
    """Find the pairs in which each is the other's nearest.

    Parameters
    ----------
    ra1, dec1, ra2, dec2 : array_like
        The two tables, deg, ICRS.
    radius : float
        Largest separation, arcsec, inclusive.

    Returns
    -------
    Match
        One-to-one pairs by ascending ``index1``.

    Raises
    ------
    ValueError
        As `match_nearest`.
    """
    there, back = _each_nearest(ra1, dec1, ra2, dec2, radius, ways=2)
    partner = np.full(np.size(ra2), -1, dtype=np.int64)
    partner[back.index1] = back.index2
    mutual = partner[there.index2] == there.index1
    return Match(there.index1[mutual], there.index2[mutual], there.separation[mutual])


def match_all(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, radius: float) -> Match:
    """Find every pair within a radius.

    Parameters
    ----------
    ra1, dec1, ra2, dec2 : array_like
        The two tables, deg, ICRS.
    radius : float
        Largest separation, arcsec, inclusive.

    Returns
    -------
    Match
        Pairs by ascending ``index1``, then ``index2``: the set that astropy's ``search_around_sky`` finds.

    Raises
    ------
    ValueError
        As `match_nearest`.
    """
    from scipy.spatial import cKDTree

    first, second = _two_tables(ra1, dec1, ra2, dec2)
    reach = _chord(radius)
    if not (first.row.size and second.row.size):
        return _no_pairs()
    near = near_pairs(first.vector, second.vector, reach)
    if near is None:
        found = cKDTree(first.vector).sparse_distance_matrix(cKDTree(second.vector), reach, output_type="ndarray")
        near = found["i"].astype(np.int64), found["j"].astype(np.int64)
    match = _pairs(first, second, *near, radius)
    by = np.lexsort((match.index2, match.index1))
    return Match(match.index1[by], match.index2[by], match.separation[by])


class _Table:
    """The finite positions of one table: rows, coordinates, unit vectors."""

    def __init__(self, ra: ArrayLike, dec: ArrayLike) -> None:
        all_ra = np.atleast_1d(np.asarray(ra, dtype=np.float64))
        all_dec = np.atleast_1d(np.asarray(dec, dtype=np.float64))
        if all_ra.shape != all_dec.shape or all_ra.ndim != 1:
            raise ValueError(f"ra {all_ra.shape} and dec {all_dec.shape} are not two columns of one length")
        self.row: Int64Array = np.flatnonzero(np.isfinite(all_ra) & np.isfinite(all_dec)).astype(np.int64)
        self.ra, self.dec = all_ra[self.row], all_dec[self.row]
        self.vector = np.ascontiguousarray(unit_vector(self.ra, self.dec).T)


def _each_nearest(
    ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, radius: float, *, ways: int
) -> list[Match]:
    """Find the nearest in the second table for each row of the first; with ``ways=2`` also the other way round."""
    first, second = _two_tables(ra1, dec1, ra2, dec2)
    reach = _chord(radius)
    if not (first.row.size and second.row.size):
        return [_no_pairs()] * ways
    near = near_pairs(first.vector, second.vector, reach)
    if near is None:
        return [_nearest_by_tree(*pair, reach, radius) for pair in ((first, second), (second, first))[:ways]]
    i, j = near
    apart = _separations(first, i, second, j)
    return [_nearest(*pairs, apart, radius) for pairs in ((first, i, second, j), (second, j, first, i))[:ways]]


def _nearest(first: _Table, i: Int64Array, second: _Table, j: Int64Array, apart: Float64Array, radius: float) -> Match:
    """Select the nearest in the second table from all pairs within reach, with separations `apart`."""
    least = np.full(first.row.size, np.inf)
    np.minimum.at(least, i, apart)
    as_near = np.flatnonzero((apart <= least[i] + TIE_ARCSEC) & (least[i] <= radius))
    chosen = np.full(first.row.size, second.row.size, dtype=np.int64)
    np.minimum.at(chosen, i[as_near], j[as_near])
    kept = as_near[chosen[i[as_near]] == j[as_near]]
    least[i[kept]] = apart[kept]
    found = np.flatnonzero(chosen < second.row.size)
    return Match(first.row[found], second.row[chosen[found]], least[found])


def _nearest_by_tree(first: _Table, second: _Table, reach: float, radius: float) -> Match:
    """Find the nearest without computing all pairs; for wide radii and crowded fields."""
    from scipy.spatial import cKDTree

    tree = cKDTree(second.vector)
    # The two nearest show whether there is a tie; a table of one row gets a second neighbour at infinity.
    distances, neighbours = tree.query(first.vector, k=[1, 2], distance_upper_bound=reach)
    distance, nearest = np.asarray(distances), np.asarray(neighbours)[:, 0].astype(np.int64)
    found = np.flatnonzero(np.isfinite(distance[:, 0]))
    tied = found[distance[found, 1] <= distance[found, 0] + TIE_CHORD]
    if tied.size:
        as_near = tree.query_ball_point(first.vector[tied], distance[tied, 0] + TIE_CHORD, return_sorted=True)
        nearest[tied] = [_first_of_nearest(first, second, i, near) for i, near in zip(tied, as_near, strict=True)]
    return _pairs(first, second, found, nearest[found], radius)


def _two_tables(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> tuple[_Table, _Table]:
    """Make both tables, in parallel if they are large: numpy releases the GIL in its loops."""
    if np.size(ra1) < LARGE or np.size(ra2) < LARGE:
        return _Table(ra1, dec1), _Table(ra2, dec2)
    with ThreadPoolExecutor(1) as other:
        second = other.submit(_Table, ra2, dec2)
        return _Table(ra1, dec1), second.result()


def _chord(radius: float) -> float:
    """Return the straight distance of two unit vectors `radius` arcsec apart, slightly increased for rounding."""
    if not 0.0 <= radius <= MAX_RADIUS:
        raise ValueError(f"a matching radius must lie in 0..{MAX_RADIUS:.0f} arcsec, not {radius}")
    return float(2.0 * np.sin(0.5 * radius / ARCSEC_PER_RADIAN) * (1.0 + 1e-12) + 1e-15)


def _first_of_nearest(first: _Table, second: _Table, i: np.int64, candidates: list[int]) -> int:
    """Return the smallest of the candidate rows (ascending) that are as near as the nearest of them."""
    apart = separation(first.ra[i], first.dec[i], second.ra[candidates], second.dec[candidates])
    return candidates[int(np.argmax(apart <= apart.min() + TIE_ARCSEC))]


def _separations(first: _Table, i: NDArray[np.intp], second: _Table, j: NDArray[np.intp]) -> Float64Array:
    """Return the separations of pairs."""

    def of(rows: slice) -> Float64Array:
        one, other = i[rows], j[rows]
        return separation(first.ra[one], first.dec[one], second.ra[other], second.dec[other])

    return np.concatenate(in_halves(of, len(i)))


def _pairs(first: _Table, second: _Table, index1: NDArray[np.intp], index2: NDArray[np.int64], radius: float) -> Match:
    """Return the pairs that the exact separation confirms, as rows of the input tables."""
    apart = _separations(first, index1, second, index2)
    within = apart <= radius
    return Match(first.row[index1[within]], second.row[index2[within]], apart[within])


def _no_pairs() -> Match:
    return Match(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
