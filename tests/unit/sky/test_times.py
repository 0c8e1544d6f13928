from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from ztfdb.sky.angles import unit_vector
from ztfdb.sky.times import MJD_ZERO, PALOMAR, bjd_tdb, hjd, light_time_vectors, mjd_mid_of

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


@pytest.mark.parametrize(("ra", "dec"), DIRECTIONS)
def test_mid_exposure_of_heliocentric_dates_equals_astropy(times: Time, ra: float, dec: float) -> None:
    with iers.conf.set_temp("auto_download", False):
        delay = times.light_travel_time(SkyCoord(ra * u.deg, dec * u.deg), "heliocentric").to_value("d")
    # 1e-5 s: as for light times
    assert np.abs(mjd_mid_of(MJD + delay, ra, dec) - MJD).max() * 86400 < 1e-5


def test_mid_exposure_is_the_inverse_of_the_heliocentric_date() -> None:
    rng = np.random.default_rng(1)
    mjd, ra = rng.uniform(57000.0, 62000.0, 3000), rng.uniform(0.0, 360.0, 3000)
    mjd[:4] = [57754.0 - 1e-6, 57754.0, 57754.0 + 3e-3, 57753.9967]  # around a leap second, on the grid
    dec = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, 3000)))
    sun = light_time_vectors(mjd)[0]
    hmjd = hjd(mjd, sun, ra, dec) - MJD_ZERO
    assert np.abs(mjd_mid_of(hmjd, ra, dec) - mjd).max() * 86400 < 1e-4  # of a Julian date as a double
    together = mjd_mid_of(hmjd, ra, dec)
    assert together[:50].tolist() == [mjd_mid_of(hmjd[k : k + 1], ra[k], dec[k])[0] for k in range(50)]
    unknown = mjd_mid_of([np.nan, hmjd[0]], ra[0], dec[0])
    assert np.isnan(unknown[0])
    assert unknown[1] == together[0]
    assert mjd_mid_of([], [], []).shape == (0,)


def test_the_earth_is_computed_every_half_day_not_for_each_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 0.1 ms: 10,000 light curves of 1,000 epochs would take half an hour."""
    import erfa

    computed: list[int] = []
    for name in ("epv00", "c2i06a"):
        own = getattr(erfa, name)
        monkeypatch.setattr(erfa, name, lambda day, date, own=own: (computed.append(np.size(date)), own(day, date))[1])
    mjd_mid_of(np.linspace(58000.0, 58100.0, 20_000), 10.0, 20.0)
    assert sum(computed) < 2 * 210
