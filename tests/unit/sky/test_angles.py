from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from ztfdb.sky.angles import check_position, separation, unit_vector


def test_separation_equals_astropys_at_all_scales() -> None:
    rng = np.random.default_rng(1)
    n = 2000
    ra1, dec1 = rng.uniform(-400, 800, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    scale = 10.0 ** rng.uniform(-8, 2, n)  # deg
    ra2 = ra1 + scale * rng.normal(size=n) / np.cos(np.radians(dec1))
    dec2 = np.clip(dec1 + scale * rng.normal(size=n), -90, 90)
    expected = SkyCoord(ra1, dec1, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).arcsec
    # both round unit-sized numbers: 1e-10 arcsec is two of their last digits
    np.testing.assert_allclose(separation(ra1, dec1, ra2, dec2), expected, rtol=1e-12, atol=2e-10)


def test_separation_at_zero_and_at_the_antipode() -> None:
    assert separation(10.0, 20.0, 370.0, 20.0) == 0.0
    assert separation(10.0, 20.0, 190.0, -20.0) == pytest.approx(648000.0, abs=1e-6)
    assert separation(0.0, 90.0, 123.0, 90.0) == pytest.approx(0.0, abs=1e-9)
    assert separation(359.9999, 0.0, 0.0001, 0.0) == pytest.approx(0.72, abs=1e-9)


def test_separation_of_nan_is_nan() -> None:
    assert np.isnan(separation([1.0, np.nan], 2.0, 3.0, 4.0)).tolist() == [False, True]


def test_unit_vectors_are_astropys_cartesian_ones() -> None:
    ra, dec = np.array([0.0, 90.0, 200.0, 10.0]), np.array([0.0, 0.0, -45.0, 90.0])
    expected = SkyCoord(ra, dec, unit=u.deg).cartesian.xyz.value
    np.testing.assert_allclose(unit_vector(ra, dec), expected, atol=1e-15)


def test_positions_are_wrapped_into_one_turn() -> None:
    ra, dec = check_position([-10.0, 360.0, 725.0, -1e-20], 5.0)
    assert ra.tolist() == [350.0, 0.0, 5.0, 0.0]
    assert dec.tolist() == [5.0] * 4


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 0.0), (0.0, np.inf), (0.0, 90.0001), (10.0, [0.0, -91.0])])
def test_impossible_positions_are_refused(ra: float, dec: float) -> None:
    with pytest.raises(ValueError, match=r"position|dec"):
        check_position(ra, dec)


def test_no_positions_are_positions() -> None:
    ra, dec = check_position([], [])
    assert ra.shape == dec.shape == (0,)
    assert separation([], [], [], []).shape == (0,)
