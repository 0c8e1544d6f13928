"""Detection: which pixels belong to which source.

The image is smoothed, divided by its local rms and labelled once as a whole, so there are no tiles and no seams.
Nine components in ten have a single local maximum: no threshold can split those, and their moments are sums over
their pixels. Only the others are handed to ``sep`` for multi-threshold deblending (`ztfdb.extract.deblend`), packed
side by side into a small image. That takes half the time of ``sep.extract`` on the whole frame, and what it finds
is the same (``tests/unit/extract/test_detect.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ztfdb.extract.clean import survivors
from ztfdb.extract.deblend import Blends, deblend
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import background_at, surface_blocks
from ztfdb.records import BackgroundMesh, BoolArray, FloatArray, IntArray

Float32Array = NDArray[np.float32]

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Pixels:
    """The pixels above the threshold, in raster order, each with the object that owns it.

    Attributes
    ----------
    index : ndarray of int64, shape (n_pixel,)
        Flat index into the image.
    owner : ndarray of int64
        Object (or component) number, from 0.
    value : ndarray of float32
        Smoothed value in units of the local pixel rms.
    """

    index: IntArray
    owner: IntArray
    value: Float32Array


@dataclass(frozen=True)
class Objects:
    """Isophotal parameters of objects: equal-length columns.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Barycentre of the smoothed light above the threshold, zero-based pixels.
    a, b, theta : ndarray of float64
        Rms half axes, pixels, and position angle of the major axis from +x towards +y, rad.
    cxx, cyy, cxy : ndarray of float64
        The same ellipse as coefficients.
    npix : ndarray of int64
        Pixels above the threshold.
    blended, limited : ndarray of bool
        Split off a neighbour; split where the deblending was limited.
    """

    x: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray
    theta: FloatArray
    cxx: FloatArray
    cyy: FloatArray
    cxy: FloatArray
    npix: IntArray
    blended: BoolArray
    limited: BoolArray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: IntArray) -> Objects:
        """Return the objects of these rows, in this order."""
        return Objects(**{name: column[rows] for name, column in vars(self).items()})


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
    smoothed = significance(data, mesh)
    pixels = _components(smoothed, settings.threshold, settings.min_area)
    objects, pixels = _measure(smoothed, pixels, settings)
    del smoothed
    if settings.clean > 0 and len(objects):
        raw = data.ravel()[pixels.index] / background_at(mesh, objects.x, objects.y)[1][pixels.owner]
        keep = survivors(objects, pixels, raw, settings)
        objects, pixels = _select(objects, pixels, np.flatnonzero(keep))
    return _select(objects, pixels, np.argsort(objects.y, kind="stable"))


def significance(data: Float32Array, mesh: BackgroundMesh) -> Float32Array:
    """Smooth with the 3 × 3 binomial kernel (sum 1) and divide by the local pixel rms.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted, finite pixels, DN.
    mesh : BackgroundMesh
        The background, for the rms.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Smoothed image in units of the pixel rms; light from beyond the edge counts as none.
    """
    ny, nx = data.shape
    result = np.empty_like(data)
    # blocks of rows stay in the cache: a third of the time of whole-frame operations
    # the kernel's weights sum to 16
    scaled = replace(mesh, rms=np.maximum(np.float32(16.0) * mesh.rms, np.float32(1e-30)))
    for rows, rms in surface_blocks(scaled, rms=True):
        top, end = rows.start, rows.stop
        across = np.zeros((end - top + 2, nx), dtype=np.float32)
        first, last = max(top - 1, 0), min(end + 1, ny)
        block, inner = data[first:last], across[first - top + 1 : last - top + 1]
        np.add(block[:, 2:], block[:, :-2], out=inner[:, 1:-1])
        inner[:, 0], inner[:, -1] = block[:, 1], block[:, -2]
        inner += block
        inner += block
        out = result[rows]
        np.add(across[2:], across[:-2], out=out)
        out += across[1:-1]
        out += across[1:-1]
        out /= rms
    return result


def _components(smoothed: Float32Array, threshold: float, min_area: int) -> Pixels:
    """Label the pixels above the threshold and drop components smaller than `min_area`."""
    above = smoothed > np.float32(threshold)
    labels, n = ndimage.label(above, EIGHT_CONNECTED)
    index = np.flatnonzero(above)
    del above
    label = labels.ravel()[index]
    del labels
    big = np.bincount(label, minlength=n + 1) >= min_area
    keep = big[label]
    number = np.cumsum(big) - 1
    index = index[keep]
    return Pixels(index, number[label[keep]], smoothed.ravel()[index])


def _measure(smoothed: Float32Array, pixels: Pixels, settings: ExtractionSettings) -> tuple[Objects, Pixels]:
    """Turn components into objects: sums for those with one maximum, deblending for the rest."""
    n = int(pixels.owner.max()) + 1 if len(pixels.owner) else 0
    divisible = _divisible(smoothed, pixels, n, settings.min_area)
    apart = divisible[pixels.owner]
    nx = smoothed.shape[1]
    whole, blends = _subset(pixels, ~apart), _subset(pixels, apart)
    number = np.cumsum(~divisible) - 1
    whole = Pixels(whole.index, number[whole.owner], whole.value)
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


def _divisible(smoothed: Float32Array, pixels: Pixels, n: int, min_area: int) -> BoolArray:
    """Say which components some higher threshold could split in two pieces of `min_area` pixels each."""
    ny, nx = smoothed.shape
    large = np.bincount(pixels.owner, minlength=n) > 2 * min_area
    look = large[pixels.owner]
    index, owner, value = pixels.index[look], pixels.owner[look], pixels.value[look]
    flat = smoothed.ravel()
    column = index % nx
    border = (index < nx) | (index >= (ny - 1) * nx) | (column == 0) | (column == nx - 1)
    # a pixel on the border has neighbours outside: let the deblending decide
    count = 2 * np.bincount(owner[border], minlength=n)
    inner = ~border
    index, owner, value = index[inner], owner[inner], value[inner]
    for step in (1, nx, nx - 1, nx + 1):
        maximum = (value >= flat.take(index + step)) & (value > flat.take(index - step))
        index, owner, value = index[maximum], owner[maximum], value[maximum]
    divisible: BoolArray = count + np.bincount(owner, minlength=n) > 1
    return divisible


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
    # a source without extent in some direction gets that of a pixel, 1/12
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


def _select(objects: Objects, pixels: Pixels, rows: IntArray) -> tuple[Objects, Pixels]:
    """Keep these objects, in this order, and their pixels."""
    number = np.full(len(objects), -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    owner = number[pixels.owner]
    keep = owner >= 0
    return objects.take(rows), Pixels(pixels.index[keep], owner[keep], pixels.value[keep])
