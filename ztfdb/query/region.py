"""Which images meet a box on the sky, by the great circles between their corners, as in IRSA's image search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, IntArray
from ztfdb.errors import QueryError
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.cover import cover_triangles
from ztfdb.sky.footprint import FOOTPRINT_ORDER
from ztfdb.sky.polygon import box_corners, triangulate
from ztfdb.store.image_cells import images_on_cells
from ztfdb.store.image_rows import image_corners

MOST_DEGREES = 20.0
"""Largest side of a box, deg: up to this, the projection to a plane keeps the sides of images straight and finite."""

INTERSECTS = ("OVERLAPS", "COVERS", "ENCLOSED", "CENTER")

_SHIFT = 2 * (29 - FOOTPRINT_ORDER)
Plane = NDArray[np.float64]


def images_meeting_box(
    session: Session, ra: float, dec: float, width: float, height: float, intersect: str = "OVERLAPS"
) -> IntArray:
    """Return the images that meet a box.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Centre of the box, deg, ICRS.
    width, height : float
        Along east and north, deg, up to `MOST_DEGREES`; its sides are great circles.
    intersect : str
        ``OVERLAPS``: both have a point in common. ``COVERS``: the image contains the box. ``ENCLOSED``: the box
        contains the image. ``CENTER``: the image contains the centre of the box.

    Returns
    -------
    ndarray of int64
        ``image_id``, ascending, including references.

    Raises
    ------
    ValueError
        If `intersect` is unknown, or the position invalid.
    QueryError
        If the box is too large.
    """
    if intersect not in INTERSECTS:
        raise ValueError(f"INTERSECT {intersect!r}: expected one of {', '.join(INTERSECTS)}")
    if max(width, height) > MOST_DEGREES:
        raise QueryError(f"a box of {width:g} x {height:g} deg is beyond the maximum of {MOST_DEGREES:g} deg")
    box = box_corners(ra, dec, width, height)
    ids = np.unique(images_on_cells(session, _cells(*box))["image_id"])
    if not len(ids):
        return ids
    ids, corners = image_corners(session, ids)
    image = _plane(ra, dec, corners[:, 0::2], corners[:, 1::2])
    region = np.broadcast_to(_plane(ra, dec, *(one[None] for one in box)), image.shape)
    return ids[_meets(image, region, intersect)]


def _cells(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> IntArray:
    """Return the order-9 cells that may contain a part of the box."""
    lo, hi = cover_triangles(triangulate(ra, dec))
    parts = [np.arange(a >> _SHIFT, ((b - 1) >> _SHIFT) + 1) for a, b in zip(lo.tolist(), hi.tolist(), strict=True)]
    return np.unique(np.concatenate([*parts, sky_to_cell(ra, dec, FOOTPRINT_ORDER)]))


def _plane(ra: float, dec: float, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Plane:
    """Return positions in the plane tangent to the sphere at the centre, shape (n, n_corner, 2)."""
    lon, lat = np.radians(lon - ra), np.radians(lat)
    at = np.radians(dec)
    depth = np.sin(at) * np.sin(lat) + np.cos(at) * np.cos(lat) * np.cos(lon)
    x = np.cos(lat) * np.sin(lon) / depth
    y = (np.cos(at) * np.sin(lat) - np.sin(at) * np.cos(lat) * np.cos(lon)) / depth
    return np.stack([x, y], axis=-1)


def _meets(image: Plane, region: Plane, intersect: str) -> BoolArray:
    if intersect == "COVERS":
        return _all_inside(region, image)
    if intersect == "ENCLOSED":
        return _all_inside(image, region)
    if intersect == "CENTER":
        return _all_inside(np.zeros((len(image), 1, 2)), image)
    return ~(_apart(image, region) | _apart(region, image))


def _apart(one: Plane, other: Plane) -> BoolArray:
    """Return where a side of one convex polygon has all of the other outside."""
    found: BoolArray = np.any(np.all(_sides(one, other) > 0.0, axis=2), axis=1)
    return found


def _all_inside(points: Plane, polygon: Plane) -> BoolArray:
    found: BoolArray = np.all(_sides(polygon, points) <= 0.0, axis=(1, 2))
    return found


def _sides(polygon: Plane, points: Plane) -> NDArray[np.float64]:
    """Return how far points lie outside each side, shape (n, n_side, n_point)."""
    start = polygon
    along = np.roll(polygon, -1, axis=1) - start
    area = np.sum(start[..., 0] * np.roll(start, -1, 1)[..., 1] - np.roll(start, -1, 1)[..., 0] * start[..., 1], axis=1)
    away = points[:, None] - start[:, :, None]
    cross = along[:, :, None, 0] * away[..., 1] - along[:, :, None, 1] * away[..., 0]
    found: NDArray[np.float64] = -cross * np.sign(area)[:, None, None]
    return found
