"""Sky to pixel and back in numpy: the TPV and TAN projections, for one image or for many at once.

Making an astropy WCS takes milliseconds per image, so finding a star on 300 images would take seconds; here it is one
vectorised inversion of the TPV polynomial. Pixels are zero-based.

TPV (as in the FITS registry; Calabretta et al. 2004, draft WCS Paper IV): with ``(xi, eta) = CD (p - CRPIX)`` in
degrees and ``r = hypot(xi, eta)``, ``xi' = sum PV1_j t_j(xi, eta)`` and ``eta' = sum PV2_j t_j(eta, xi)``, t = 1, a,
b, r, a2, ab, b2, a3, a2b, ab2, b3, r3, a4, a3b, a2b2, ab3, b4; then the gnomonic projection about CRVAL.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array
from ztfdb.wcs import N_PV, WcsParameters

Coefficients = list[Float64Array] | list[float]

IDENTITY_PV = np.zeros((2, N_PV))
IDENTITY_PV[:, 1] = 1.0
IDENTITY_PV.setflags(write=False)

MAX_ITERATION = 20
"""Newton steps before a position counts as outside the range of the distortion; real images need 3."""

CONVERGED = 1e-13
"""Size of the last Newton step, deg: 4e-10 pixel."""


def pixel_to_sky(wcs: WcsParameters, x: ArrayLike, y: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return the sky positions of pixels.

    Parameters
    ----------
    wcs : WcsParameters
        A TPV or TAN projection.
    x, y : array_like, broadcastable
        Zero-based pixel position.

    Returns
    -------
    ra, dec : ndarray
        deg, ICRS, ``0 <= ra < 360``; NaN where `x` or `y` is NaN.

    Raises
    ------
    ValueError
        If the projection is neither TPV nor TAN; `ztfdb.frame.wcs.wcs_parameters` converts all others to TPV.
    """
    _require_known(wcs)
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    dx, dy = x + 1.0 - wcs.crpix[0], y + 1.0 - wcs.crpix[1]
    xi = wcs.cd[0, 0] * dx + wcs.cd[0, 1] * dy
    eta = wcs.cd[1, 0] * dx + wcs.cd[1, 1] * dy
    with np.errstate(invalid="ignore", over="ignore"):  # with absurd coefficients
        if not np.array_equal(wcs.pv, IDENTITY_PV):
            xi, eta = _polynomial(wcs.pv[0], xi, eta)[0], _polynomial(wcs.pv[1], eta, xi)[0]
        return _from_plane(np.radians(xi), np.radians(eta), np.radians(wcs.crval))


