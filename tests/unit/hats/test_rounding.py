from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztfdb.hats.rounding import DAY_STEP, LEVELS, MAG_STEP, NOTES, rounded, to_bits, to_days, to_levels


@given(value=st.floats(-1e6, 1e6), err=st.floats(1e-9, 1e6))
def test_a_value_is_off_by_a_64th_of_its_error_and_has_no_other_bits(value, err):
    (found,) = to_levels(np.array([value]), np.array([err]))
    step = 2.0 ** np.floor(np.log2(err / LEVELS))
    assert abs(found - value) <= step / 2 <= err / 64
    assert step >= err / 64  # no finer than it need be
    assert found / step == np.rint(found / step)


@given(err=st.floats(1e-30, 1e30))
def test_an_error_is_off_by_a_256th_of_itself_and_keeps_eight_bits(err):
    (found,) = to_bits(np.array([err]))
    assert abs(found - err) <= err / 256
    assert not np.float64(found).view(np.int64) & ((1 << 45) - 1)


def test_columns_are_rounded_by_their_errors_and_become_singles():
    mag, magerr = np.array([12.3456789, 20.111111, 23.7]), np.array([0.0151, 0.2345, 99.0])
    flux, flux_err = np.array([1234.5678, -3.3333, 0.1]), np.array([1.3, 2.9, 7.7])
    found = rounded({"mag": mag, "magerr": magerr, "flux_ujy": flux, "flux_ujy_err": flux_err})
    assert {values.dtype for values in found.values()} == {np.dtype("f4")}
    # steps 2^-12, 2^-8 and 2^-6 mag, and 2^-5, 2^-4 and 2^-3 uJy
    np.testing.assert_array_equal(found["mag"], [50568 / 4096, 5148 / 256, 1517 / 64])
    np.testing.assert_array_equal(found["magerr"], [247 / 16384, 240 / 1024, 99.0])
    np.testing.assert_array_equal(found["flux_ujy"], [39506 / 32, -53 / 16, 1 / 8])
    np.testing.assert_array_equal(found["flux_ujy_err"], [166 / 128, 186 / 64, 246 / 32])
    assert np.abs(found["mag"] - mag).max() <= MAG_STEP / 2


@pytest.mark.parametrize("err", [np.nan, 0.0, np.inf, -1.0])
def test_what_has_no_error_stays_as_it_is(err):
    assert to_levels(np.array([17.123456789]), np.array([err])) == 17.123456789


def test_missing_values_stay_missing():
    missing = np.full(2, np.nan)
    found = rounded({"mag": missing, "magerr": missing, "flux_ujy": missing, "flux_ujy_err": np.array([1.0, np.nan])})
    assert np.isnan([found["mag"], found["magerr"], found["flux_ujy"]]).all()
    np.testing.assert_array_equal(found["flux_ujy_err"], [1.0, np.nan])


def test_many_measurements_keep_their_mean_and_scatter():
    """Rounding is no bias, and adds a 12th of a step's square to the variance: 0.008 % at most."""
    rng = np.random.default_rng(1)
    for err in (0.0156, 0.02, 0.0312):
        values = rng.normal(17.3, err, 400_000)
        found = to_levels(values, np.full(len(values), err))
        assert abs(found.mean() - values.mean()) < 4 * err / LEVELS / np.sqrt(12 * len(values))
        assert abs(found.var() / values.var() - 1) <= 1 / (12 * LEVELS**2) + 1e-4  # sampling


def test_heliocentric_dates_are_off_by_a_hundredth_of_a_second():
    dates = 2458300.0 + np.random.default_rng(2).uniform(0, 3000, 10_000)
    found = to_days(dates)
    assert np.abs(found - dates).max() <= DAY_STEP / 2 < 0.0104 / 86400
    assert "0.01 s" in NOTES["hjd"]
