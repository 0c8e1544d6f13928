"""Forced photometry: the 6 apertures at given positions, computed as for a detection.

Background, apertures, noise ratios and errors are those of `ztfdb.extract.measure`, so a forced measurement at a
catalogued position returns the catalogued flux to single precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import FloatArray
from ztfdb.bits import MaskBit, SourceFlag
from ztfdb.extract.aperture import aperture_sums, flux_errors, mask_in_aperture
from ztfdb.extract.flags import aperture_flags
from ztfdb.extract.prepare import excluded_pixels, flagged_pixels, subtracted_window
from ztfdb.frame.background import background_at
from ztfdb.records import BackgroundMesh

if TYPE_CHECKING:
    pass

REACH = 10
"""Pixels that a window needs around a position: 7 of the largest aperture, and the pixels that its rim cuts."""

FEW = 64
"""Up to this number, positions are measured in a window each; more are measured on the whole image."""


@dataclass(frozen=True)
class ForcedFluxes:
    """Aperture photometry at given positions: equal-length columns, rounded to single precision.

    Attributes
    ----------
    flux_aper, flux_aper_err : ndarray of float32, shape (6, n)
        Aperture sums and one-sigma errors, DN; NaN if no pixel is usable or the position is not finite.
    flags : ndarray of int32, shape (n,)
        The aperture flags of `ztfdb.bits.SourceFlag`, and SATURATED if a pixel of the 6 px aperture is saturated.
    mask_bits : ndarray of int32, shape (n,), or None
        OR of the mask inside the 6 px aperture without the source bits; None without a mask.
    background, background_rms : ndarray of float32, shape (n,)
        Background level and pixel rms there, DN.
    """

    flux_aper: FloatArray
    flux_aper_err: FloatArray
    flags: NDArray[np.int32]
    mask_bits: NDArray[np.int32] | None
    background: FloatArray
    background_rms: FloatArray


def window_for(shape: tuple[int, int], x: float, y: float) -> tuple[slice, slice]:
    """Return the rows and columns of the image that a forced measurement at a position needs.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the image.
    x, y : float
        Position, zero-based pixels; finite.

    Returns
    -------
    rows, cols : slice
        At least 1 pixel each, even for a position outside the image.
    """
    bounds = []
    for centre, length in ((y, shape[0]), (x, shape[1])):
        middle = int(np.clip(np.rint(centre), 0, length - 1))
        bounds.append(slice(max(middle - REACH, 0), min(middle + REACH + 1, length)))
    return bounds[0], bounds[1]


def measure_window(
    data: FloatArray,
    mask: NDArray[np.uint16] | None,
    mesh: BackgroundMesh,
    x: FloatArray,
    y: FloatArray,
    sky_noise: FloatArray,
    *,
    gain: float | None = None,
    origin: tuple[int, int] = (0, 0),
) -> ForcedFluxes:
    """Measure the six apertures at positions inside a window of an image.

    Parameters
    ----------
    data : ndarray of float32, shape (height, width)
        Pixels of the window as read, DN.
    mask : ndarray of uint16, shape (height, width), or None
        The mask of the same pixels.
    mesh : BackgroundMesh
        The background of the whole image.
    x, y : ndarray, shape (n,)
        Positions on the whole image, zero-based pixels.
    sky_noise : ndarray, shape (6,)
        The image's sky-noise ratios; NaN counts as 1.
    gain : float or None
        Electrons per DN; without it the errors contain only the sky.
    origin : tuple of int
        ``(x0, y0)``, the window's first pixel in the image. Inside the image the window must extend `REACH` pixels
        around every position (`window_for`).

    Returns
    -------
    ForcedFluxes
    """
    known = np.isfinite(x) & np.isfinite(y)
    # clip positions far outside the image, so that pixel numbers fit into integers
    px = np.clip(np.where(known, x, -100.0), -100.0, mesh.shape[1] + 100.0)
    py = np.clip(np.where(known, y, -100.0), -100.0, mesh.shape[0] + 100.0)
    excluded = excluded_pixels(data, None if mask is None else flagged_pixels(mask))
    image = subtracted_window(data, mesh, excluded, origin)
    wx, wy = px - origin[0], py - origin[1]
    sums = aperture_sums(image, wx, wy, excluded)
    level, rms = background_at(mesh, px, py)
    errors = flux_errors(sums.flux, sums.area, rms, np.asarray(sky_noise, dtype=float)[:, None], gain)
    bits = None if mask is None else mask_in_aperture(mask, wx, wy)
    flags = aperture_flags(sums)
    if bits is not None:
        flags[(bits & MaskBit.SATURATED) != 0] |= np.int32(SourceFlag.SATURATED)
    return ForcedFluxes(
        flux_aper=np.where(known, sums.flux, np.nan).astype(np.float32),
        flux_aper_err=np.where(known, errors, np.nan).astype(np.float32),
        flags=flags,
        mask_bits=bits,
        background=level,
        background_rms=rms,
    )


def joined(parts: list[ForcedFluxes]) -> ForcedFluxes:
    """Return the measurements of several windows of one image as one table, in their order."""
    bits = [part.mask_bits for part in parts if part.mask_bits is not None]
    return ForcedFluxes(
        flux_aper=np.concatenate([part.flux_aper for part in parts], axis=1),
        flux_aper_err=np.concatenate([part.flux_aper_err for part in parts], axis=1),
        flags=np.concatenate([part.flags for part in parts]),
        mask_bits=np.concatenate(bits) if bits else None,
        background=np.concatenate([part.background for part in parts]),
        background_rms=np.concatenate([part.background_rms for part in parts]),
    )
