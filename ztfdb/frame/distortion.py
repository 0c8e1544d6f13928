"""Express any WCS as TPV, so that all code after the reading of a header needs only one projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ztfdb.arrays import Float64Array
from ztfdb.sky.projection import IDENTITY_PV, sky_to_pixel
from ztfdb.wcs import N_PV, WcsParameters

if TYPE_CHECKING:
    from astropy.wcs import WCS

POWERS = {0: (0, 0), 1: (1, 0), 2: (0, 1), 4: (2, 0), 5: (1, 1), 6: (0, 2), 7: (3, 0), 8: (2, 1), 9: (1, 2),
          10: (0, 3), 12: (4, 0), 13: (3, 1), 14: (2, 2), 15: (1, 3), 16: (0, 4)}  # fmt: skip
"""Exponents of (a, b) by TPV coefficient; 3 and 11, the odd powers of the radius, stay zero."""

N_GRID = 25
"""Points per axis of the fit."""


def fit_distortion(
    full: WCS, nx: float, ny: float, crval: Float64Array, crpix: Float64Array, cd: Float64Array
) -> tuple[Float64Array, float]:
    """Fit TPV coefficients to any celestial WCS over an image.

    Parameters
    ----------
    full : astropy.wcs.WCS
        The WCS to fit.
    nx, ny : float
        Size of the image, pixels.
    crval, crpix, cd : ndarray
        Reference point (ra, dec), reference pixel (1-based) and matrix (deg per pixel) to keep.

    Returns
    -------
    pv : ndarray, shape (2, 17)
        TPV coefficients.
    error : float
        Largest distance from `full`, pixels, at points not used in the fit; NaN if `full` has no value there.
    """
    x, y = _grid(nx, ny, N_GRID)
    dx, dy = x + 1.0 - crpix[0], y + 1.0 - crpix[1]
    xi, eta = cd[0, 0] * dx + cd[0, 1] * dy, cd[1, 0] * dx + cd[1, 1] * dy
    plane = WcsParameters("TAN", crval, np.ones(2), np.eye(2), IDENTITY_PV)  # its pixels are degrees
    target_xi, target_eta = sky_to_pixel(plane, *_to_sky(full, x, y))
    pv = np.stack([_polynomial(xi, eta, target_xi), _polynomial(eta, xi, target_eta)])
    x, y = _grid(nx, ny, 2 * N_GRID)
    back_x, back_y = sky_to_pixel(WcsParameters("TPV", crval, crpix, cd, pv), *_to_sky(full, x, y))
    return pv, float(np.hypot(back_x - x, back_y - y).max())


def _polynomial(a: Float64Array, b: Float64Array, target: Float64Array) -> Float64Array:
    """Return the coefficients of one axis by least squares with scaled columns."""
    columns = np.stack([a**i * b**j for i, j in POWERS.values()], axis=1)
    scale = np.abs(columns).max(axis=0)
    scale[scale == 0.0] = 1.0
    coefficients = np.zeros(N_PV)
    coefficients[list(POWERS)] = np.linalg.lstsq(columns / scale, target, rcond=1e-15)[0] / scale
    return coefficients


def _grid(nx: float, ny: float, n: int) -> tuple[Float64Array, Float64Array]:
    """Return points over the image, its outer edges included."""
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, n), np.linspace(-0.5, ny - 0.5, n))
    return x.ravel(), y.ravel()


def _to_sky(full: WCS, x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return ra and dec from astropy, whatever their order in the header."""
    world = full.all_pix2world(x, y, 0)
    return np.asarray(world[full.wcs.lng]), np.asarray(world[full.wcs.lat])
