"""Cut a stamp around a position: centred on the pixel that contains it, NaN outside the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.records import Stamp

if TYPE_CHECKING:
    from astropy.wcs import WCS

DEFAULT_SIZE = 23
"""Default width of a stamp, pixels: the native size of ZTF's PSF images."""


def stamp_origin(x: float, y: float, dx: int, dy: int) -> tuple[int, int]:
    """Return the first pixel ``(x0, y0)`` of the stamp of width `dx` and height `dy` around a position.

    The pixel that contains the position is the central one; with an even size it is the right or upper one of the two
    central pixels. A position on the border of two pixels belongs to the right or upper one.

    Parameters
    ----------
    x, y : float
        Zero-based pixels; pixel i spans [i - 0.5, i + 0.5).
    dx, dy : int
        Full width and height, pixels.

    Raises
    ------
    ValueError
        If a size is below 1 or a position is not finite.
    """
    if int(dx) != dx or int(dy) != dy or dx < 1 or dy < 1:
        raise ValueError(f"a stamp of {dx}×{dy} pixels: expected whole numbers from 1")
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"no pixel contains the position ({x}, {y})")
    return math.floor(x + 0.5) - int(dx) // 2, math.floor(y + 0.5) - int(dy) // 2


def cut_stamp(
    data: FloatArray,
    x: float,
    y: float,
    dx: int = DEFAULT_SIZE,
    dy: int | None = None,
    *,
    mask: BoolArray | None = None,
    wcs: WCS | None = None,
) -> Stamp:
    """Cut a stamp out of an image.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        The image.
    x, y : float
        Position, zero-based pixels.
    dx, dy : int
        Full width and height of the stamp, pixels; `dy` defaults to `dx`.
    mask : ndarray of bool, shape (ny, nx), optional
        True for bad pixels.
    wcs : astropy.wcs.WCS, optional
        WCS of the image; the stamp gets a shifted copy.

    Returns
    -------
    Stamp
        A copy; NaN and masked outside the image. Integer data become float.

    Raises
    ------
    ValueError
        If no pixel of the stamp lies on the image, a size is below 1, a position is not finite, or the mask has
        another shape than the image.
    """
    dy = dx if dy is None else dy
    x0, y0 = stamp_origin(x, y, dx, dy)
    ny, nx = data.shape
    if mask is not None and mask.shape != data.shape:
        raise ValueError(f"mask {mask.shape} and image {data.shape} differ in shape")
    rows, columns = slice(max(y0, 0), min(y0 + dy, ny)), slice(max(x0, 0), min(x0 + dx, nx))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise ValueError(f"a stamp of {dx}×{dy} pixels around ({x:g}, {y:g}) lies outside the image of {nx}×{ny}")
    inner = (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))
    pixels = np.full((dy, dx), np.nan, dtype=np.result_type(data.dtype, np.float32))
    pixels[inner] = data[rows, columns]
    bad = None
    if mask is not None:
        bad = np.ones((dy, dx), dtype=bool)
        bad[inner] = mask[rows, columns]
    return Stamp(pixels, float(x), float(y), x0, y0, bad, None if wcs is None else _shifted(wcs, x0, y0))


def _shifted(wcs: WCS, x0: int, y0: int) -> WCS:
    """Return the WCS of the window that starts at pixel (x0, y0)."""
    own = wcs.deepcopy()
    own.wcs.crpix = np.asarray(wcs.wcs.crpix) - (x0, y0)
    if own.sip is not None:
        raise ValueError("ZTF images have no SIP distortion; stamps with such a WCS are not supported")
    own.wcs.set()
    return own
