"""Prepare pixels for measurement: subtract the sky, find pixels without a light measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray, IntArray, MaskArray
from ztfdb.bits import BAD_BITS, EXCLUDED_BITS, SOURCE_BITS
from ztfdb.frame.background import background_surface, surface_blocks
from ztfdb.records import BackgroundMesh

DEFINED_BITS = BAD_BITS | SOURCE_BITS
"""Every bit that ZTF defines, including the source bits; bits 13 to 15 are undefined."""

BLOCK = 64
"""Rows of a mask per block."""


def has_bits(mask: MaskArray, bits: int) -> BoolArray:
    """Return where a mask has any of these bits."""
    found = np.empty(mask.shape, dtype=bool)
    for start in range(0, len(mask), BLOCK):  # blocks stay in the cache: 3 times as fast
        np.not_equal(mask[start : start + BLOCK] & np.uint16(bits), 0, out=found[start : start + BLOCK])
    return found


def background_mask(mask: MaskArray | None) -> BoolArray | None:
    """Return the pixels that the mask excludes from the background: bad ones and known sources."""
    return None if mask is None else has_bits(mask, int(DEFINED_BITS))


@dataclass(frozen=True)
class FlaggedPixels:
    """The few pixels of an image with a mask bit other than the 2 source bits.

    Attributes
    ----------
    index : ndarray of int64, shape (n_pixel,)
        Flat indices, ascending.
    bits : ndarray of uint16, shape (n_pixel,)
        Their `ztfdb.bits.MaskBit`, without the source bits.
    """

    index: IntArray
    bits: MaskArray

    def having(self, bits: int) -> IntArray:
        """Return the flat indices of the pixels that have any of these bits."""
        found: IntArray = self.index[(self.bits & np.uint16(bits)) != 0]
        return found


def flagged_pixels(mask: MaskArray) -> FlaggedPixels:
    """Collect the pixels with any bit except the source bits, in one pass over the mask."""
    others = np.uint16(~int(SOURCE_BITS) & 0xFFFF)
    index = np.flatnonzero(has_bits(mask, int(others)))
    return FlaggedPixels(index, mask.ravel()[index] & others)


def excluded_pixels(data: FloatArray, flagged: FlaggedPixels | None, *, all_finite: bool = False) -> BoolArray | None:
    """Return the pixels without a light measurement: dead, NaN by the mask, or not finite; None if there are none.

    With `all_finite` the pixel values are not tested.
    """
    dead = np.zeros(0, dtype=np.int64) if flagged is None else flagged.having(int(EXCLUDED_BITS))
    excluded = np.zeros(data.shape, dtype=bool) if all_finite else ~np.isfinite(data)
    excluded.ravel()[dead] = True
    return excluded if dead.size or (not all_finite and excluded.any()) else None


def bad_pixels(flagged: FlaggedPixels | None, excluded: BoolArray | None, shape: tuple[int, ...]) -> BoolArray:
    """Return a new array of pixels that noise measurements must not use: any bad bit, or excluded."""
    bad = np.zeros(shape, dtype=bool) if excluded is None else excluded.copy()
    if flagged is not None:
        bad.ravel()[flagged.having(int(BAD_BITS))] = True
    return bad


def subtract_background(data: FloatArray, mesh: BackgroundMesh, excluded: BoolArray | None) -> None:
    """Subtract the background surface in place and set the excluded pixels to zero.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        The whole image as read, DN; changed.
    mesh : BackgroundMesh
        The background of this image.
    excluded : ndarray of bool, shape (ny, nx), optional
        Pixels without a light measurement.
    """
    for rows, surface in surface_blocks(mesh):
        data[rows] -= surface
    if excluded is not None:
        data[excluded] = 0.0


def subtracted_window(
    data: FloatArray, mesh: BackgroundMesh, excluded: BoolArray | None, origin: tuple[int, int]
) -> FloatArray:
    """Return a background-subtracted copy of a window of the image.

    Parameters
    ----------
    data : ndarray of float32, shape (height, width)
        Pixels of the window as read, DN.
    mesh : BackgroundMesh
        The background of the whole image.
    excluded : ndarray of bool, shape (height, width), optional
        Pixels without a light measurement; zero in the result.
    origin : tuple of int
        ``(x0, y0)``, the window's first pixel in the image.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Equal to the result of `subtract_background` for the same pixels, except possibly in the last bit.
    """
    x0, y0 = origin
    height, width = data.shape
    surface = background_surface(mesh, slice(y0, y0 + height), slice(x0, x0 + width))
    result: FloatArray = np.subtract(data, surface, dtype=np.float32)
    if excluded is not None:
        result[excluded] = 0.0
    return result
