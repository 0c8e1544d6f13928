"""Polygons of great circles, convex or concave, divided into triangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array
from ztfdb.sky.angles import check_position, unit_vector

FARTHEST = 89.0
"""Degrees from a polygon's middle to its corners; more does not fit into one tangent plane."""


def triangulate(ra: ArrayLike, dec: ArrayLike) -> Float64Array:
    """Divide a polygon into triangles.

    In the plane tangent to the sphere at the polygon's middle, great circles are straight lines (gnomonic projection).
    There ears (corners without other corners in their triangle) are cut off until three corners are left.

    Parameters
    ----------
    ra, dec : array_like, shape (n_corner,)
        Corners, clockwise or not, deg, ICRS; the first is not repeated at the end. The polygon is the smaller of the
        two parts into which its outline divides the sphere.

    Returns
    -------
    ndarray, shape (n_corner - 2, 3, 3)
        Unit vectors of the corners of each triangle, counter-clockwise as seen from outside the sphere.

    Raises
    ------
    ValueError
        If there are fewer than three corners, they are not within 89 deg of their middle, or the outline crosses itself
        or has no area.

    References
    ----------
    Meisters 1975, The American Mathematical Monthly 82, 648.
    """
    lon, lat = check_position(ra, dec)
    if lon.size < 3:
        raise ValueError(f"a polygon has at least 3 corners, found {lon.size}")
    corner = unit_vector(lon, lat).T
    x, y = _plane(corner)
    _check_simple(x, y)
    order = list(range(len(corner)))
    if _area(x, y) < 0.0:
        order.reverse()
    found = []
    while len(order) > 3:
        at = _ear(x, y, order)
        found.append([order[at - 1], order[at], order[(at + 1) % len(order)]])
        del order[at]
    return np.asarray(corner[[*found, order]])


def box_corners(ra: float, dec: float, width: float, height: float) -> tuple[Float64Array, Float64Array]:
    """Return the corners of ADQL's BOX, deg.

    Two great circles cross at the centre: its meridian, and the one at a right angle to it. The sides are great circles
    at right angles to these, at half the height and half the width.

    Raises
    ------
    ValueError
        If a size does not lie between 0 and 178 deg.
    """
    if not (0.0 < width < 2 * FARTHEST and 0.0 < height < 2 * FARTHEST):
        raise ValueError(f"a box of {width:g} x {height:g} deg: expected sizes above 0 and up to {2 * FARTHEST:g} deg")
    check_position(ra, dec)
    half_x, half_y = np.tan(np.radians([0.5 * width, 0.5 * height]))
    lon, lat = np.radians([ra, dec])
    centre = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(centre, east)
    corner = centre + np.outer([-half_x, half_x, half_x, -half_x], east)
    corner += np.outer([-half_y, -half_y, half_y, half_y], north)
    found_lon = np.degrees(np.arctan2(corner[:, 1], corner[:, 0])) % 360.0
    return found_lon, np.degrees(np.arctan2(corner[:, 2], np.hypot(corner[:, 0], corner[:, 1])))


def solid_angle(triangles: Float64Array) -> float:
    """Return the area of triangles, steradian.

    References
    ----------
    Van Oosterom & Strackee 1983, IEEE Transactions on Biomedical Engineering 30, 125.
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    volume = np.einsum("ti,ti->t", a, np.cross(b, c))
    rest = 1.0 + np.einsum("ti,ti->t", a, b) + np.einsum("ti,ti->t", b, c) + np.einsum("ti,ti->t", c, a)
    return float(np.sum(2.0 * np.arctan2(volume, rest)))


def _plane(corner: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Project onto the plane at the middle of the corners, x and y counter-clockwise as seen from outside."""
    middle = corner.sum(axis=0)
    norm = np.linalg.norm(middle)
    middle = middle / norm if norm > 1e-9 else corner[0]
    depth = corner @ middle
    if depth.min() < np.cos(np.radians(FARTHEST)):
        raise ValueError(f"the corners of a polygon lie within {FARTHEST:g} deg of their middle")
    axis = np.eye(3)[np.argmin(np.abs(middle))]
    first = np.cross(axis, middle)
    first /= np.linalg.norm(first)
    second = np.cross(middle, first)
    return (corner @ first) / depth, (corner @ second) / depth


def _area(x: Float64Array, y: Float64Array) -> float:
    area = float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    if abs(area) <= 1e-13 * float(np.ptp(x) + np.ptp(y)) ** 2:
        raise ValueError("the polygon has no area")
    return area


def _check_simple(x: Float64Array, y: Float64Array) -> None:
    n = len(x)
    for i in range(n):
        for j in range(i + 2, n):
            if (i or j < n - 1) and _cross(x, y, i, (i + 1) % n, j, (j + 1) % n):
                raise ValueError("the outline of the polygon crosses itself")


def _turn(x: Float64Array, y: Float64Array, a: int, b: int, c: int) -> float:
    return float((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]))


def _cross(x: Float64Array, y: Float64Array, a: int, b: int, c: int, d: int) -> bool:
    return _turn(x, y, a, b, c) * _turn(x, y, a, b, d) < 0.0 and _turn(x, y, c, d, a) * _turn(x, y, c, d, b) < 0.0


def _ear(x: Float64Array, y: Float64Array, order: list[int]) -> int:
    """Return the index of a corner that can be cut off."""
    n = len(order)
    for at in range(n):
        a, b, c = order[at - 1], order[at], order[(at + 1) % n]
        if _turn(x, y, a, b, c) <= 0.0:
            continue
        others = (one for one in order if one not in (a, b, c))
        if not any(min(_turn(x, y, *side, one) for side in ((a, b), (b, c), (c, a))) >= 0.0 for one in others):
            return at
    return min(range(n), key=lambda at: abs(_turn(x, y, order[at - 1], order[at], order[(at + 1) % n])))
