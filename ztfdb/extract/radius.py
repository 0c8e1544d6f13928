"""Half-light radius from the curve of growth given by the nested apertures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.codes import APERTURE_DIAMETERS


def half_light_radius(
    sums: FloatArray, total: FloatArray, diameters: Sequence[float] = APERTURE_DIAMETERS
) -> FloatArray:
    """Interpolate the radius that contains 50 % of the light.

    Between two apertures the light is assumed to grow as ``F(r) = total (1 - exp(-k r^p))`` with the `k` and `p` that
    fit both: exact for a Gaussian (p = 2), and p follows the profile otherwise. Inside the smallest aperture p is that
    of the first two; outside the largest there is no radius.

    Parameters
    ----------
    sums : ndarray, shape (n_aperture, n)
        Sums in apertures of growing diameter, DN.
    total : ndarray, shape (n,)
        Total flux, DN.
    diameters : sequence of float
        Aperture diameters, pixels.

    Returns
    -------
    ndarray of float64, shape (n,)
        Half-light radius, pixels; NaN if ``total <= 0``, if the largest aperture has less than 50 % of it, or if the
        curve does not rise at 50 %.
    """
    radius = np.log(np.asarray(diameters, dtype=float) / 2)
    n = sums.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(total > 0, sums / total, np.nan)
        growth = np.log(-np.log1p(-np.clip(fraction, 1e-6, 1.0 - 1e-6)))
    beyond = fraction >= 0.5
    reached = beyond.any(axis=0)
    upper = np.clip(np.argmax(beyond, axis=0), 1, len(radius) - 1)
    rows = np.arange(n)
    low, high = growth[upper - 1, rows], growth[upper, rows]
    slope = (high - low) / (radius[upper] - radius[upper - 1])
    # if all the light is inside the smallest aperture, the core is unknown: assume it uniform, p = 2
    inside = beyond[0]
    slope = np.where(inside, np.clip(slope, 1.0, 2.0), slope)
    anchor = np.where(inside, growth[0], low)
    start = np.where(inside, radius[0], radius[upper - 1])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        result = np.exp(start + (np.log(np.log(2.0)) - anchor) / slope)
    return np.where(reached & (slope > 0) & np.isfinite(result), result, np.nan)
