"""Light-travel time from Palomar: heliocentric and barycentric times of an exposure for any direction on it.

The direction only enters as a dot product. So an image stores two vectors, and each of its sources gets its own
correction. Everything comes from ERFA without Earth-orientation tables, hence without a download: ignoring UT1 - UTC
(below 0.9 s) and polar motion moves the observatory by less than 420 m, 1.4 microseconds of light. ERFA is imported
only where it is used, because dates of stored images do not need it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array
from ztfdb.sky.angles import unit_vector

PALOMAR = (-116.8598, 33.3573, 1668.0)
"""Longitude (deg east), geodetic latitude (deg) and height (m) of the telescope, from the headers of images."""

MJD_ZERO = 2400000.5
TT_MINUS_TAI_S = 32.184
SECONDS_PER_DAY = 86400.0


def light_time_vectors(mjd_mid_utc: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return the observatory's position relative to the Sun and to the barycentre, in light seconds.

    Parameters
    ----------
    mjd_mid_utc : array_like, shape (n,)
        Mid-exposure, MJD, UTC. NaN gives NaN vectors.

    Returns
    -------
    sun, ssb : ndarray, shape (n, 3)
        Light seconds along ICRS x, y, z from the centre of the Sun, and from the solar-system barycentre. Light from
        direction ``n`` arrives at the Sun (barycentre) ``vector . n`` seconds after it arrives at the observatory.
        Accurate to 0.01 ms; the requirement is 1 ms.

    References
    ----------
    ERFA ``epv00`` (VSOP2000 fit), ``pvtob``, ``c2i06a``.
    """
    import erfa

    mjd = np.atleast_1d(np.asarray(mjd_mid_utc, dtype=np.float64))
    known = np.isfinite(mjd)
    sun, ssb = np.full((mjd.size, 3), np.nan), np.full((mjd.size, 3), np.nan)
    if known.any():
        tt = mjd[known] + _tt_minus_utc(mjd[known]) / SECONDS_PER_DAY
        heliocentric, barycentric = erfa.epv00(MJD_ZERO, tt)  # TDB - TT, 1.7 ms, moves the Earth by 50 m
        observatory = _observatory_light_s(mjd[known], erfa.tr(erfa.c2i06a(MJD_ZERO, tt)))
        sun[known] = heliocentric["p"] * erfa.AULT + observatory
        ssb[known] = barycentric["p"] * erfa.AULT + observatory
    return sun, ssb


