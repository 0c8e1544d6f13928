"""The model of detection: fitted to stars of a known probability, and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.completeness import LIGHT_SIGMA, DetectionModel, crowding_light, fit_detection

TRUTH = DetectionModel(0.5, -4.0, -0.2, -1.5, -0.8, 0.96, 20.5, 7.0, -2.5, 1.5, 0, 0, crowding_slope=0.3, near=-0.4)


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    mag = 20.5 + rng.uniform(-2.5, 1.5, n)
    rms = 7.0 * np.exp(rng.normal(0, 0.2, n))
    light = np.where(rng.uniform(size=n) < 0.3, rng.exponential(30.0, n), 0.0)
    return mag, rng.uniform(size=n) < TRUTH.probability(mag, rms, light), rms, light


def test_the_probability_of_artificial_stars_comes_back():
    mag, found, rms, light = sample(80_000)
    model = fit_detection(mag, found, rms, light, mag5=20.5, median_rms=7.0)
    other = sample(2_000, seed=1)
    expected, got = (one.probability(other[0], *other[2:]) for one in (TRUTH, model))
    # 80,000 stars, eight parameters: 0.003 in all; more at the few places beside the brightest sources
    assert np.abs(got - expected).max() < 0.05 and np.sqrt(np.mean((got - expected) ** 2)) < 0.006
    assert (model.n_star, model.n_found) == (80_000, found.sum())
    assert model.p_max == pytest.approx(0.96, abs=0.01)


def test_a_model_of_an_earlier_version_has_no_more_terms():
    facts = TRUTH.to_dict()
    del facts["crowding_slope"], facts["near"]
    z, root = -0.5, np.sqrt(30.0 / 9.0)
    power = 0.5 - 4.0 * z - 0.2 * z**2 - 1.5 * np.log(9.0 / 7.0) - 0.8 * root
    assert DetectionModel(**facts).probability(20.0, 9.0, 30.0) == pytest.approx(0.96 / (1 + np.exp(-power)), rel=1e-12)
    power += 0.3 * z * root - 0.4
    assert TRUTH.probability(20.0, 9.0, 30.0) == pytest.approx(0.96 / (1 + np.exp(-power)), rel=1e-12)


def test_beside_the_brightest_sources_a_fainter_star_is_no_likelier():
    for light in np.geomspace(1e-3, 1e9, 13):
        p = TRUTH.probability(np.linspace(18.0, 22.0, 100), 7.0, light)
        assert np.isfinite(p).all() and (np.diff(p) <= 0).all()


def test_a_limit_is_where_the_probability_is_its_share():
    for share in (0.5, 0.9):
        for rms, light in ((7.0, 0.0), (9.0, 0.0), (7.0, 20.0)):
            limit = TRUTH.limit(share, rms, light)
            assert TRUTH.probability(limit, rms, light) == pytest.approx(share, abs=1e-4)
    both = TRUTH.limit(0.5, np.array([7.0, 9.0]))
    assert both[0] > both[1] and both[0] == TRUTH.limit(0.5, 7.0)


def test_where_there_is_no_limit_it_is_nan():
    assert np.isnan(TRUTH.limit(0.97, 7.0))  # more than are found of the brightest
    assert np.isnan(TRUTH.limit(0.5, 7.0, 1e6))
    always = DetectionModel(9.0, 0.0, 0.0, 0.0, 0.0, 1.0, 20.0, 7.0, -1.0, 1.0, 0, 0)
    assert np.isnan(always.limit(0.5, 7.0))


def test_beyond_the_artificial_stars_the_nearest_counts():
    assert TRUTH.probability(10.0, 7.0) == TRUTH.probability(18.0, 7.0)
    assert TRUTH.probability(30.0, 7.0) == TRUTH.probability(22.0, 7.0)


def test_the_light_of_sources_is_their_sum():
    rng = np.random.default_rng(2)
    sources = (*rng.uniform(0, 100, (2, 200)), rng.normal(500, 400, 200))
    x, y = rng.uniform(0, 100, (2, 30))
    square = (x[:, None] - sources[0]) ** 2 + (y[:, None] - sources[1]) ** 2
    shape = np.exp(-0.5 * square / LIGHT_SIGMA**2) / (2 * np.pi * LIGHT_SIGMA**2)
    counts = (square <= 144.0) & (square > 1.5**2) & (sources[2] > 0)
    expected = (np.where(counts, shape, 0) * sources[2]).sum(axis=1)
    np.testing.assert_allclose(crowding_light(x, y, sources, 1.5), expected, atol=1e-10)
    assert not crowding_light(x, y, (np.empty(0), np.empty(0), np.empty(0))).any()
    assert len(crowding_light(x[:0], y[:0], sources)) == 0


@pytest.mark.parametrize(
    ("n", "found", "match"),
    [(39, [True, False], "39 artificial stars are too few"), (50, [True], "50 of 50"), (50, [False], "0 of 50")],
)
def test_stars_that_tell_no_limit_are_an_error(n, found, match):
    mag = np.linspace(19, 21, n)
    with pytest.raises(ValueError, match=match):
        fit_detection(mag, np.resize(found, n), np.full(n, 7.0), np.zeros(n), mag5=20.0, median_rms=7.0)
