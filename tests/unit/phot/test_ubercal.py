"""Simulated surveys of stars through clouds: zero points, errors, floors and variables come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.surveys import make_survey, photon_error
from ztfdb.phot.survey import SelfSettings, Survey
from ztfdb.phot.ubercal import solve_survey

SMALL = {"n_image": 60, "n_star": 400}


def zeropoint_pulls(survey, truth, solution):
    """Zero points minus the truth in their errors; the level of all is not that of the stars."""
    off = solution.zeropoint - truth.zeropoint - truth.color_term * solution.pivot
    return (off - off.mean()) / np.sqrt(solution.covariance[:, 0, 0])


def test_zero_points_come_back_within_their_errors():
    pulls = []
    for seed in range(4):
        survey, truth = make_survey(**SMALL, seed=seed)
        pulls.append(zeropoint_pulls(survey, truth, solve_survey(survey)))
    pulls = np.concatenate(pulls)
    assert (np.abs(pulls) < 3).mean() >= 0.97
    # images of a quadrant share the tilt that the stars leave open: four surveys are some twenty independent values
    assert np.sqrt((pulls**2).mean()) == pytest.approx(1.0, abs=0.25)


def test_bright_constant_stars_scatter_no_more_than_photons_and_floors():
    survey, truth = make_survey(**SMALL, seed=5)
    solution = solve_survey(survey)
    allowed = np.hypot(photon_error(survey, truth.star_mag, truth.zeropoint), truth.floor[survey.image])
    # without the colour and gradient terms that photon_error leaves out, and for bright stars, it is good to 3 %
    good = (truth.star_mag[survey.star] < 16) & (truth.amplitude[survey.star] == 0) & ~truth.wrong
    ratio = solution.residual[good] / allowed[good]
    assert ratio.std() < 1.15
    header = survey.mag + survey.header_zeropoint[survey.image]
    n = np.maximum(np.bincount(survey.star[good], minlength=survey.n_star), 1)
    mean = np.bincount(survey.star[good], header[good], survey.n_star) / n
    assert ((header - mean[survey.star])[good] / allowed[good]).std() > 5 * ratio.std()
    assert np.median(solution.floor / truth.floor) == pytest.approx(1.0, abs=0.1)


def test_amplitudes_of_variables_are_not_biased():
    ratios = []
    for seed in range(3):
        survey, truth = make_survey(**SMALL, seed=20 + seed, variable=0.1)
        solution = solve_survey(survey)
        seen = np.bincount(survey.star, minlength=survey.n_star)
        for star in np.flatnonzero((truth.amplitude > 0.1) & (seen >= 20)):
            own = (survey.star == star) & ~truth.wrong
            expected = truth.light(star, survey.image[own])
            found = solution.residual[own] + solution.star_mag[star]
            ratios.append(np.polyfit(expected, found, 1)[0])
    assert len(ratios) > 20
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.02)


def test_variables_and_wrong_detections_lose_their_weight():
    survey, truth = make_survey(**SMALL, seed=6, variable=0.1)
    solution = solve_survey(survey)
    seen = np.bincount(survey.star, minlength=survey.n_star)
    strong = (truth.amplitude > 0.15) & (seen >= 15)
    assert (solution.star_unrest[strong] > 0).mean() > 0.9
    assert (solution.star_unrest[(truth.amplitude == 0) & (seen > 0)] > 0).mean() < 0.01
    far = truth.wrong & (truth.amplitude[survey.star] == 0)
    assert (solution.weight[far] == 0).mean() > 0.7  # some are wrong by less than their error
    assert (solution.weight[~truth.wrong] == 0).mean() < 0.002


def test_wrong_headers_change_nothing_where_stars_tell_the_level():
    survey, _ = make_survey(**SMALL, seed=7, known=0.5)
    wrong, _ = make_survey(**SMALL, seed=7, known=0.5, header_wrong=0.2)
    without, _ = make_survey(**SMALL, seed=7, known=0.5, header=False)
    found = solve_survey(survey)
    assert found.tied and found.level_err == 0.0
    for other in (
        replace(survey, header_zeropoint=wrong.header_zeropoint),
        replace(survey, header_zeropoint=without.header_zeropoint),
    ):
        np.testing.assert_array_equal(solve_survey(other).zeropoint, found.zeropoint)


def test_a_fifth_of_wrong_headers_moves_the_level_by_less_than_its_error_and_nothing_else():
    survey, truth = make_survey(**SMALL, seed=8)
    rng = np.random.default_rng(0)
    wrong = survey.header_zeropoint + np.where(rng.uniform(size=60) < 0.2, rng.uniform(-0.5, 0.5, 60), 0)
    one, other = solve_survey(survey), solve_survey(replace(survey, header_zeropoint=wrong))
    moved = other.zeropoint - one.zeropoint
    assert np.ptp(moved) < 1e-12
    assert abs(moved[0]) < 3 * other.level_err
    truth_level = np.median(survey.header_zeropoint - truth.zeropoint)
    assert one.zeropoint.mean() - (truth.zeropoint + truth.color_term * one.pivot).mean() == pytest.approx(
        truth_level, abs=4 * one.level_err
    )


def test_the_level_is_that_of_the_known_stars():
    survey, truth = make_survey(**SMALL, seed=9, known=0.8)
    solution = solve_survey(survey)
    off = solution.zeropoint - truth.zeropoint - truth.color_term * solution.pivot
    n = (solution.known_weight > 0).sum()
    assert abs(off.mean()) < 4 * np.hypot(0.01, 0.015) / np.sqrt(n) + 0.001  # floors and tilts: 1 mmag
    assert (np.abs(off / np.sqrt(solution.covariance[:, 0, 0])) < 3).mean() >= 0.95


def test_wrong_known_stars_do_not_move_the_level():
    survey, _ = make_survey(**SMALL, seed=10, known=0.8)
    rng = np.random.default_rng(1)
    off = np.where(rng.uniform(size=survey.n_star) < 0.1, rng.uniform(0.3, 0.6, survey.n_star), 0)
    one, other = solve_survey(survey), solve_survey(replace(survey, known_mag=survey.known_mag + off))
    assert abs((other.zeropoint - one.zeropoint).mean()) < 0.002


def test_without_headers_and_known_stars_there_is_no_level():
    survey, _ = make_survey(**SMALL, header=False)
    with pytest.raises(ValueError, match="the level is undefined"):
        solve_survey(survey)


def test_one_image_is_fitted_to_known_stars():
    survey, _ = make_survey(**SMALL, seed=11)
    whole = solve_survey(survey)
    own = survey.image == 17
    constant = (whole.star_unrest == 0)[survey.star[own]]
    at = np.flatnonzero(own)[constant]
    stars = survey.star[at]
    n = len(at)
    one = Survey(
        np.arange(n), np.zeros(n, int), survey.mag[at] + 0.0, survey.flux_err[at], survey.u[at], survey.v[at],
        np.array([-1]), survey.color[stars], whole.star_mag[stars], whole.star_err[stars],
        survey.header_zeropoint[[17]], -0.04,
    )  # fmt: skip
    solution = solve_survey(one, SelfSettings(catalogue_scatter=0.0))
    error = np.sqrt(solution.covariance[0, 0, 0])
    # at the same colour; the map of the quadrant is in neither's terms here, and adds what its size is
    found = solution.zeropoint[0] - solution.color_term[0] * solution.pivot
    expected = whole.zeropoint[17] - whole.color_term[17] * whole.pivot
    assert found == pytest.approx(expected, abs=4 * error + 0.008)


def test_what_is_left_out_is_not_solved_for():
    survey, _ = make_survey(**SMALL, seed=12)
    plain = solve_survey(survey, SelfSettings(gradient=False, color=False, maps=False))
    assert plain.color_term is None and plain.pivot == 0.0 and len(plain.maps) == 0
    assert not plain.gradient.any()
    assert plain.floor.mean() > 2 * solve_survey(survey).floor.mean()
