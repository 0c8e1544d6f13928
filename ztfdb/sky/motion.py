"""Positions at another time: linear proper motion."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array, FloatArray
from ztfdb.sky.angles import unit_vector

MAS_PER_RADIAN = 180.0 * 3600.0 * 1000.0 / np.pi
J2000_MJD = 51544.5
DAYS_PER_YEAR = 365.25


@overload
def julian_year(mjd: float) -> float: ...
@overload
def julian_year(mjd: FloatArray) -> FloatArray: ...
def julian_year(mjd: float | FloatArray) -> float | FloatArray:
    """Return the Julian year (such as 2016.0) of a Modified Julian Date."""
    return 2000.0 + (mjd - J2000_MJD) / DAYS_PER_YEAR


def move(
    ra: ArrayLike, dec: ArrayLike, pmra: ArrayLike, pmdec: ArrayLike, years: ArrayLike
) -> tuple[Float64Array, Float64Array]:
    """Move positions along great circles by their proper motion.

    Parameters
    ----------
    ra, dec : array_like, shape (n,)
        Position at the catalogue's epoch, deg, ICRS.
    pmra, pmdec : array_like, shape (n,)
        Proper motion, mas / yr; `pmra` includes cos dec.
    years : float or array_like, shape (n,)
        Time since the catalogue's epoch, Julian years.

    Returns
    -------
    ra, dec : ndarray, shape (n,)
        deg, ICRS, ``0 <= ra < 360``; the given position if proper motion or time is NaN.

    References
    ----------
    The Hipparcos catalogue, ESA SP-1200 (1997), volume 1, section 1.5.5, without parallax and radial velocity.
    """
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    span = np.asarray(years, dtype=np.float64) / MAS_PER_RADIAN
    east, north = (np.asarray(np.asarray(pm, dtype=np.float64) * span) for pm in (pmra, pmdec))
    moving = np.isfinite(east) & np.isfinite(north) & ((east != 0.0) | (north != 0.0))
    new_ra, new_dec = np.array(np.broadcast_to(ra, moving.shape)), np.array(np.broadcast_to(dec, moving.shape))
    if moving.any():
        new_ra[moving], new_dec[moving] = _moved(new_ra[moving], new_dec[moving], east[moving], north[moving])
    return new_ra, new_dec


def _moved(
    ra: Float64Array, dec: Float64Array, east: Float64Array, north: Float64Array
) -> tuple[Float64Array, Float64Array]:
    lon, lat = np.radians(ra), np.radians(dec)
    to_east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)])
    to_north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    x, y, z = unit_vector(ra, dec) + east * to_east + north * to_north
    wrapped = np.mod(np.degrees(np.arctan2(y, x)), 360.0)
    return np.where(wrapped >= 360.0, 0.0, wrapped), np.degrees(np.arctan2(z, np.hypot(x, y)))
