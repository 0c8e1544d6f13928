"""Sums of pixels without masks: by the compiled kernels where the package `ztfdb-kernels` is installed, else by `sep`.

Both ways have the same definitions (``tests/unit/extract/test_kernels.py``): windows and ellipses are equal to the last
bit, circles to 1e-9. What needs a mask is always measured by `sep`.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from types import ModuleType

import numpy as np
import sep

from ztfdb.arrays import BoolArray, FloatArray

VARIABLE = "ZTFDB_KERNELS"
"""Environment variable; ``off`` measures with `sep` although the kernels are installed."""

INTERFACE = 1
"""The interface of the kernels that this module calls."""

RADII = (0.75, 100.0)
"""Smallest and largest circle for the kernels, pixels. `sep` counts a pixel as whole if a smaller circle has the same
centre; the kernels' overlaps on the rim of a larger one lose more than 1e-11."""

SUBSAMPLING = 5
"""The rim of an ellipse is sampled 5 × 5 per pixel."""

logger = logging.getLogger(__name__)


@cache
def kernels() -> ModuleType | None:
    """Return the compiled kernels; None if they are not installed, unusable (a warning is logged) or switched off."""
    if os.environ.get(VARIABLE, "").lower() in ("off", "0"):
        return None
    try:
        import ztfdb_kernels
    except ModuleNotFoundError:
        return None
    except ImportError as exc:
        logger.warning("ztfdb-kernels cannot be loaded: sep measures instead", extra={"reason": str(exc)})
        return None
    found = getattr(ztfdb_kernels, "INTERFACE", None)
    if found != INTERFACE:
        facts = {"found": found, "wanted": INTERFACE}
        logger.warning("ztfdb-kernels does not fit this version of ztfdb: sep measures instead", extra=facts)
        return None
    return ztfdb_kernels  # type: ignore[no-any-return]


def _usable(data: FloatArray) -> ModuleType | None:
    """Return the kernels if they can read the array: float32 in native byte order and C order."""
    return kernels() if data.dtype == np.float32 and data.flags.c_contiguous and data.flags.aligned else None


def circle_fluxes(data: FloatArray, x: FloatArray, y: FloatArray, radii: FloatArray, subpix: int = 0) -> FloatArray:
    """Sum the pixels in circles around positions.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Pixels, DN.
    x, y : ndarray of float64, shape (n,)
        Centres, zero-based pixels.
    radii : ndarray of float64, shape (n_radius,)
        Radii, pixels.
    subpix : int
        0 for the exact overlap of circle and pixels; n for n × n subpixels.

    Returns
    -------
    ndarray of float64, shape (n_radius, n)
        Sums, DN; pixels beyond the edge count as 0.
    """
    flux = np.empty((len(radii), len(x)))
    left: BoolArray = np.ones(len(x), dtype=bool)
    fitting = subpix == 0 and bool(np.all((radii >= RADII[0]) & (radii <= RADII[1])))
    if fitting and (compiled := _usable(data)) is not None:
        compiled.circle_sums(data, *_columns(x, y, radii), flux)
        left = np.asarray(~np.isfinite(flux).all(axis=0))  # a pixel of the box is not finite: sep knows if it counts
    if left.any():
        for k, r in enumerate(radii):
            flux[k, left] = sep.sum_circle(data, x[left], y[left], r, subpix=subpix)[0]
    return flux


def window_centres(data: FloatArray, x: FloatArray, y: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return barycentres under Gaussian windows that follow them (SExtractor's XWIN_IMAGE, YWIN_IMAGE).

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    x, y, sigma : ndarray of float64, shape (n,)
        First positions and standard deviations of the windows, pixels. The rim of a window, 4 sigma from its centre,
        is sampled 2 × 2 per pixel.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
    """
    compiled = _usable(data)
    if compiled is None:
        wx, wy, _ = sep.winpos(data, x, y, sigma, subpix=2)
        return wx, wy
    wx, wy = np.empty(len(x)), np.empty(len(x))
    compiled.windowed_positions(data, *_columns(x, y, sigma), wx, wy)
    return wx, wy


def first_moments(data: FloatArray, shape: tuple[FloatArray, ...], r: float) -> FloatArray:
    """Return the mean distance of the light in ellipses from their centres (Kron's radius).

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    shape : tuple of ndarray, shape (n,)
        ``(x, y, a, b, theta)``: centres and half axes, pixels, position angles, rad.
    r : float
        Size of the ellipses in units of `a` and `b`.

    Returns
    -------
    ndarray of float64, shape (n,)
        In units of `a` and `b`; 0 if the light or its moment is not positive.
    """
    compiled = _usable(data)
    if compiled is None:
        return np.asarray(sep.kron_radius(data, *shape, r)[0])
    moment = np.empty(len(shape[0]))
    compiled.first_moments(data, *_columns(*shape), np.full(len(moment), r), moment)
    return moment


def ellipse_fluxes(data: FloatArray, shape: tuple[FloatArray, ...], r: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Sum the pixels in ellipses, with `SUBSAMPLING` at their rims.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    shape : tuple of ndarray, shape (n,)
        ``(x, y, a, b, theta)``: centres and half axes, pixels (``a >= b > 0``), position angles in ±π/2.
    r : ndarray, shape (n,)
        Sizes of the ellipses in units of `a` and `b`.

    Returns
    -------
    flux : ndarray of float64, shape (n,)
        Sums, DN.
    truncated : ndarray of bool, shape (n,)
        The ellipse extends beyond the image.
    """
    compiled = _usable(data)
    if compiled is None:
        flux, _, flag = sep.sum_ellipse(data, *shape, r, subpix=SUBSAMPLING)
        return flux, (flag & sep.APER_TRUNC) != 0
    flux, cut = np.empty(len(r)), np.empty(len(r))
    compiled.ellipse_sums(data, *_columns(*shape, r), flux, cut)
    return flux, cut != 0


def _columns(*columns: FloatArray) -> list[FloatArray]:
    return [np.ascontiguousarray(column, dtype=float) for column in columns]