def sky_to_pixel(wcs: WcsParameters, ra: ArrayLike, dec: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return the pixels of sky positions on one image.

    Parameters
    ----------
    wcs : WcsParameters
        A TPV or TAN projection.
    ra, dec : array_like, broadcastable
        Position, deg, ICRS.

    Returns
    -------
    x, y : ndarray
        Zero-based pixel position; NaN for NaN, for positions 90 deg or more from CRVAL, and where the distortion
        cannot be inverted (far outside the image).

    Raises
    ------
    ValueError
        If the projection is neither TPV nor TAN; `ztfdb.frame.wcs.wcs_parameters` converts all others to TPV.
    """
    _require_known(wcs)
    return _project(np.asarray(wcs.to_array(), dtype=np.float64), ra, dec)


def sky_to_pixel_many(values: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return the pixel of one position on many images, or of one position per image.

    Parameters
    ----------
    values : array_like, shape (n_image, 42)
        TPV or TAN parameters, each row as from `WcsParameters.to_array`.
    ra, dec : float or array_like, shape (n_image,)
        Position, deg, ICRS.

    Returns
    -------
    x, y : ndarray, shape (n_image,)
        Zero-based pixel position; NaN as in `sky_to_pixel`.

    Raises
    ------
    ValueError
        If `values` has another shape.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 8 + 2 * N_PV:
        raise ValueError(f"WCS parameters of shape {values.shape}, expected (n_image, {8 + 2 * N_PV})")
    return _project(np.ascontiguousarray(values.T), ra, dec)


def _project(v: Float64Array, ra: ArrayLike, dec: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Invert the projection; ``v[j]`` is parameter j of one image or of each image."""
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        xi, eta = _to_plane(np.radians(ra), np.radians(dec), np.radians(v[0:2]))
        xi, eta = _undistort(v[8 : 8 + N_PV], v[8 + N_PV :], np.degrees(xi), np.degrees(eta))
        determinant = v[4] * v[7] - v[5] * v[6]
        x = (v[7] * xi - v[5] * eta) / determinant + v[2] - 1.0
        y = (v[4] * eta - v[6] * xi) / determinant + v[3] - 1.0
    return np.asarray(x), np.asarray(y)


def _to_plane(lon: Float64Array, lat: Float64Array, crval: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the gnomonic plane coordinates, rad; NaN on the far hemisphere."""
    sin0, cos0 = np.sin(crval[1]), np.cos(crval[1])
    sin_lat, cos_lat = np.sin(lat), np.cos(lat)
    dlon = lon - crval[0]
    cos_dlon = np.cos(dlon)
    along = sin_lat * sin0 + cos_lat * cos0 * cos_dlon
    along = np.where(along > 1e-12, along, np.nan)  # cosine of the distance: 0 is the horizon of the projection
    return cos_lat * np.sin(dlon) / along, (sin_lat * cos0 - cos_lat * sin0 * cos_dlon) / along


def _from_plane(xi: Float64Array, eta: Float64Array, crval: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return ra and dec (deg) of gnomonic plane coordinates (rad)."""
    sin0, cos0 = np.sin(crval[1]), np.cos(crval[1])
    down = cos0 - eta * sin0
    ra = np.degrees(crval[0] + np.arctan2(xi, down))
    dec = np.degrees(np.arctan2(sin0 + eta * cos0, np.hypot(xi, down)))
    wrapped = np.mod(ra, 360.0)
    return np.where(wrapped >= 360.0, 0.0, wrapped), np.asarray(dec)


def _undistort(
    pv1: Float64Array, pv2: Float64Array, target_xi: Float64Array, target_eta: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Invert the TPV polynomial (deg) by Newton's method; NaN where it does not converge."""
    if pv1.ndim == 1 and target_xi.size == 1 and not (pv1[3] or pv1[11] or pv2[3] or pv2[11]):
        found = _undistort_one(pv1.tolist(), pv2.tolist(), target_xi.item(), target_eta.item())
        if found is not None:
            return np.full(target_xi.shape, found[0]), np.full(target_xi.shape, found[1])
    if not (
        pv1[0].any() or pv2[0].any() or (pv1[1] != 1.0).any() or (pv2[1] != 1.0).any() or pv1[2:].any() or pv2[2:].any()
    ):
        return target_xi, target_eta
    xi, eta = target_xi, target_eta
    step = np.full(np.broadcast_shapes(xi.shape, pv1[0].shape), np.inf)
    for _ in range(MAX_ITERATION):
        f, f_xi, f_eta = _polynomial(pv1, xi, eta)
        g, g_eta, g_xi = _polynomial(pv2, eta, xi)
        miss_xi, miss_eta = f - target_xi, g - target_eta
        determinant = f_xi * g_eta - f_eta * g_xi
        d_xi = (g_eta * miss_xi - f_eta * miss_eta) / determinant
        d_eta = (f_xi * miss_eta - g_xi * miss_xi) / determinant
        xi, eta = xi - d_xi, eta - d_eta
        step = np.abs(d_xi) + np.abs(d_eta)
        if not (step > CONVERGED * (1.0 + np.abs(xi) + np.abs(eta))).any():  # NaN counts as settled
            break
    settled = step <= CONVERGED * (1.0 + np.abs(xi) + np.abs(eta))
    return np.where(settled, xi, np.nan), np.where(settled, eta, np.nan)


def _undistort_one(
    pv1: list[float], pv2: list[float], target_xi: float, target_eta: float
) -> tuple[float, float] | None:
    """Invert the polynomial at one position, by the same steps as for many; None if it does not converge.

    Arithmetic with numbers gives the same results as with arrays, in 20 % of the time.
    """
    xi, eta = target_xi, target_eta
    try:
        for _ in range(MAX_ITERATION):
            f, f_xi, f_eta = _even(pv1, xi, eta)
            g, g_eta, g_xi = _even(pv2, eta, xi)
            miss_xi, miss_eta = f - target_xi, g - target_eta
            determinant = f_xi * g_eta - f_eta * g_xi
            d_xi = (g_eta * miss_xi - f_eta * miss_eta) / determinant
            d_eta = (f_xi * miss_eta - g_xi * miss_xi) / determinant
            xi, eta = xi - d_xi, eta - d_eta
            if abs(d_xi) + abs(d_eta) <= CONVERGED * (1.0 + abs(xi) + abs(eta)):
                return xi, eta
    except ZeroDivisionError:
        pass
    return None


def _polynomial(p: Float64Array, a: Float64Array, b: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the TPV polynomial and its derivatives by `a` and by `b`, summed by powers of `a` (Horner)."""
    value, by_a, by_b = _even(p, a, b)
    if p[3].any() or p[11].any():  # the radial terms: zero on every ZTF image seen so far
        r = np.hypot(a, b)
        slope = np.where(r > 0.0, p[3] / np.where(r > 0.0, r, 1.0), 0.0) + 3.0 * p[11] * r
        value, by_a, by_b = value + r * (p[3] + p[11] * r * r), by_a + slope * a, by_b + slope * b
    return value, by_a, by_b


def _even(p: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Return `_polynomial` without the radial terms, for arrays or numbers."""
    c0 = p[0] + b * (p[2] + b * (p[6] + b * (p[10] + b * p[16])))
    c1 = p[1] + b * (p[5] + b * (p[9] + b * p[15]))
    c2 = p[4] + b * (p[8] + b * p[14])
    c3 = p[7] + b * p[13]
    c4 = p[12]
    value = c0 + a * (c1 + a * (c2 + a * (c3 + a * c4)))
    by_a = c1 + a * (2.0 * c2 + a * (3.0 * c3 + a * (4.0 * c4)))
    d0 = p[2] + b * (2.0 * p[6] + b * (3.0 * p[10] + b * (4.0 * p[16])))
    d1 = p[5] + b * (2.0 * p[9] + b * (3.0 * p[15]))
    d2 = p[8] + b * (2.0 * p[14])
    by_b = d0 + a * (d1 + a * (d2 + a * p[13]))
    return value, by_a, by_b


def _require_known(wcs: WcsParameters) -> None:
    if wcs.projection not in ("TPV", "TAN"):
        raise ValueError(f"projection {wcs.projection!r} is neither TPV nor TAN")
