"""Depth: how bright a source must be to stand out of the sky of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array
from ztfdb.phot.magnitudes import POGSON

LIMIT_SIGMA = 5.0
"""Signal-to-noise ratio of ztfdb's limits, as of ZTF's MAGLIM."""


def aperture_sky_noise(rms: ArrayLike, diameter: ArrayLike, noise_ratio: ArrayLike = 1.0) -> Float64Array:
    """Return the sky noise of an aperture sum.

    Parameters
    ----------
    rms : array_like
        Pixel rms of the background, DN.
    diameter : float or array_like
        Diameter of the aperture, pixels.
    noise_ratio : float or array_like
        Scatter of blank apertures over the white-noise value, as measured on the image: neighbouring pixels of real
        images are correlated.

    Returns
    -------
    ndarray
        One-sigma error, DN; NaN where anything is NaN.
    """
    rms, diameter, ratio = (np.asarray(v, dtype=np.float64) for v in (rms, diameter, noise_ratio))
    return np.asarray(ratio * rms * np.sqrt(np.pi) * 0.5 * diameter)


def limiting_magnitude(flux_err: ArrayLike, zeropoint: ArrayLike, sigma: float = LIMIT_SIGMA) -> Float64Array:
    """Return the magnitude of a source at the limit of detection.

    Parameters
    ----------
    flux_err : array_like
        One-sigma error of an empty aperture, DN.
    zeropoint : float or array_like
        AB mag of 1 DN in that aperture; NaN where the header has none.
    sigma : float
        Signal-to-noise ratio at the limit.

    Returns
    -------
    ndarray
        AB mag; NaN where `flux_err` is not positive or anything is NaN.

    Raises
    ------
    ValueError
        If `sigma` is not positive.
    """
    if not sigma > 0.0:
        raise ValueError(f"a limit needs a positive signal-to-noise ratio, not {sigma}")
    flux_err = np.asarray(flux_err, dtype=np.float64)
    faintest = np.where(flux_err > 0.0, sigma * flux_err, np.nan)
    return np.asarray(np.asarray(zeropoint, dtype=np.float64) - POGSON * np.log(faintest))
