"""A linear fit whose errors come from the residuals, against closed formulas and many samples."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.trend import fit_trend, robust_scatter

TRUTH = np.array([0.05, -0.02, 0.3])


def sample(rng, n=200, *, stated=1.0, wild=0.0):
    """Values of a plane, with noise that differs from value to value, and variances off by a factor."""
    terms = np.stack([np.ones(n), rng.normal(0, 1, n), rng.uniform(-0.5, 0.5, n)], axis=1)
    error = 10 ** rng.uniform(-2.5, -1, n)
    values = terms @ TRUTH + rng.normal(0, error)
    off = rng.random(n) < wild
    return values + off * rng.choice([-1, 1], n) * rng.uniform(2, 5, n), terms, stated * error**2, off


@pytest.mark.parametrize("stated", [0.1, 1.0, 30.0])
def test_errors_are_right_whatever_the_variances_are_called(stated):
    pulls = []
    for seed in range(200):
        values, terms, variance, _ = sample(np.random.default_rng(seed), stated=stated)
        fit = fit_trend(values, terms, variance)
        pulls.append((fit.coefficients - TRUTH) / fit.errors)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.25  # 200 samples: 0.07 each
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.17)


def test_errors_of_equal_values_are_those_of_the_textbook():
    rng = np.random.default_rng(1)
    n = 4000
    x = rng.uniform(-1, 1, n)
    fit = fit_trend(2 + 3 * x + rng.normal(0, 0.1, n), np.stack([np.ones(n), x], axis=1), np.ones(n))
    np.testing.assert_allclose(fit.errors, [0.1 / np.sqrt(n), 0.1 / np.sqrt(n / 3)], rtol=0.05)
    assert fit.scatter == pytest.approx(0.1, rel=0.05)


def test_wild_values_are_left_out_and_do_not_matter():
    for seed in range(20):
        values, terms, variance, off = sample(np.random.default_rng(seed), wild=0.15)
        fit = fit_trend(values, terms, variance)
        assert not fit.kept[off].any()
        assert fit.kept[~off].mean() > 0.97
        assert (np.abs(fit.coefficients - TRUTH) < 4 * fit.errors).all()


def test_values_without_noise_are_all_kept():
    terms = np.stack([np.ones(9), np.arange(9.0)], axis=1)
    fit = fit_trend(terms @ [1.0, 2.0], terms, np.ones(9))
    np.testing.assert_allclose(fit.coefficients, [1.0, 2.0], atol=1e-9)
    assert fit.kept.all() and fit.scatter < 1e-9


def test_terms_that_cannot_be_told_apart_are_an_error():
    flat = np.ones((10, 1))
    with pytest.raises(ValueError, match="cannot be separated"):
        fit_trend(np.arange(10.0), np.hstack([flat, 3 * flat]), np.ones(10))
    with pytest.raises(ValueError, match="cannot be separated"):
        fit_trend(np.arange(10.0), np.hstack([flat, 0 * flat]), np.ones(10))
    with pytest.raises(ValueError, match="1 values are too few for 1 terms"):
        fit_trend(np.ones(1), np.ones((1, 1)), np.ones(1))


def test_robust_scatter_is_the_standard_deviation_of_a_gaussian():
    values = np.random.default_rng(2).normal(5, 0.3, 40_000)
    assert robust_scatter(values) == pytest.approx(0.3, rel=0.02)
