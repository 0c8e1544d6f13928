"""The magnitude by which an epoch's detectability is judged: that of its star in its filter."""

from __future__ import annotations

import numpy as np

from ztfdb.phot.magnitudes import microjansky_to_mag
from ztfdb.query.detectability import own_magnitudes


def test_the_magnitude_is_that_of_the_median_flux_of_star_and_filter():
    rng = np.random.default_rng(1)
    n = 200
    star, fid = rng.integers(0, 5, n), rng.integers(1, 4, n)
    flux = rng.normal(10.0, 4.0, n)
    flux[rng.uniform(size=n) < 0.2] = np.nan
    found = own_magnitudes(star, fid, flux)
    for k in range(n):
        own = (star == star[k]) & (fid == fid[k])
        expected = microjansky_to_mag(np.nanmedian(flux[own]))
        np.testing.assert_allclose(found[k], expected, atol=1e-12)


def test_stars_without_light_have_no_magnitude():
    star = np.array([0, 0, 1, 1, 2])
    flux = np.array([-3.0, 1.0, np.nan, np.nan, 5.0])
    found = own_magnitudes(star, np.ones(5, np.int64), flux)
    assert np.isnan(found[:4]).all() and found[4] == microjansky_to_mag(5.0)
    assert own_magnitudes(star[:0], star[:0], flux[:0]).shape == (0,)


def test_limits_near_zero_do_not_make_a_star_too_bright():
    """Of a star at the limit only the epochs that noise made brighter are detections; the median counts all."""
    rng = np.random.default_rng(2)
    flux = rng.normal(5.0, 5.0, 400)
    found = own_magnitudes(np.zeros(400, np.int64), np.zeros(400, np.int64), flux)
    assert abs(found[0] - microjansky_to_mag(5.0)) < 0.15  # 400 epochs know it to 0.07
    assert microjansky_to_mag(np.median(flux[flux > 15.0])) < found[0] - 1.0
