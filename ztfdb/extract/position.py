"""Windowed positions: barycentres under a Gaussian window that follows the source."""

from __future__ import annotations

import numpy as np
import sep

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.extract.aperture import PixelFinder, aperture_sums
from ztfdb.extract.kernels import window_centres
from ztfdb.extract.radius import half_light_radius

MOST_STARS = 200
"""Maximum number of stars that define the width of the window."""

FEWEST_STARS = 10
LARGEST_SHIFT = 0.5
"""Maximum shift of a windowed position from the barycentre, in units of `a`; beyond it the source is lost."""

SHIFT_LIMITS = (1.0, 5.0)
"""Bounds of this limit, pixels. The faint halo that deblending leaves around a saturated star must not move onto the
star."""

WIDEST = 20.0
"""Maximum width of a window, pixels; the extent of a saturated star would give hundreds of pixels."""


def window_sigma(
    data: FloatArray, x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, usable: BoolArray
) -> FloatArray:
    """Return the width of each source's window.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    x, y, a, b : ndarray, shape (n,)
        Barycentres and half axes, pixels.
    usable : ndarray of bool, shape (n,)
        Stars that may define the image's width: unblended, unsaturated, bright; ordered as the others.

    Returns
    -------
    ndarray of float64, shape (n,)
        Standard deviation of the window, pixels: that of a Gaussian with the stars' half-light diameter as FWHM
        (SExtractor's choice), or 2/3 of the source's own ``sqrt(a b)`` if that is larger (an isophote of a bright star
        is wider than its core).
    """
    own = np.sqrt(np.maximum(a * b, 0.0)) / 1.5
    stars = np.flatnonzero(usable)
    stars = stars[:: max(1, len(stars) // MOST_STARS)]
    if len(stars) < FEWEST_STARS:
        common = float(np.median(own)) if len(own) else 1.0
    else:
        sums = aperture_sums(data, x[stars], y[stars]).flux
        radius = half_light_radius(sums, sums[-1])
        common = 2.0 / 2.35 * float(np.nanmedian(radius)) if np.isfinite(radius).any() else float(np.median(own))
    return np.clip(own, np.clip(common, 0.3, WIDEST), WIDEST)


def windowed_positions(
    data: FloatArray,
    x: FloatArray,
    y: FloatArray,
    a: FloatArray,
    sigma: FloatArray,
    excluded: BoolArray | None,
    finder: PixelFinder | None = None,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Refine barycentres to windowed positions.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    x, y, a : ndarray, shape (n,)
        Barycentres and major half axes, pixels.
    sigma : ndarray, shape (n,)
        Widths of the windows, pixels.
    excluded : ndarray of bool, shape (ny, nx), optional
        Pixels without a light measurement.
    finder : PixelFinder, optional
        Finder of the excluded pixels, if the caller has one.

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        Windowed positions (the iteration of SExtractor's XWIN_IMAGE, YWIN_IMAGE); the barycentre if it failed.
    failed : ndarray of bool, shape (n,)
        The iteration did not converge, or left the source or the image.
    """
    if not len(x):
        return x.copy(), y.copy(), np.zeros(0, dtype=bool)
    # the window is 3e-4 at the rim of the aperture, so the rim's pixels need no fine sampling: 2 × 2 subpixels differ
    # by at most 0.002 px from the exact overlap and take half the time
    with np.errstate(invalid="ignore", divide="ignore"):
        if excluded is None:
            wx, wy = window_centres(data, x, y, sigma)
        else:
            # 4 sigma is the window's radius; using the mask for all sources would take 33 % longer
            near = np.zeros(len(x), dtype=bool)
            near[(finder or PixelFinder.of(excluded)).near(x, y, reach=4.0 * sigma)] = True
            wx, wy = np.empty(len(x)), np.empty(len(x))
            wx[~near], wy[~near] = window_centres(data, x[~near], y[~near], sigma[~near])
            wx[near], wy[near], _ = sep.winpos(data, x[near], y[near], sigma[near], mask=excluded, subpix=2)
    ny, nx = data.shape
    shift = np.hypot(wx - x, wy - y)
    failed = ~(shift <= np.clip(LARGEST_SHIFT * a, *SHIFT_LIMITS))
    failed |= ~((wx > -0.5) & (wx < nx - 0.5) & (wy > -0.5) & (wy < ny - 0.5))
    return np.where(failed, x, wx), np.where(failed, y, wy), failed
