"""The background of an image, stored as a small mesh from which all users rebuild the same surface.

The recipe makes two passes over bins of 4 × 4 pixels. The first pass estimates the level of each box with a mode that
tolerates sources, and marks bins above that level as sources; these are grown depending on their brightness. The second
pass takes the clipped mean of the remaining bins. A mask only adds to the sources of the first pass, so images with and
without a mask are treated alike. All pixels are used, but everything after the binning works on 1/16 of the number of
pixels, which makes the recipe faster than a plain evaluation of a spline.

The box of 128 px was chosen by two criteria that should favour opposite sizes
(``tests/benchmarks/test_background_box.py``). Blank apertures on the real quadrant have medians of 0.1 DN per px² with
boxes of 32 to 256 px and 0.2 with 512, and their scatter grows with the box: 92, 98, 106, 120, 150 DN in 14 px.
m(10 px) - m(6 px) of isolated stars is the same to 0.001 mag for every box, because stars are masked with their wings.
The argument against small boxes is a crowded field, in which a box of 32 px has only about 12 free bins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Float32Array, FloatArray
from ztfdb.frame.arrays import plain_array
from ztfdb.frame.surface import background_at, background_surface, surface_at_bins, surface_blocks
from ztfdb.records import BackgroundMesh

__all__ = [
    "BIN",
    "DEFAULT_BOX",
    "background_at",
    "background_surface",
    "bin_any",
    "bin_pixels",
    "grow",
    "measure_background",
    "surface_blocks",
]


BIN = 4
"""Side of a bin, pixels: large enough to save time, small enough to fit between crowded sources."""

DEFAULT_BOX = 128
"""Default side of a mesh box, pixels."""

SOURCE_SIGMA = 5.0
"""A bin is a source if it, or the mean of its 3 × 3 neighbourhood, is this many sigma above the level."""

GROWTH = ((10.0, 1), (40.0, 3), (300.0, 6), (3000.0, 12))
"""Growth of source bins: pairs of significance (sigma) and number of bins. The wings of a bright star extend beyond its
detection; 12 bins are 48 px."""

MIN_BINS = 24
"""With fewer usable bins than this in a box, or than 10 % of a small box, its level comes from the adjacent boxes."""

CLIP_SIGMA = 3.0
CLIP_ROUNDS = 4


@dataclass(frozen=True)
class PixelBins:
    """An image summed in bins of 4 × 4 pixels.

    Attributes
    ----------
    mean : ndarray of float32, shape (ny // 4, nx // 4)
        Mean of the bin's pixels, DN, relative to `pivot`; NaN where a pixel is not finite.
    square : ndarray of float32, same shape
        Mean square of the bin's pixels about `pivot`, DN².
    usable : ndarray of bool, same shape
        True where every pixel of the bin is finite and good.
    pivot : float
        A value near the sky level, DN; it keeps the squares accurate in single precision.
    """

    mean: Float32Array
    square: Float32Array
    usable: BoolArray
    pivot: float


def measure_background(data: FloatArray, bad: BoolArray | None = None, *, box: int = DEFAULT_BOX) -> BackgroundMesh:
    """Measure the background of an image and its pixel noise, box by box.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Pixels as read, DN. Non-finite pixels are omitted.
    bad : ndarray of bool, shape (ny, nx), optional
        True for pixels to omit: bad pixels and, if known from a mask, source pixels.
    box : int
        Approximate side of a box, pixels; all boxes have equal size, so the actual side differs slightly.

    Returns
    -------
    BackgroundMesh
        Level and rms per box, smoothed by a 3 × 3 median, single precision. An image smaller than 1.5 boxes has a
        single box: a constant background.

    Raises
    ------
    ValueError
        If the image is smaller than 4 × 4 px or no bin of it is usable.
    """
    if min(data.shape) < BIN:
        raise ValueError(f"an image of {data.shape} pixels is smaller than one bin of {BIN} × {BIN}")
    bins = bin_pixels(data, bad)
    if not bins.usable.any():
        raise ValueError("no usable pixel: every 4 × 4 bin holds a bad or non-finite pixel")
    side = _box_bins(bins.mean.shape, box)
    first = _fill(*_first_pass(bins, side))
    mesh = _mesh(data.shape, side, *first)
    free = bins.usable & ~_source_bins(bins, mesh)
    level, rms = _second_pass(bins, free, side)
    with_sources = bool(np.isnan(level).all())
    level, rms = _fill(level, rms, fallback=first)
    level = _median3(level) + np.float32(bins.pivot)
    # the noise is at least the resolution of single precision
    rms = np.maximum(_median3(rms), 4 * np.spacing(np.abs(level)))
    return replace(_mesh(data.shape, side, level, rms), with_sources=with_sources)


def bin_pixels(data: FloatArray, bad: BoolArray | None = None) -> PixelBins:
    """Sum an image in bins of 4 × 4 pixels; up to 3 last rows and columns that do not fill a bin are omitted."""
    data = plain_array(data)
    ny, nx = data.shape[0] // BIN, data.shape[1] // BIN
    sample = data[:: max(1, ny // 64), :: max(1, nx // 64)]
    finite = sample[np.isfinite(sample)]
    pivot = float(np.median(finite)) if finite.size else 0.0
    mean = np.empty((ny, nx), dtype=np.float32)
    square = np.empty((ny, nx), dtype=np.float32)
    step = 16
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, ny, step):
            block = data[start * BIN : min(start + step, ny) * BIN, : nx * BIN] - np.float32(pivot)
            mean[start : start + step] = _bin_sums(block)
            square[start : start + step] = _bin_sums(np.multiply(block, block, out=block))
        mean /= BIN * BIN
        square /= BIN * BIN
    usable = np.isfinite(mean) & np.isfinite(square)
    mean[~usable] = np.nan
    square[~usable] = np.nan
    if bad is not None:
        usable &= ~bin_any(bad)
    return PixelBins(mean, square, usable, pivot)


def bin_any(pixels: BoolArray) -> BoolArray:
    """Return for each whole 4 × 4 bin whether any of its pixels is True."""
    ny, nx = pixels.shape[0] // BIN, pixels.shape[1] // BIN
    # 4 adjacent bytes are read as one 32-bit word, which saves 75 % of the work
    words = plain_array(pixels[: ny * BIN, : nx * BIN], bool).view(np.uint32)
    rows = words.reshape(ny, BIN, nx)
    result: BoolArray = (rows[:, 0] | rows[:, 1] | rows[:, 2] | rows[:, 3]) != 0
    return result


def _bin_sums(block: Float32Array) -> Float32Array:
    rows = block[0::BIN] + block[1::BIN]
    rows += block[2::BIN]
    rows += block[3::BIN]
    sums: Float32Array = rows[:, 0::BIN] + rows[:, 1::BIN]
    sums += rows[:, 2::BIN]
    sums += rows[:, 3::BIN]
    return sums


def _box_bins(shape: tuple[int, ...], box: int) -> tuple[int, int]:
    """Return height and width of a box in bins, such that equal boxes of about `box` pixels cover the image."""
    n_y, n_x = (max(1, round(n * BIN / box)) for n in shape)
    return -(-shape[0] // n_y), -(-shape[1] // n_x)


def _mesh(shape: tuple[int, ...], side: tuple[int, int], level: Float32Array, rms: Float32Array) -> BackgroundMesh:
    return BackgroundMesh((shape[0], shape[1]), (side[0] * BIN, side[1] * BIN), level, rms)


def _boxes(values: NDArray[Any], side: tuple[int, int], fill: Any) -> NDArray[Any]:
    """Rearrange bins into shape (n_box_y, n_box_x, bins per box), padding with `fill`."""
    n_y, n_x = (-(-n // s) for n, s in zip(values.shape, side, strict=True))
    padded = np.full((n_y * side[0], n_x * side[1]), fill, dtype=values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(n_y, side[0], n_x, side[1]).swapaxes(1, 2).reshape(n_y, n_x, -1)


def _first_pass(bins: PixelBins, side: tuple[int, int]) -> tuple[Float32Array, Float32Array]:
    """Return level and rms per box before sources are known, from the sorted bins of the box.

    The level comes from the lower half of the values, reflected: near the mode, sources are rarest. The percentiles
    come from a clip that starts at the median and drops values 3 sigma above.
    """
    usable = _boxes(bins.usable, side, False)
    ordered = np.sort(np.where(usable, _boxes(bins.mean, side, 0.0), np.inf), axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    kept = count
    for _ in range(CLIP_ROUNDS):
        middle, low = _quantile(ordered, kept, 0.5), _quantile(ordered, kept, 0.1587)
        limit = middle + CLIP_SIGMA * (middle - low)
        kept = np.minimum(kept, (ordered <= limit[..., None]).sum(axis=-1))
    enough = count >= _fewest(side)
    level = np.where(enough, _quantile(ordered, kept, 0.5), np.nan)
    within = np.sort(np.where(usable, _boxes(bins.square - bins.mean**2, side, 0.0), np.inf)[..., ::4], axis=-1)
    # sources hardly affect the lower quartile of the variances within bins; 1.37 converts it to the mean of χ²(15)/16
    variance = 1.37 * _quantile(within, np.isfinite(within).sum(axis=-1), 0.25)
    return level.astype(np.float32), np.sqrt(np.where(enough, variance, np.nan)).astype(np.float32)


def _fewest(side: tuple[int, int]) -> int:
    return min(MIN_BINS, max(1, side[0] * side[1] // 10))


def _quantile(ordered: Float32Array, count: NDArray[np.int_], q: float) -> Float32Array:
    """Return a quantile of the first `count` values of each sorted row (the element below; empty rows: the first)."""
    index = np.clip((q * (count - 1)).astype(int), 0, ordered.shape[-1] - 1)
    result: Float32Array = np.take_along_axis(ordered, index[..., None], axis=-1)[..., 0]
    return np.where(np.isfinite(result), result, np.float32(0.0))


def _source_bins(bins: PixelBins, mesh: BackgroundMesh) -> BoolArray:
    """Return the bins with source light: above the first level, grown with brightness."""
    level, rms = surface_at_bins(mesh, BIN), surface_at_bins(mesh, BIN, rms=True)
    # masked bins are tested, too, so that the same sources are found and grown with and without a mask
    significance = (bins.mean - level) * (BIN / np.maximum(rms, np.float32(1e-20)))
    significance[~np.isfinite(significance)] = 0.0
    padded = np.pad(significance, 1)
    sums = padded[:-2] + padded[1:-1] + padded[2:]
    # the sum of 9 bins has 3 times the scatter of one bin
    source: BoolArray = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:] > 3.0 * SOURCE_SIGMA
    source |= significance > SOURCE_SIGMA
    for limit, reach in GROWTH:
        seeds = significance > limit
        if seeds.any():
            source |= grow(seeds, reach)
    return source


def grow(seeds: BoolArray, reach: int) -> BoolArray:
    """Dilate a map of bins by a square of `reach` bins to each side."""
    grown = seeds
    while reach > 0:
        # an OR of shifted maps takes microseconds for 1/16 of the pixels
        step = min(reach, 2)
        for axis in (0, 1):
            padded = np.pad(grown, [(step, step) if i == axis else (0, 0) for i in (0, 1)])
            n = grown.shape[axis]
            shifts = [padded[k : k + n] if axis == 0 else padded[:, k : k + n] for k in range(2 * step + 1)]
            grown = np.logical_or.reduce(shifts)
        reach -= step
    return grown


def _second_pass(bins: PixelBins, free: BoolArray, side: tuple[int, int]) -> tuple[Float32Array, Float32Array]:
    """Return the clipped mean of the free bins of each box and the pixel rms about it; NaN with too few free bins."""
    use = _boxes(free, side, False)
    mean = np.where(use, _boxes(bins.mean, side, 0.0), np.float32(0.0))
    square = np.where(use, _boxes(bins.square, side, 0.0), np.float32(0.0))
    mean_square = mean * mean
    low, high = np.full(use.shape[:2], -np.inf), np.full(use.shape[:2], np.inf)
    for _ in range(CLIP_ROUNDS):
        use &= (mean >= low[..., None].astype(np.float32)) & (mean <= high[..., None].astype(np.float32))
        weight = use.astype(np.float32)
        n = np.maximum(weight.sum(axis=-1), 1.0)
        level = np.einsum("ijk,ijk->ij", mean, weight) / n
        spread = np.sqrt(np.maximum(np.einsum("ijk,ijk->ij", mean_square, weight) / n - level**2, 0.0))
        low, high = level - CLIP_SIGMA * spread, level + CLIP_SIGMA * spread
    variance = np.einsum("ijk,ijk->ij", square, weight) / n - level**2
    enough = use.sum(axis=-1) >= _fewest(side)
    level = np.where(enough, level, np.nan)
    return level.astype(np.float32), np.sqrt(np.where(enough, np.maximum(variance, 0.0), np.nan)).astype(np.float32)


def _fill(
    level: Float32Array, rms: Float32Array, *, fallback: tuple[Float32Array, Float32Array] | None = None
) -> tuple[Float32Array, Float32Array]:
    """Fill boxes without a value with the mean of their neighbours, outwards from known boxes."""
    if np.isnan(level).all():
        if fallback is None:
            raise ValueError("no usable box: too few good pixels anywhere")
        return fallback
    return _spread(level), _spread(rms)


def _spread(values: Float32Array) -> Float32Array:
    values = values.copy()
    while np.isnan(values).any():
        near = _shifts(np.pad(values, 1, constant_values=np.nan))
        n = np.isfinite(near).sum(axis=0)
        mean = np.nansum(near, axis=0) / np.maximum(n, 1)
        values = np.where(np.isnan(values) & (n > 0), mean, values).astype(np.float32)
    return values


def _median3(values: Float32Array) -> Float32Array:
    """Return the 3 × 3 median of the mesh, extrapolated linearly at the edge, so that a plane stays a plane."""
    padded = values
    for axis in (0, 1):
        edge = [padded.take([k], axis=axis) for k in (0, -1)]
        inner = [padded.take([k], axis=axis) for k in (1, -2)] if padded.shape[axis] > 1 else edge
        padded = np.concatenate([2 * edge[0] - inner[0], padded, 2 * edge[1] - inner[1]], axis=axis)
    result: Float32Array = np.median(_shifts(padded), axis=0).astype(np.float32)
    return result


def _shifts(padded: Float32Array) -> Float32Array:
    """Stack the 9 shifts of a mesh padded by one box on each side: shape (9, n_box_y, n_box_x)."""
    n_y, n_x = padded.shape[0] - 2, padded.shape[1] - 2
    return np.stack([padded[j : j + n_y, i : i + n_x] for j in range(3) for i in range(3)])
