"""Depth: how bright a source must be to stand out from the sky of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array

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
        Scatter of blank apertures over the white-noise value, as measured on the image; above 1, because neighbouring
        pixels of real images are correlated.

    Returns
    -------
    ndarray
        One-sigma error, DN; NaN where any input is NaN.
    """
    rms, diameter, ratio = (np.asarray(v, dtype=np.float64) for v in (rms, diameter, noise_ratio))
    return np.asarray(ratio * rms * np.sqrt(np.pi) * 0.5 * diameter)