def hjd(mjd_mid: ArrayLike, sun_vectors: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> Float64Array:
    """Return heliocentric Julian dates.

    Parameters
    ----------
    mjd_mid : array_like, shape (n,)
        Mid-exposure, MJD, UTC.
    sun_vectors : array_like, shape (n, 3)
        Light-time vectors from the Sun, s.
    ra, dec : array_like, shape (n,) or scalar
        Direction of the source, deg, ICRS.

    Returns
    -------
    ndarray, shape (n,)
        Heliocentric JD in the UTC scale (the scale of IRSA's light curves); NaN where an input is NaN.
    """
    return np.asarray(mjd_mid, dtype=np.float64) + MJD_ZERO + _delay_s(sun_vectors, ra, dec) / SECONDS_PER_DAY


def mjd_mid_of(hmjd: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> Float64Array:
    """Return mid-exposure from heliocentric dates: the inverse of `hjd`, to 0.01 ms.

    Parameters
    ----------
    hmjd : array_like, shape (n,)
        Heliocentric MJD, UTC.
    ra, dec : array_like, shape (n,) or scalar
        Direction of the source, deg, ICRS.

    Returns
    -------
    ndarray, shape (n,)
        MJD, UTC, at the observatory; NaN where an input is NaN.
    """
    heliocentric = np.asarray(hmjd, dtype=np.float64)
    known = np.isfinite(heliocentric)
    direction = [np.broadcast_to(np.asarray(one, dtype=np.float64), heliocentric.shape)[known] for one in (ra, dec)]
    dates = heliocentric[known]
    sun = _EveryHalfDay(dates)
    found = dates
    for _ in range(2):  # the delay (up to 500 s) changes by 0.05 s in its own duration, that by 5 µs
        found = dates - _delay_s(sun.vectors(found), *direction) / SECONDS_PER_DAY
    made = np.full(heliocentric.shape, np.nan)
    made[known] = found
    return made


class _EveryHalfDay:
    """Light-time vectors from the Sun near dates, to 1 µs, from positions of the Earth every half day.

    `light_time_vectors` takes 0.1 ms for each date. Between dates on a fixed grid, the Earth is interpolated by a
    polynomial through four of them, and the turn of its axis since the last one (7 ns) ignored.
    """

    STEP_D = 0.5
    REACH_D = 600.0 / SECONDS_PER_DAY
    """Farthest that a date may be from those given."""

    def __init__(self, mjd: Float64Array) -> None:
        import erfa

        tt = mjd + _tt_minus_utc(mjd) / SECONDS_PER_DAY
        first, last = (np.unique(np.floor((tt + by) / self.STEP_D)) for by in (-self.REACH_D, self.REACH_D))
        self._nodes = np.unique(
            np.concatenate([np.add.outer(first, [-1, 0, 1, 2]), np.add.outer(last, [0, 1, 2])], axis=None)
        )
        at = self._nodes * self.STEP_D
        self._earth = erfa.epv00(MJD_ZERO, at)[0]["p"] * erfa.AULT
        self._to_celestial = erfa.tr(erfa.c2i06a(MJD_ZERO, at))

    def vectors(self, mjd: Float64Array) -> Float64Array:
        """Return the vectors (light seconds), shape (n, 3)."""
        place = (mjd + _tt_minus_utc(mjd) / SECONDS_PER_DAY) / self.STEP_D
        node = np.floor(place)
        at, t = np.searchsorted(self._nodes, node), (place - node)[:, None]
        weights = (
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        )
        made = _observatory_light_s(mjd, self._to_celestial[at])
        for k, weight in enumerate(weights, -1):
            made += weight * self._earth[at + k]
        return made


def bjd_tdb(mjd_mid: ArrayLike, ssb_vectors: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> Float64Array:
    """Return barycentric Julian dates in the TDB scale.

    Parameters
    ----------
    mjd_mid : array_like, shape (n,)
        Mid-exposure, MJD, UTC.
    ssb_vectors : array_like, shape (n, 3)
        Light-time vectors from the barycentre, s.
    ra, dec : array_like, shape (n,) or scalar
        Direction of the source, deg, ICRS.

    Returns
    -------
    ndarray, shape (n,)
        BJD_TDB, as in Eastman et al. 2010, PASP 122, 935; NaN where an input is NaN. The resolution of a Julian date as
        a double is 0.04 ms.
    """
    mjd = np.asarray(mjd_mid, dtype=np.float64)
    scale = _tt_minus_utc(mjd) + _tdb_minus_tt(mjd)
    return mjd + MJD_ZERO + (_delay_s(ssb_vectors, ra, dec) + scale) / SECONDS_PER_DAY


def _delay_s(vectors: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> Float64Array:
    """Return the light time (s) from the observatory to the plane through the origin, one per vector."""
    vectors, (x, y, z) = np.asarray(vectors, dtype=np.float64), unit_vector(ra, dec)
    return np.asarray(vectors[..., 0] * x + vectors[..., 1] * y + vectors[..., 2] * z)


def _tt_minus_utc(mjd: Float64Array) -> Float64Array:
    """Return TT - UTC (s) from ERFA's leap seconds, without a warning for years beyond its table."""
    import erfa

    table = erfa.leap_seconds.get()
    starts = np.array([erfa.cal2jd(int(row["year"]), int(row["month"]), 1)[1] for row in table])
    entry = np.searchsorted(starts, np.nan_to_num(mjd), side="right") - 1
    return np.where(np.isnan(mjd), np.nan, table["tai_utc"][np.maximum(entry, 0)] + TT_MINUS_TAI_S)


def _tdb_minus_tt(mjd: Float64Array) -> Float64Array:
    """Return TDB - TT (s) at the geocentre; the observatory's 2 microseconds are ignored."""
    import erfa

    return np.asarray(erfa.dtdb(MJD_ZERO, np.nan_to_num(mjd), 0.0, 0.0, 0.0, 0.0))


def _observatory_light_s(utc: Float64Array, to_celestial: Float64Array) -> Float64Array:
    """Return the geocentric position of the observatory along the ICRS axes, light seconds, with UT1 = UTC.

    `to_celestial` are the matrices (n, 3, 3) from the intermediate to the celestial system at these times.
    """
    import erfa

    longitude, latitude, height = PALOMAR
    angle = erfa.era00(MJD_ZERO, utc)
    place = erfa.pvtob(np.radians(longitude), np.radians(latitude), height, 0.0, 0.0, 0.0, angle)["p"]
    return np.asarray(erfa.rxp(to_celestial, place) / erfa.CMPS)
