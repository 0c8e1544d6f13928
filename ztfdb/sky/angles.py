"""Positions and angles on the sphere: checked coordinates, unit vectors, great-circle separations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ARCSEC_PER_RADIAN = 180.0 * 3600.0 / np.pi
"""Arcseconds in one radian."""


def check_position(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions as double-precision arrays in the house's range.

    Parameters
    ----------
    ra, dec : array_like, broadcastable
        ICRS position, deg; `ra` may lie outside one turn.

    Returns
    -------
    ra, dec : ndarray
        The same positions with ``0 <= ra < 360``, of one common shape.

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
        ICRS positions, deg; right ascensions may lie any number of turns apart.

    Returns
    -------
    ndarray
        Separation, arcsec, accurate at all scales (a few 1e-11 arcsec for small ones); NaN where a coordinate is NaN.

    References
    ----------
    Vincenty 1975, Survey Review 23, 88, on the sphere: no cancellation at 0 nor at 180 deg.
    """
    ra1, dec1, ra2, dec2 = (np.asarray(v, dtype=np.float64) for v in (ra1, dec1, ra2, dec2))
    dlon = np.radians(np.fmod(ra2 - ra1, 360.0))
    lat1, dlat = np.radians(dec1), np.radians(dec2 - dec1)
    lat2 = np.radians(dec2)
    sin1, cos1, sin2, cos2 = np.sin(lat1), np.cos(lat1), np.sin(lat2), np.cos(lat2)
    half = np.sin(0.5 * dlon)
    # sin(dlat) + ... instead of cos1*sin2 - sin1*cos2*cos(dlon): the difference of two close numbers is never formed.
    along = np.sin(dlat) + 2.0 * sin1 * cos2 * half * half
    across = cos2 * np.sin(dlon)
    cosine = sin1 * sin2 + cos1 * cos2 * np.cos(dlon)
    return np.asarray(np.arctan2(np.hypot(across, along), cosine) * ARCSEC_PER_RADIAN)
