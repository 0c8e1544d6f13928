"""Deblending: components with more than one peak, split by ``sep``'s multi-threshold trees.

The components are packed side by side into one small image, so ``sep`` neither scans empty sky nor gets more pixels
than its buffers hold. A component too large for that (in a field so crowded that everything touches) is cut along a
grid. If a buffer still overflows, the image is halved down to single components, then these are cut finer, and finally
left whole. Objects that were not deblended in the regular way are marked ``limited``; none are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sep
from numpy.typing import NDArray

from ztfdb.arrays import Columns, Float32Array, FloatArray, IntArray
from ztfdb.extract.settings import ExtractionSettings

ATLAS_PIXELS = 300_000
"""Maximum member pixels per call of ``sep`` (its stack takes 40 bytes for each)."""

LARGEST_BLEND = 40_000
"""Larger components are cut: the cost of deblending grows with pixels × branches."""

CUTS = (256, 64)
"""Sides of the grid cells that large, then overflowing, components are cut into, pixels."""

SUB_OBJECTS = (1024, 8192)
"""Limits of branches per component, tried in turn (``sep`` counts them in 16 bits)."""

ATLAS_WIDTH = 2048


@dataclass(frozen=True)
class Blends:
    """Pixels of the components to split.

    Attributes
    ----------
    index : ndarray of int64, shape (n_pixel,)
        Flat index into the image.
    group : ndarray of int64
        Component number, from 0; every number has pixels.
    value : ndarray of float32
        Smoothed value in units of the pixel rms.
    nx : int
        Width of the image.
    """

    index: IntArray
    group: IntArray
    value: Float32Array
    nx: int

    def take(self, keep: NDArray[Any]) -> Blends:
        """Return the pixels selected by a mask or index array."""
        group = self.group[keep]
        present = np.bincount(group) > 0
        number = np.cumsum(present) - 1
        return Blends(self.index[keep], number[group], self.value[keep], self.nx)


def deblend(blends: Blends, settings: ExtractionSettings) -> tuple[Columns, IntArray]:
    """Split components into objects.

    Parameters
    ----------
    blends : Blends
        Pixels of the components.
    settings : ExtractionSettings
        Threshold, area and deblending parameters.

    Returns
    -------
    objects : dict of ndarray, shape (n_object,)
        The columns of `ztfdb.extract.detect.Objects`.
    owner : ndarray of int64, shape (n_pixel,)
        Object of each pixel; -1 for a pixel without an object.
    """
    owner = np.full(len(blends.index), -1, dtype=np.int64)
    tables: list[Columns] = [_columns(np.zeros(0, dtype=_CATALOGUE), np.zeros((0, 2)), False)]
    n_object = 0
    for rows, limited in _batches(blends):
        for part, table, number in _split(blends.take(rows), settings, limited, CUTS[-1]):
            owner[rows[part]] = np.where(number >= 0, number + n_object, -1)
            tables.append(table)
            n_object += len(table["x"])
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}, owner


_CATALOGUE = np.dtype([(n, "f8") for n in ("x", "y", "a", "b", "theta", "cxx", "cyy", "cxy")] + [("npix", "i8")])


def _columns(catalogue: NDArray[Any], offset: FloatArray, limited: bool) -> Columns:
    n = len(catalogue)
    columns = {name: np.asarray(catalogue[name], dtype=float) for name in ("a", "b", "theta", "cxx", "cyy", "cxy")}
    columns |= {"x": catalogue["x"] + offset[:, 0], "y": catalogue["y"] + offset[:, 1]}
    columns |= {"npix": np.asarray(catalogue["npix"], dtype=np.int64)}
    return columns | {"blended": np.zeros(n, dtype=bool), "limited": np.full(n, limited)}


def _batches(blends: Blends) -> Iterator[tuple[IntArray, bool]]:
    """Cut large components, then group components into batches of at most ATLAS_PIXELS pixels."""
    size = np.bincount(blends.group)
    large = size > LARGEST_BLEND
    batch = np.where(large, -1, np.cumsum(np.where(large, 0, size)) // ATLAS_PIXELS)
    for number in range(int(batch.max(initial=-1)) + 1):
        rows = np.flatnonzero((batch == number)[blends.group])
        if rows.size:
            yield rows, False
    for component in np.flatnonzero(large):
        rows = np.flatnonzero(blends.group == component)
        for piece in _cut(blends.take(rows), CUTS[0]):
            yield rows[piece], True


def _cut(blends: Blends, side: int) -> Iterator[IntArray]:
    row, column = np.divmod(blends.index, blends.nx)
    cell = (row // side) * (blends.nx // side + 1) + column // side
    for number in np.unique(cell):
        yield np.flatnonzero(cell == number)


def _split(
    blends: Blends, settings: ExtractionSettings, limited: bool, side: int
) -> Iterator[tuple[IntArray, Columns, IntArray]]:
    """Deblend one batch, in smaller parts if ``sep`` overflows. Yields (rows, columns, owner)."""
    everything = np.arange(len(blends.index))
    for limit in SUB_OBJECTS:
        found = _extract(blends, settings, settings.deblend_levels, limit, limited)
        if found is not None:
            yield everything, *found
            return
    n_group = int(blends.group.max()) + 1
    parts: list[IntArray]
    if n_group > 1:
        first = blends.group < n_group // 2
        parts = [np.flatnonzero(first), np.flatnonzero(~first)]
    elif side:
        parts, limited, side = list(_cut(blends, side)), True, 0
    else:
        found = _extract(blends, settings, 1, SUB_OBJECTS[-1], True)
        if found is not None:
            yield everything, *found
        return
    for part in parts:
        for rows, table, owner in _split(blends.take(part), settings, limited, side):
            yield part[rows], table, owner


def _extract(
    blends: Blends, settings: ExtractionSettings, levels: int, limit: int, limited: bool
) -> tuple[Columns, IntArray] | None:
    """Run ``sep`` on the packed components; None when one of its buffers overflowed."""
    atlas, place, offset, component = _pack(blends)
    sep.set_extract_pixstack(len(blends.index) + 1000)
    sep.set_sub_object_limit(limit)
    try:
        catalogue, segments = sep.extract(
            atlas,
            settings.threshold,
            minarea=settings.min_area,
            filter_kernel=None,
            deblend_nthresh=levels,
            deblend_cont=settings.deblend_contrast,
            clean=False,
            segmentation_map=True,
        )
    except Exception as exc:  # sep raises bare Exceptions; its two overflow messages name the limit that was reached
        if "limit of" in str(exc):
            return None
        raise
    owner = segments.ravel()[place].astype(np.int64) - 1
    n = len(catalogue)
    of_object = np.zeros(n, dtype=np.int64)
    of_object[owner[owner >= 0]] = component[owner >= 0]
    columns = _columns(catalogue, offset[of_object], limited)
    columns["blended"] = np.bincount(of_object, minlength=len(offset))[of_object] > 1
    return columns, owner


def _pack(blends: Blends) -> tuple[Float32Array, IntArray, FloatArray, IntArray]:
    """Place the components on shelves of one image, separated by an empty pixel.

    Returns the image, the flat index of each pixel in it, each component's offset (dx, dy) to the original image, and
    the component (from 0) of each pixel.
    """
    row, column = np.divmod(blends.index, blends.nx)
    component = blends.group
    n = int(component.max()) + 1
    y0, x0 = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).max)
    y1, x1 = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for low, high, values in ((y0, y1, row), (x0, x1, column)):
        np.minimum.at(low, component, values)
        np.maximum.at(high, component, values)
    height, width = y1 - y0 + 1, x1 - x0 + 1
    total_width = max(ATLAS_WIDTH, int(width.max()) + 1)
    left, bottom, total_height = _shelves(height, width, total_width)
    atlas = np.zeros((total_height, total_width), dtype=np.float32)
    place = (row - y0[component] + bottom[component]) * total_width + column - x0[component] + left[component]
    atlas.ravel()[place] = blends.value
    return atlas, place, np.stack([x0 - left, y0 - bottom], axis=1).astype(float), component


def _shelves(height: IntArray, width: IntArray, total_width: int) -> tuple[IntArray, IntArray, int]:
    """Left and bottom of each box, tallest first on shelves as wide as the image."""
    left, bottom = np.zeros(len(height), dtype=np.int64), np.zeros(len(height), dtype=np.int64)
    x = y = shelf = 0
    for i in np.argsort(-height, kind="stable"):
        if x + width[i] > total_width:
            x, y, shelf = 0, y + shelf + 1, 0
        left[i], bottom[i] = x, y
        x += int(width[i]) + 1
        shelf = max(shelf, int(height[i]))
    return left, bottom, y + shelf
