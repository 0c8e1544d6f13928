"""Circular apertures with exact overlap, their errors, and the mask inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.bits import SOURCE_BITS
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.kernels import circle_fluxes
from ztfdb.frame.arrays import plain_array

MASK_APERTURE = 3
"""Index of the aperture for `mask_bits`: aperture 4, 6 px."""

_CELL = 16
"""Side of the cells for finding special pixels, pixels: more than the largest radius."""


@dataclass(frozen=True)
class ApertureSums:
    """Sums in nested apertures.

    Attributes
    ----------
    flux : ndarray of float64, shape (n_aperture, n)
        Sum of the background-subtracted pixels, exact overlap, DN. Excluded pixels count as the mean of the others,
        pixels beyond the edge of the image as 0. NaN if no pixel is usable.
    area : ndarray of float64, shape (n_aperture, n)
        Effective area of the sum for its sky noise, px²: the part inside the image, increased for excluded pixels as
        the sum is.
    truncated, incomplete : ndarray of bool, shape (n_aperture, n)
        The aperture extends beyond the image; it contains excluded pixels.
    """

    flux: FloatArray
    area: FloatArray
    truncated: BoolArray
    incomplete: BoolArray


class PixelFinder:
    """Finds positions with special pixels nearby, using a coarse map of these pixels.

    Parameters
    ----------
    index : ndarray of int64, shape (n_pixel,)
        Flat indices of the special pixels.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    """

    def __init__(self, index: IntArray, shape: tuple[int, ...]) -> None:
        ny, nx = (-(-n // _CELL) for n in shape)
        cells = np.zeros((ny + 2, nx + 2), dtype=bool)
        row, column = np.divmod(index, shape[1])
        cells[row // _CELL + 1, column // _CELL + 1] = True
        near = np.zeros_like(cells[1:-1, 1:-1])
        for j in range(3):
            for i in range(3):
                near |= cells[j : j + ny, i : i + nx]
        self._near = near
        self._any = bool(row.size)

    @classmethod
    def of(cls, pixels: BoolArray) -> PixelFinder:
        """Build the finder from a map that is True at the special pixels."""
        return cls(np.flatnonzero(pixels), pixels.shape)

    def near(self, x: FloatArray, y: FloatArray, *, reach: FloatArray | float = 0.0) -> IntArray:
        """Return the rows of the positions that may have a special pixel nearby.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Positions, zero-based pixels.
        reach : float or ndarray, shape (n,)
            Search radius, pixels. Up to 15 the map is used; with a larger radius the position is always returned.

        Returns
        -------
        ndarray of int64
            Rows, ascending; empty if there is no special pixel at all.
        """
        if not self._any:
            return np.zeros(0, dtype=np.int64)
        ny, nx = self._near.shape
        column = np.clip(np.floor((x + 0.5) / _CELL), 0, nx - 1).astype(int)
        row = np.clip(np.floor((y + 0.5) / _CELL), 0, ny - 1).astype(int)
        return np.flatnonzero(self._near[row, column] | (np.asarray(reach) > _CELL - 1))


def aperture_sums(
    data: FloatArray,
    x: FloatArray,
    y: FloatArray,
    excluded: BoolArray | None = None,
    *,
    diameters: Sequence[float] = APERTURE_DIAMETERS,
    finder: PixelFinder | None = None,
    subpix: int = 0,
) -> ApertureSums:
    """Sum the light in circular apertures around positions.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN; finite (excluded ones may hold any finite value).
    x, y : ndarray, shape (n,)
        Centres, zero-based pixels; may lie off the image; finite.
    excluded : ndarray of bool, shape (ny, nx), optional
        Pixels without a light measurement.
    diameters : sequence of float
        Aperture diameters, pixels.
    finder : PixelFinder, optional
        Finder of the excluded pixels, if the caller has one.
    subpix : int
        0 for the exact overlap of circle and pixels; n for n × n subpixels.

    Returns
    -------
    ApertureSums
    """
    data, x, y = plain_array(data), plain_array(x, float), plain_array(y, float)
    excluded = None if excluded is None else plain_array(excluded, bool)
    ny, nx = data.shape
    radius = np.asarray(diameters, dtype=float)[:, None] / 2
    shape = (len(radius), len(x))
    flux = circle_fluxes(data, x, y, radius[:, 0], subpix)
    area = np.broadcast_to(np.pi * radius**2, shape).copy()
    incomplete = np.zeros(shape, dtype=bool)
    truncated = (x - radius < -0.5) | (x + radius > nx - 0.5) | (y - radius < -0.5) | (y + radius > ny - 0.5)
    special = truncated.any(axis=0)
    if excluded is not None:
        special[(finder or PixelFinder.of(excluded)).near(x, y, reach=float(radius.max(initial=0.0)))] = True
    rows = np.flatnonzero(special)
    if rows.size:
        for k, r in enumerate(radius[:, 0]):
            flux[k, rows], area[k, rows], incomplete[k, rows] = _careful(data, x[rows], y[rows], r, excluded, subpix)
        if excluded is not None and incomplete.any():
            area *= _enlargement(x, y, radius[:, 0], area, incomplete, excluded)
    return ApertureSums(flux, area, truncated, incomplete)


def _careful(
    data: FloatArray, x: FloatArray, y: FloatArray, r: float, excluded: BoolArray | None, subpix: int
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Sum apertures at edges and excluded pixels: flux, effective area, whether pixels are excluded."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # with unit errors sep's error is the square root of the effective area
        flux, root, flag = sep.sum_circle(data, x, y, r, err=1.0, mask=excluded, subpix=subpix)
    masked = (flag & (sep.APER_HASMASKED | sep.APER_ALLMASKED)) != 0
    empty = ~np.isfinite(flux) | ~np.isfinite(root) | (root <= 0)
    return np.where(empty, np.nan, flux), np.where(empty, np.nan, root**2), masked


def _enlargement(
    x: FloatArray, y: FloatArray, radius: FloatArray, area: FloatArray, incomplete: BoolArray, excluded: BoolArray
) -> FloatArray:
    """Return the variance factor for excluded pixels: a sum scaled by s from 1/s of its pixels has s times as much."""
    pixels, factor = np.zeros(excluded.shape, dtype=np.float32), np.ones(area.shape)
    pixels.ravel()[np.flatnonzero(excluded)] = 1.0  # memory is taken only where pixels are looked at
    for k, r in enumerate(radius):
        rows = np.flatnonzero(incomplete[k] & np.isfinite(area[k]))
        missing = sep.sum_circle(pixels, x[rows], y[rows], r, subpix=0)[0]
        factor[k, rows] = area[k, rows] / np.maximum(area[k, rows] - missing, 1e-6)
    return factor


def flux_errors(
    flux: FloatArray, area: FloatArray, rms: FloatArray, noise_ratio: FloatArray, gain: float | None
) -> FloatArray:
    """One-sigma errors of aperture sums: correlated sky noise and the source's own Poisson noise.

    Parameters
    ----------
    flux : ndarray, shape (..., n)
        Sums, DN.
    area : ndarray, shape (..., n)
        Effective areas, px².
    rms : ndarray, shape (n,)
        Pixel rms of the background, DN.
    noise_ratio : ndarray, broadcastable to `flux`
        Blank-aperture scatter over the white-noise value; NaN (not measured) counts as 1.
    gain : float or None
        Electrons per DN; without it the error contains only the sky.

    Returns
    -------
    ndarray, shape (..., n)
        ``sqrt(ratio² · area · rms² + max(flux, 0) / gain)``, DN; NaN where the flux is NaN.
    """
    ratio = np.where(np.isfinite(noise_ratio), noise_ratio, 1.0)
    variance = ratio**2 * area * np.asarray(rms, dtype=float) ** 2
    if gain is not None and gain > 0:
        variance = variance + np.maximum(flux, 0.0) / gain
    return np.where(np.isfinite(flux), np.sqrt(variance), np.nan)


def mask_in_aperture(
    mask: NDArray[np.uint16],
    x: FloatArray,
    y: FloatArray,
    *,
    radius: float = APERTURE_DIAMETERS[MASK_APERTURE] / 2,
    finder: PixelFinder | None = None,
) -> NDArray[np.int32]:
    """OR of the mask inside a circular aperture, without the two source bits.

    Parameters
    ----------
    mask : ndarray of uint16, shape (ny, nx)
        `ztfdb.bits.MaskBit` per pixel.
    x, y : ndarray, shape (n,)
        Centres, zero-based pixels.
    radius : float
        Aperture radius, pixels.
    finder : PixelFinder, optional
        Finder of the pixels with any bit except the source bits, if the caller has one.

    Returns
    -------
    ndarray of int32, shape (n,)
        A pixel is inside if any part of its square is: these pixels contribute to the aperture sum.
    """
    bits = np.zeros(len(x), dtype=np.int32)
    relevant = np.uint16(~int(SOURCE_BITS) & 0xFFFF)
    rows = (finder or PixelFinder.of((mask & relevant) != 0)).near(x, y)
    if not rows.size:
        return bits
    cx, cy = np.asarray(x, dtype=float)[rows], np.asarray(y, dtype=float)[rows]
    reach = int(np.ceil(radius + 0.5))
    offset = np.arange(-reach, reach + 1)
    column, row = np.rint(cx).astype(int)[:, None] + offset, np.rint(cy).astype(int)[:, None] + offset
    # distance from the centre to the nearest point of each pixel's square
    dx = np.maximum(np.abs(column - cx[:, None]) - 0.5, 0.0)
    dy = np.maximum(np.abs(row - cy[:, None]) - 0.5, 0.0)
    ny, nx = mask.shape
    inside = dx[:, None, :] ** 2 + dy[:, :, None] ** 2 < radius**2
    inside &= ((column >= 0) & (column < nx))[:, None, :] & ((row >= 0) & (row < ny))[:, :, None]
    values = mask[np.clip(row, 0, ny - 1)[:, :, None], np.clip(column, 0, nx - 1)[:, None, :]] & relevant
    bits[rows] = np.bitwise_or.reduce(np.where(inside, values, np.uint16(0)).reshape(len(rows), -1), axis=1)
    return bits
