from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from ztfdb.sky.angles import unit_vector
from ztfdb.sky.times import PALOMAR, bjd_tdb, hjd, light_time_vectors

MJD = np.linspace(58119.1, 60676.3, 60)  # within the tables of Earth orientation that come with astropy
DIRECTIONS = [(10.0, 20.0), (270.0, -66.5), (0.0, 89.9), (200.0, 0.0)]


@pytest.fixture
def times() -> Time:
    place = EarthLocation.from_geodetic(PALOMAR[0] * u.deg, PALOMAR[1] * u.deg, PALOMAR[2] * u.m)
    return Time(MJD, format="mjd", scale="utc", location=place)


@pytest.mark.parametrize(("ra", "dec"), DIRECTIONS)
def test_light_times_equal_astropy(times: Time, ra: float, dec: float) -> None:
    sun, ssb = light_time_vectors(MJD)
    target = SkyCoord(ra * u.deg, dec * u.deg)
    with iers.conf.set_temp("auto_download", False):
        heliocentric = times.light_travel_time(target, "heliocentric").to_value("s")
        barycentric = times.light_travel_time(target, "barycentric").to_value("s")
    # 1e-5 s: UT1 - UTC, left out on purpose, is worth 1.4e-6 s
    np.testing.assert_allclose(sun @ unit_vector(ra, dec), heliocentric, atol=1e-5)
    np.testing.assert_allclose(ssb @ unit_vector(ra, dec), barycentric, atol=1e-5)


@pytest.mark.parametrize(("ra", "dec"), DIRECTIONS)
def test_dates_equal_astropy(times: Time, ra: float, dec: float) -> None:
    sun, ssb = light_time_vectors(MJD)
    target = SkyCoord(ra * u.deg, dec * u.deg)
    with iers.conf.set_temp("auto_download", False):
        barycentric = times.tdb + times.light_travel_time(target)
        heliocentric = times + times.light_travel_time(target, "heliocentric")
    # a Julian date in a double is good to 4e-5 s
    assert np.abs(bjd_tdb(MJD, ssb, ra, dec) - barycentric.jd).max() * 86400 < 1e-4
    assert np.abs(hjd(MJD, sun, ra, dec) - heliocentric.utc.jd).max() * 86400 < 1e-4


def test_one_direction_per_time() -> None:
    _, ssb = light_time_vectors(MJD[:4])
    ra, dec = np.transpose(DIRECTIONS)
    together = bjd_tdb(MJD[:4], ssb, ra, dec)
    single = [bjd_tdb(MJD[i : i + 1], ssb[i : i + 1], ra[i], dec[i])[0] for i in range(4)]
    assert together.tolist() == single


def test_dates_beyond_the_tables_are_silent() -> None:
    sun, ssb = light_time_vectors([67000.0, 62000.5])
    assert np.isfinite(sun).all()
    assert np.linalg.norm(sun, axis=1) == pytest.approx(499.0, rel=0.02)
    assert np.isfinite(bjd_tdb([67000.0, 62000.5], ssb, 1.0, 2.0)).all()


def test_an_unknown_time_has_no_date() -> None:
    sun, ssb = light_time_vectors([np.nan, 58000.0])
    assert np.isnan(sun).all(axis=1).tolist() == [True, False]
    assert np.isnan(bjd_tdb([np.nan, 58000.0], ssb, 1.0, 2.0)).tolist() == [True, False]
    assert np.isnan(hjd([np.nan, 58000.0], sun, 1.0, 2.0)).tolist() == [True, False]


def test_no_times_no_vectors() -> None:
    assert [v.shape for v in light_time_vectors([])] == [(0, 3), (0, 3)]
