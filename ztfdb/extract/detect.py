"""Detection: assign pixels to sources.

The image is scanned once as a whole (`ztfdb.extract.scan`), without tiles and seams. About 90 % of the components have
a single local maximum: no threshold can split them, and their moments are sums over their pixels. Only the others go to
``sep`` for multi-threshold deblending (`ztfdb.extract.deblend`), packed side by side into a small image. This takes
half the time of ``sep.extract`` on the whole frame and finds the same sources (``tests/unit/extract/test_detect.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ztfdb.extract.clean import survivors
from ztfdb.extract.deblend import Blends, deblend
from ztfdb.extract.objects import Objects, Pixels
from ztfdb.extract.scan import connected, scan
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import background_at
from ztfdb.records import BackgroundMesh


def detect(data: Float32Array, mesh: BackgroundMesh, settings: ExtractionSettings) -> tuple[Objects, Pixels]:
    """Find the sources of a background-subtracted image.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN; excluded and non-finite pixels set to 0.
    mesh : BackgroundMesh
        The background, for the local rms.
    settings : ExtractionSettings
        Threshold, area, deblending, cleaning.

    Returns
    -------
    objects : Objects
        The detections, ordered by y.
    pixels : Pixels
        Their pixels; `owner` counts rows of `objects`.
    """
    pixels, peaks = _components(*scan(data, mesh, settings.threshold), data.shape[1], settings.min_area)
    objects, pixels = _measure(pixels, peaks, data.shape[1], settings)
    objects, pixels = _ordered(objects, pixels)
    if settings.clean > 0 and len(objects):
        raw = data.ravel()[pixels.index] / background_at(mesh, objects.x, objects.y)[1][pixels.owner]
        keep = survivors(objects, pixels, raw, settings)
        objects, pixels = _select(objects, pixels, np.flatnonzero(keep))
    return objects, pixels


def _components(
    index: IntArray, value: Float32Array, peak: NDArray[np.uint8], nx: int, min_area: int
) -> tuple[Pixels, IntArray]:
    """Join touching pixels, drop components smaller than `min_area`, count the peaks of the rest."""
    label, n = connected(index, nx)
    big = np.bincount(label, minlength=n) >= min_area
    keep = big[label]
    owner = (np.cumsum(big) - 1)[label[keep]]
    peaks = np.bincount(owner, weights=peak[keep], minlength=int(big.sum())).astype(np.int64)
    return Pixels(index[keep], owner, value[keep]), peaks


def _measure(pixels: Pixels, peaks: IntArray, nx: int, settings: ExtractionSettings) -> tuple[Objects, Pixels]:
    """Turn components into objects: sums for those that cannot be split, deblending for the rest."""
    # at least two pieces of the minimum area and a pixel between them
    divisible = (peaks > 1) & (np.bincount(pixels.owner, minlength=len(peaks)) > 2 * settings.min_area)
    apart = divisible[pixels.owner]
    whole, blends = _subset(pixels, ~apart), _subset(pixels, apart)
    whole = Pixels(whole.index, (np.cumsum(~divisible) - 1)[whole.owner], whole.value)
    singles = _moments(whole, int((~divisible).sum()), nx)
    group = (np.cumsum(divisible) - 1)[blends.owner]
    split, owner = deblend(Blends(blends.index, group, blends.value, nx), settings)
    members = owner >= 0
    parts = Objects(**split)
    objects = Objects(**{name: np.concatenate([column, vars(parts)[name]]) for name, column in vars(singles).items()})
    both = Pixels(
        np.concatenate([whole.index, blends.index[members]]),
        np.concatenate([whole.owner, owner[members] + len(singles)]),
        np.concatenate([whole.value, blends.value[members]]),
    )
    return objects, both


def _subset(pixels: Pixels, keep: BoolArray) -> Pixels:
    return Pixels(pixels.index[keep], pixels.owner[keep], pixels.value[keep])


def _moments(pixels: Pixels, n: int, nx: int) -> Objects:
    """Barycentres and second moments of whole components (as SExtractor defines them: manual v2.25, section 9.1)."""
    row, column = np.divmod(pixels.index, nx)
    # relative to each component's first pixel, so that squares stay exact; the last assignment wins
    x0, y0 = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    x0[pixels.owner[::-1]], y0[pixels.owner[::-1]] = column[::-1], row[::-1]
    dx, dy = (column - x0[pixels.owner]).astype(float), (row - y0[pixels.owner]).astype(float)
    weight = pixels.value.astype(float)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(pixels.owner, weights=values, minlength=n).astype(float)

    light = total(weight)
    wx, wy = weight * dx, weight * dy
    x, y = total(wx) / light, total(wy) / light
    x2, y2, xy = total(wx * dx) / light - x * x, total(wy * dy) / light - y * y, total(wx * dy) / light - x * y
    # a source without extent in some direction gets the variance of a pixel, 1/12
    thin = x2 * y2 - xy * xy < 0.00694
    x2, y2 = x2 + np.where(thin, 1 / 12, 0.0), y2 + np.where(thin, 1 / 12, 0.0)
    determinant = x2 * y2 - xy * xy
    middle, half = (x2 + y2) / 2, np.hypot((x2 - y2) / 2, xy)
    return Objects(
        x=x + x0,
        y=y + y0,
        a=np.sqrt(middle + half),
        b=np.sqrt(np.maximum(middle - half, 0.0)),
        theta=np.where(x2 == y2, np.pi / 4, np.arctan2(2 * xy, x2 - y2) / 2),
        cxx=y2 / determinant,
        cyy=x2 / determinant,
        cxy=-2 * xy / determinant,
        npix=np.bincount(pixels.owner, minlength=n),
        blended=np.zeros(n, dtype=bool),
        limited=np.zeros(n, dtype=bool),
    )


def _ordered(objects: Objects, pixels: Pixels) -> tuple[Objects, Pixels]:
    """Order the objects by y, and the pixels by object."""
    from scipy.sparse import coo_array

    order = np.argsort(objects.y, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    # the compressed rows of this matrix are a counting sort: 5 times as fast as a sort of keys
    place = np.arange(len(pixels.owner))
    by_object = coo_array((place, (rank[pixels.owner], place)), shape=(len(order), len(place)))
    by_object.has_canonical_format = True
    rows = by_object.tocsr()
    owner = np.repeat(np.arange(len(order)), np.diff(rows.indptr))
    return objects.take(order), Pixels(pixels.index[rows.data], owner, pixels.value[rows.data])


def _select(objects: Objects, pixels: Pixels, rows: IntArray) -> tuple[Objects, Pixels]:
    """Keep these objects (rows ascending) and their pixels."""
    number = np.full(len(objects), -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    owner = number[pixels.owner]
    keep = owner >= 0
    return objects.take(rows), Pixels(pixels.index[keep], owner[keep], pixels.value[keep])
