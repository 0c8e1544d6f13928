"""Positions and angles on the sphere: checked coordinates, unit vectors, great-circle separations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ARCSEC_PER_RADIAN = 180.0 * 3600.0 / np.pi
"""Arcseconds in one radian."""


def check_position(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions as double-precision arrays with ``0 <= ra < 360``.

    Parameters
    ----------
    ra, dec : array_like, broadcastable
        ICRS position, deg; `ra` may be outside 0 to 360.

    Returns
    -------
    ra, dec : ndarray
        The same positions with ``0 <= ra < 360``, broadcast to one shape.

    Raises
    ------
    ValueError
        If a coordinate is not finite, or ``|dec| > 90``.
    """
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    if ra.shape != dec.shape:
        ra, dec = np.broadcast_arrays(ra, dec)
    if not (np.isfinite(ra).all() and (np.abs(dec) <= 90.0).all()):
        if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
            raise ValueError("a position is not finite: ra and dec must be numbers of degrees")
        raise ValueError(f"dec {float(dec.flat[np.argmax(np.abs(dec))])} lies outside -90..90 deg")
    wrapped = np.mod(ra, 360.0)
    return np.where(wrapped >= 360.0, 0.0, wrapped), dec.copy()  # mod of a tiny negative number rounds up to 360


def unit_vector(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Return the directions of positions as Cartesian unit vectors.

    Parameters
    ----------
    ra, dec : array_like, shape (n,)
        ICRS position, deg. NaN gives a NaN vector.

    Returns
    -------
    ndarray, shape (3, n)
        x towards RA 0, y towards RA 90, z towards the north pole.
    """
    lon, lat = np.radians(np.asarray(ra, dtype=np.float64)), np.radians(np.asarray(dec, dtype=np.float64))
    cos_lat = np.cos(lat)
    vector = np.empty((3, *np.broadcast_shapes(lon.shape, lat.shape)))
    vector[0], vector[1], vector[2] = cos_lat * np.cos(lon), cos_lat * np.sin(lon), np.sin(lat)
    return vector


def separation(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> NDArray[np.float64]:
    """Return great-circle separations.

    Parameters
    ----------
    ra1, dec1, ra2, dec2 : array_like, broadcastable
        ICRS positions, deg; right ascensions may differ by any number of turns.

    Returns
    -------
    ndarray
        Separation, arcsec, accurate at all scales (a few 1e-11 arcsec for small ones); NaN where a coordinate is NaN.

    Notes
    -----
    Haversines: hav d = hav Δdec + cos dec1 cos dec2 hav Δra, in which only coordinates of nearby values are
    subtracted. Beyond 90 deg the supplement: 1 - hav d = sin²(½(dec1 + dec2)) + cos dec1 cos dec2 cos²(½Δra).

    References
    ----------
    Sinnott 1984, Sky & Telescope 68, 158.
    """
    ra1, dec1, ra2, dec2 = (np.asarray(v, dtype=np.float64) for v in (ra1, dec1, ra2, dec2))
    half_dlon = np.radians(0.5 * np.fmod(ra2 - ra1, 360.0))
    half_dlat = np.radians(0.5 * (dec2 - dec1))
    both = np.cos(np.radians(dec1)) * np.cos(np.radians(dec2))
    haversine = np.sin(half_dlat) ** 2 + both * np.sin(half_dlon) ** 2
    far = haversine > 0.5
    if not far.any():
        return np.asarray(np.arcsin(np.sqrt(haversine)) * (2.0 * ARCSEC_PER_RADIAN))
    rest = np.sin(np.radians(0.5 * (dec1 + dec2))) ** 2 + both * np.cos(half_dlon) ** 2
    half = np.arcsin(np.sqrt(np.where(far, rest, haversine)))
    return np.asarray(np.where(far, np.pi - 2.0 * half, 2.0 * half) * ARCSEC_PER_RADIAN)
