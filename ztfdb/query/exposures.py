"""Which images cover which targets, exactly and for thousands at once: the epochs of a complete light curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.query.epochs import images_of, kept_rows, one_version
from ztfdb.query.request import LightCurveRequest
from ztfdb.query.targets import Targets
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.footprint import FOOTPRINT_ORDER
from ztfdb.sky.projection import sky_to_pixel, sky_to_pixel_many
from ztfdb.store.backends import AnySession
from ztfdb.store.image_cells import images_on_cells
from ztfdb.store.image_rows import image_wcs, images_between, observed_span
from ztfdb.store.image_table import ImageTable, used_images
from ztfdb.wcs import WcsParameters

MOTION_STEP = 30.0
"""Arcsec of proper motion between the positions whose cells are searched; a cell is 412 arcsec wide."""

MANY_POSITIONS = 8
"""From this many positions per image on, they are projected image by image; below, all images at once."""

PAIRS_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class Covering:
    """Pairs of a target and an image that covers it, ordered by (target, mjd, image_id).

    Attributes
    ----------
    images : ImageTable
        In the order of a light curve.
    at : ndarray of int64, shape (n_pair,)
        The pair's image.
    rows : dict of ndarray, each of shape (n_pair,)
        ``k`` (the target), ``ra``, ``dec`` (deg, at mid-exposure), ``x``, ``y`` (zero-based pixels).
    nx, ny, status : ndarray of int64, shape (n_image,)
        Size of each image, and header STATUS.
    scale : ndarray, shape (n_image,)
        Arcsec per pixel.
    """

    images: ImageTable
    at: IntArray
    rows: Columns
    nx: IntArray
    ny: IntArray
    status: IntArray
    scale: FloatArray

    def __len__(self) -> int:
        return len(self.at)

    @property
    def image_id(self) -> IntArray:
        """Id of each image."""
        return self.images.integers("image_id")

    @property
    def key(self) -> IntArray:
        """One ascending integer per pair."""
        return self.rows["k"] * max(1, len(self.images)) + self.at


def covering(session: AnySession, targets: Targets, request: LightCurveRequest) -> Covering:
    """Return the images that cover targets: -0.5 <= x < nx - 0.5, the same in y, by the full projection.

    One image per exposure × quadrant, or all with ``all_versions``; never a reference.
    """
    k, image_id = _candidates(session, targets)
    images, at = images_of(session, image_id, request)
    k = k[at >= 0]
    images, at = used_images(images, at[at >= 0])
    ids = images.integers("image_id")
    frames, wcs = image_wcs(session, ids)
    order = np.searchsorted(frames["image_id"], ids)
    nx, ny, status, wcs = frames["nx"][order], frames["ny"][order], frames["status"][order], wcs[order]
    ra, dec = targets.at(k, images["mjd_mid"][at])
    x, y = _pixels(wcs, at, ra, dec)
    inside = np.flatnonzero(covers(x, y, nx[at], ny[at]))
    inside = inside[np.argsort(k[inside] * max(1, len(images)) + at[inside])]
    rows, at = kept_rows({"k": k, "ra": ra, "dec": dec, "x": x, "y": y}, at, inside)
    if not request.all_versions:
        nothing = np.zeros(len(at))  # the preferred version depends on the rank alone
        rows, at = one_version(session, rows | {"separation": nothing}, images, at)
        del rows["separation"]
    scale = 3600.0 * np.sqrt(np.abs(wcs[:, 4] * wcs[:, 7] - wcs[:, 5] * wcs[:, 6]))
    return Covering(images, at, rows, nx, ny, status, scale)


def _candidates(session: AnySession, targets: Targets) -> tuple[IntArray, IntArray]:
    """Return pairs of a target and an image that touches its cell."""
    if targets.path is not None:
        return _candidates_on_path(session, targets)
    k, cell = cells_of(session, targets)
    wanted, code = np.unique(cell, return_inverse=True)
    found = images_on_cells(session, wanted)
    first = np.searchsorted(found["cell9"], wanted)
    n_image = np.searchsorted(found["cell9"], wanted, side="right") - first
    n = n_image[code]
    pair_k = np.repeat(k, n)
    within = np.arange(len(pair_k)) - np.repeat(np.cumsum(n) - n, n)
    image_id = found["image_id"][np.repeat(first[code], n) + within]
    if len(k) == len(targets):
        return pair_k, image_id
    pairs = np.unique(np.stack([pair_k, image_id]), axis=1)
    return pairs[0], pairs[1]


def cells_of(session: AnySession, targets: Targets) -> tuple[IntArray, IntArray]:
    """Return the order-9 cells of each target; several if proper motion may carry it into another."""
    k = np.arange(len(targets))
    if targets.pmra is None:
        return k, sky_to_cell(targets.positions.ra, targets.positions.dec, FOOTPRINT_ORDER)
    first, last = observed_span(session)
    if math.isnan(first):
        return k[:0], k[:0]
    n_step = 1 + math.ceil(float(targets.drift(first, first, last).max(initial=0.0)) / MOTION_STEP)
    places = [targets.at(k, np.full(len(k), time)) for time in np.linspace(first, last + 1.0, n_step + 1)]
    cells = np.stack([sky_to_cell(*place, FOOTPRINT_ORDER) for place in places])
    pairs = np.unique(np.stack([np.tile(k, len(places)), cells.ravel()]), axis=1)
    return pairs[0], pairs[1]


def _candidates_on_path(session: AnySession, targets: Targets) -> tuple[IntArray, IntArray]:
    """Return the images that touch the cell of the moving body at their mid-exposure."""
    assert targets.path is not None
    images = images_between(session, targets.path.first, targets.path.last)
    cell = sky_to_cell(*targets.path.at(images["mjd_mid"]), FOOTPRINT_ORDER)
    found = images_on_cells(session, np.unique(cell))
    at = np.searchsorted(images["image_id"], found["image_id"])
    at = np.minimum(at, max(len(cell) - 1, 0))
    hit = (images["image_id"][at] == found["image_id"]) & (cell[at] == found["cell9"]) if len(cell) else at < 0
    image_id = found["image_id"][hit]
    return np.zeros(len(image_id), np.int64), image_id


def _pixels(wcs: FloatArray, at: IntArray, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the pixel of each pair."""
    x, y = np.empty(len(at)), np.empty(len(at))
    if len(at) <= MANY_POSITIONS * len(wcs):
        for start in range(0, len(at), PAIRS_AT_ONCE):
            some = slice(start, start + PAIRS_AT_ONCE)
            x[some], y[some] = sky_to_pixel_many(wcs[at[some]], ra[some], dec[some])
        return x, y
    order = np.argsort(at, kind="stable")
    for pairs in np.split(order, np.flatnonzero(np.diff(at[order])) + 1):
        one = WcsParameters.from_array("TPV", wcs[at[pairs[0]]])
        x[pairs], y[pairs] = sky_to_pixel(one, ra[pairs], dec[pairs])
    return x, y


def covers(x: FloatArray, y: FloatArray, nx: IntArray, ny: IntArray) -> BoolArray:
    """Return which pixels lie on images of these sizes."""
    return np.asarray((x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5))  # False where NaN
