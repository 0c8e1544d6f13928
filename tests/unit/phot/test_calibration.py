"""The fit of zero point and colour term against known truth and against other fitters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from ztfdb.phot.calibration import clipped_mean, fit_line

ZEROPOINT, SLOPE, SCATTER = 26.2, 0.11, 0.015


def stars(n, rng, *, outliers=0.0, scatter=SCATTER, size=0.3):
    """Stars of r magnitude and g - r colour, each with errors in both bands, so that offset and colour correlate."""
    true_color = rng.normal(0.7, 0.25, n)
    err_g, err_r = (rng.uniform(0.005, 0.03, n) for _ in range(2))
    inst_err = rng.uniform(0.002, 0.03, n)
    noise_g, noise_r = rng.normal(0, err_g), rng.normal(0, err_r)
    offset = ZEROPOINT + SLOPE * true_color + noise_r + rng.normal(0, inst_err) + rng.normal(0, scatter, n)
    wild = rng.uniform(size=n) < outliers
    offset[wild] += rng.choice([-1, 1], wild.sum()) * rng.uniform(size, 3 * size, wild.sum())
    return offset, true_color + noise_g - noise_r, err_r**2 + inst_err**2, err_g**2 + err_r**2, -(err_r**2)


@pytest.mark.parametrize(("n", "outliers"), [(60, 0.0), (60, 0.1), (300, 0.1)])
def test_truth_lies_within_the_stated_errors(n, outliers):
    rng = np.random.default_rng(n)
    pulls, wrong = [], []
    for _ in range(400):
        fit = fit_line(*stars(n, rng, outliers=outliers))
        pulls.append([(fit.zeropoint - ZEROPOINT) / fit.zeropoint_err, (fit.color_term - SLOPE) / fit.color_term_err])
        wrong.append(fit.scatter - SCATTER)
    pulls = np.array(pulls)
    # 400 pulls: their standard deviation is known to 3.5 %, their mean to 0.05
    assert np.all(np.abs(pulls.std(axis=0) - 1) < 0.15)
    assert np.all(np.abs(pulls.mean(axis=0)) < 0.2)
    assert np.all((np.abs(pulls) < 3).mean(axis=0) >= 0.97)
    assert abs(np.median(wrong)) < 0.002


def test_outliers_move_the_zero_point_by_less_than_its_error():
    moved = []
    for seed in range(50):
        clean = fit_line(*stars(150, np.random.default_rng(seed)))
        offset, *rest = stars(150, np.random.default_rng(seed))
        wild = np.random.default_rng(seed + 1000).permutation(150)[:15]
        offset[wild] += np.random.default_rng(seed + 2000).choice([-0.3, 0.3], 15)
        fit = fit_line(offset, *rest)
        moved.append(abs(fit.zeropoint - clean.zeropoint) / fit.zeropoint_err)
        assert fit.kept[wild].sum() <= 1  # the noise of a faint star can hide a third of 0.3 mag
        good = np.delete(np.arange(150), wild)
        known = fit_line(offset[good], *(values[good] for values in rest))
        assert abs(fit.zeropoint - known.zeropoint) < 0.4 * fit.zeropoint_err
    # Leaving a tenth of the stars out moves it by a third of its error (Gaussian), which no method can help.
    assert np.median(moved) < 0.3 and np.mean(np.array(moved) < 1) >= 0.98


def test_a_quarter_of_stars_wrong_to_one_side_is_seen_through():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        offset, *rest = stars(48, rng)
        offset[:12] -= rng.uniform(0.3, 0.7, 12)
        fit = fit_line(offset, *rest)
        assert fit.kept[:12].sum() <= 1 and abs(fit.zeropoint - ZEROPOINT) < 3 * fit.zeropoint_err


def test_the_line_is_where_chi_square_with_errors_in_both_is_least():
    rng = np.random.default_rng(5)
    x = rng.normal(0.7, 0.3, 80)
    sx, sy = rng.uniform(0.02, 0.2, 80), rng.uniform(0.02, 0.2, 80)
    y = 26 + 0.5 * x + rng.normal(0, sy / 2)
    x = x + rng.normal(0, sx / 2)
    cov = 0.5 * sx * sy * rng.uniform(-1, 1, 80)

    def chi_square(p):
        return np.sum((y - p[0] - p[1] * x) ** 2 / (sy**2 + p[1] ** 2 * sx**2 - 2 * p[1] * cov))

    fit = fit_line(y, x, sy**2, sx**2, cov, clip=50, scatter=0.0)
    least = minimize(chi_square, [26, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert fit.scatter == 0.0
    np.testing.assert_allclose([fit.zeropoint, fit.color_term], least.x, atol=1e-6)


def test_errors_are_those_of_least_squares_where_only_one_side_has_them():
    rng = np.random.default_rng(6)
    x, s = rng.normal(0.5, 0.3, 40), rng.uniform(0.5, 1.5, 40)
    y = 26 + 0.1 * x + rng.normal(0, 0.001, 40)
    zero = np.zeros(40)
    fit = fit_line(y, x, s**2, zero, zero, scatter=0.0)
    (slope, zeropoint), cov = np.polyfit(x, y, 1, w=1 / s, cov="unscaled")
    assert fit.zeropoint == pytest.approx(zeropoint, abs=1e-9) and fit.color_term == pytest.approx(slope, abs=1e-9)
    assert fit.zeropoint_err == pytest.approx(cov[1, 1] ** 0.5)
    assert fit.color_term_err == pytest.approx(cov[0, 0] ** 0.5)
    assert fit.covariance == pytest.approx(cov[0, 1])


def test_values_without_noise_give_the_line_back():
    x = np.linspace(0, 1, 20)
    fit = fit_line(26 + 0.1 * x, x, np.full(20, 1e-4), np.zeros(20), np.zeros(20))
    assert fit.zeropoint == pytest.approx(26, abs=1e-10) and fit.color_term == pytest.approx(0.1, abs=1e-10)
    assert fit.scatter < 0.004 and fit.kept.all()  # with errors of 0.01, 20 stars allow no more


def test_too_few_stars_and_one_colour_are_refused():
    one = np.ones(5)
    with pytest.raises(ValueError, match="2 stars are too few"):
        fit_line(*(np.ones(2),) * 5)
    with pytest.raises(ValueError, match="one colour"):
        fit_line(one, one, one, one, one)


def test_clipped_mean_leaves_wild_values_out():
    rng = np.random.default_rng(7)
    pulls = []
    for _ in range(300):
        values = rng.normal(-0.1, 0.01, 50)
        values[:5] += 0.5
        mean, error, n = clipped_mean(values, np.full(50, 0.005**2))
        assert n <= 45
        pulls.append((mean + 0.1) / error)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    assert clipped_mean(np.empty(0), np.empty(0))[2] == 0
