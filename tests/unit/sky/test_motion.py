from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from ztfdb.sky.angles import separation
from ztfdb.sky.motion import julian_year, move


def test_positions_move_as_astropy_says():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    ra[:3], dec[:3] = [0.00001, 359.99999, 10.0], [0.0, 0.0, 89.9999]
    pmra, pmdec = rng.normal(0, 800, 200), rng.normal(0, 800, 200)
    there = SkyCoord(
        ra * u.deg, dec * u.deg, pm_ra_cosdec=pmra * u.mas / u.yr, pm_dec=pmdec * u.mas / u.yr,
        distance=np.full(200, 50.0) * u.pc, obstime=Time(2016.0, format="jyear"),
    ).apply_space_motion(new_obstime=Time(2026.0, format="jyear"))  # fmt: skip
    found = move(ra, dec, pmra, pmdec, 10.0)
    assert separation(*found, there.ra.deg, there.dec.deg).max() < 1e-3
    assert np.all((found[0] >= 0) & (found[0] < 360))


def test_rows_without_motion_or_epoch_stay():
    ra, dec = move([10.0, 20.0, 30.0], [1.0, 2.0, 3.0], [5.0, np.nan, 0.0], [5.0, 5.0, 0.0], [np.nan, 10.0, 10.0])
    assert ra.tolist() == [10, 20, 30] and dec.tolist() == [1, 2, 3]


def test_julian_years_are_astropys():
    assert julian_year(60676.0) == pytest.approx(Time(60676.0, format="mjd", scale="tdb").jyear, abs=1e-12)
