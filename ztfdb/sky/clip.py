"""Intersections of quadrilaterals of great circles with ranges of coordinates, whose parallels are no great circles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Float64Array
from ztfdb.sky.angles import unit_vector
from ztfdb.sky.shapes import SkyRange


def meets_range(ra: Float64Array, dec: Float64Array, wanted: SkyRange) -> NDArray[np.bool_]:
    """Return which convex quadrilaterals have a point in common with a range.

    Each quadrilateral is cut by the two meridians, which are great circles. The remainder has such a point if its
    declinations overlap those of the range.

    Parameters
    ----------
    ra, dec : ndarray, shape (n, 4)
        Corners in their order around each, deg.
    wanted : SkyRange

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    corners = np.moveaxis(unit_vector(ra, dec), 0, -1)
    found = np.asarray(np.any(wanted.contains(ra, dec), axis=1), dtype=bool)
    parts = _halves(wanted)
    # a side bulges towards a pole by less than its length
    bulge = np.degrees(np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)) * 1.1
    open_ = ~found & (dec.min(axis=1) - bulge <= wanted.dec2) & (dec.max(axis=1) + bulge >= wanted.dec1)
    beside = [np.any(np.all(corners @ _meridians(*part).T < 0.0, axis=1), axis=1) for part in parts]
    open_ &= ~np.all(beside, axis=0)
    for at in np.flatnonzero(open_):
        found[at] = any(_meets(corners[at], *part, wanted.dec1, wanted.dec2) for part in parts)
    return found


def _halves(wanted: SkyRange) -> list[tuple[float, float]]:
    """Return start and width of parts of at most half a turn, deg: the area between two meridians is then convex."""
    n = max(1, int(np.ceil(wanted.width / 180.0)))
    return [(wanted.ra1 + k * wanted.width / n, wanted.width / n) for k in range(n)]


def _meridians(start: float, width: float) -> Float64Array:
    """Return the normals of the two meridians, and of the plane that separates a narrow lune from its opposite."""
    first, last = np.radians([start, start + width])
    middle = 0.5 * (first + last)
    normals = [[-np.sin(first), np.cos(first), 0.0], [np.sin(last), -np.cos(last), 0.0]]
    return np.array([*normals, *([[np.cos(middle), np.sin(middle), 0.0]] if width < 180.0 else [])])


def _meets(corner: Float64Array, start: float, width: float, low: float, high: float) -> bool:
    left = corner
    for normal in _meridians(start, width):
        left = _cut(left, normal)
    if not len(left):
        return False
    lowest, highest = _declinations(left)
    return bool(lowest <= high and highest >= low)


def _cut(corner: Float64Array, normal: Float64Array) -> Float64Array:
    """Return the corners of the part of a convex polygon on one side of a great circle (Sutherland-Hodgman)."""
    kept = []
    for a, b in zip(corner, np.roll(corner, -1, axis=0), strict=True):
        at_a, at_b = a @ normal, b @ normal
        if at_a >= 0.0:
            kept.append(a)
        if at_a * at_b < 0.0:
            between = a * abs(at_b) + b * abs(at_a)
            kept.append(between / np.linalg.norm(between))
    return np.array(kept).reshape(-1, 3)


def _declinations(corner: Float64Array) -> tuple[float, float]:
    """Return the lowest and the highest declination of a convex polygon, deg: of corners, sides, enclosed pole."""
    after = np.roll(corner, -1, axis=0)
    z = [*corner[:, 2].tolist()]
    for a, b in zip(corner, after, strict=True):
        normal = np.cross(a, b)
        size = np.linalg.norm(normal)
        if size < 1e-12:
            continue
        top = np.array([0.0, 0.0, 1.0]) - normal[2] / size**2 * normal
        for sign in (1.0, -1.0):
            point = sign * top
            if np.cross(a, point) @ normal > 0.0 and np.cross(point, b) @ normal > 0.0:
                z.append(float(point[2] / np.linalg.norm(point)))
    signs = np.cross(corner, after)[:, 2]
    for pole in (1.0, -1.0):
        if (pole * corner.sum(axis=0)[2] > 0.0) and ((signs >= 0.0).all() or (signs <= 0.0).all()):
            z.append(pole)
    return float(np.degrees(np.arcsin(np.clip(min(z), -1.0, 1.0)))), float(
        np.degrees(np.arcsin(np.clip(max(z), -1.0, 1.0)))
    )
