"""Weights from residuals: noise, the floors of images, the unrest of stars, and which epochs are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, Float64Array, IntArray
from ztfdb.phot.magnitudes import POGSON
from ztfdb.phot.normal import System
from ztfdb.phot.survey import SelfSettings, Survey

GAUSSIAN_MEDIAN_SQUARE = 0.45494
"""Median of the square of a Gaussian of unit variance."""

N_TERM = 4
"""Terms of an image: zero point, gradient and colour term."""

FIRST_FLOOR = 0.01

LARGEST_FLOOR = 0.5

FLOOR_STEPS = 26

SETTLED = 2e-5
"""Rounds end if no floor changes by more, mag, and the kept epochs change by no more than this fraction."""


@dataclass
class State:
    """Terms and weights of a round."""

    terms: Float64Array
    mean: Float64Array
    residual: Float64Array
    variance: Float64Array
    kept: BoolArray
    known_kept: BoolArray
    floor: Float64Array
    unrest: Float64Array
    soft: Float64Array


def judge(
    survey: Survey, settings: SelfSettings, state: State, system: System, model: Float64Array, *, soft: bool
) -> bool:
    """Update noise, floors, unrest and the kept epochs; return whether they hardly changed."""
    star, image = survey.star, survey.image
    # noise of the expected light: an epoch that noise made brighter must not weigh more
    with np.errstate(invalid="ignore", over="ignore"):
        state.variance = (POGSON * survey.flux_err * 10.0 ** (0.4 * (state.mean[star] - model))) ** 2
    share = np.clip(system.weight * system.mean_variance[star], 0.0, 0.9)  # fraction of its own star's mean
    square = state.residual**2 / (1.0 - share)
    state.unrest = _unrest(survey, settings, state, square)
    total = state.variance + (state.floor**2)[image] + (state.unrest**2)[star]
    with np.errstate(invalid="ignore"):
        kept = square <= settings.clip**2 * total
    counted = (kept if not soft else np.isfinite(square)) & (state.unrest[star] == 0.0)
    before, state.floor = state.floor, _floors(survey, state, square, counted, settings.clip if soft else np.inf)
    state.soft = np.ones(len(square))
    if soft:
        state.soft = np.minimum(1.0, 2.0 / np.sqrt(np.maximum(square / total, 1e-12)))
        return False
    came = int((kept != state.kept).sum())
    state.kept = kept
    state.known_kept = _known_kept(survey, settings, system, state)
    return bool(np.abs(before - state.floor).max() < SETTLED and came <= SETTLED * len(kept))


def _unrest(survey: Survey, settings: SelfSettings, state: State, square: Float64Array) -> Float64Array:
    """Return the scatter of each star beyond errors and floors, if its median residual is far too large."""
    star, n_star = survey.star, survey.n_star
    expected = state.variance + (state.floor**2)[survey.image]
    ratio, n = _median_by(star, square / expected, n_star)
    median_square, _ = _median_by(star, square, n_star)
    median_expected, _ = _median_by(star, expected, n_star)
    with np.errstate(invalid="ignore", divide="ignore"):
        # relative error of a median of squares of n Gaussians: 2.33 / sqrt(n)
        excess = ratio / GAUSSIAN_MEDIAN_SQUARE - 1.0 > settings.unrest * 2.33 / np.sqrt(n)
        beyond = np.sqrt(np.maximum(median_square / GAUSSIAN_MEDIAN_SQUARE - median_expected, 0.0))
    return np.where(excess & (n >= 4), np.nan_to_num(beyond), 0.0)


def _median_by(index: IntArray, values: Float64Array, n: int) -> tuple[Float64Array, IntArray]:
    """Return the median of the values of each index, NaN without values, and the counts."""
    order = np.lexsort((values, index))
    count = np.bincount(index, minlength=n)
    first = np.cumsum(count) - count
    found = np.full(n, np.nan)
    has = count > 0
    middle = first[has] + (count[has] - 1) // 2
    upper = first[has] + count[has] // 2
    ordered = values[order]
    found[has] = 0.5 * (ordered[middle] + ordered[upper])
    return found, count


def _floors(survey: Survey, state: State, square: Float64Array, counted: BoolArray, limit: float) -> Float64Array:
    """Return the most likely floor of each image for its squared residuals, assuming Gaussian noise.

    Bright stars constrain floors, so they have more weight. The image's own terms follow the stars, most of all those
    of large weight, and this reduces the residuals.
    """
    image, n_image = survey.image[counted], survey.n_image
    square, variance = square[counted], state.variance[counted]
    n = np.bincount(image, minlength=n_image)
    if np.isfinite(limit):  # before the clip, outliers count as if at the limit
        square = np.minimum(square, limit**2 * (variance + (state.floor**2)[image]))
    low, high = np.zeros(n_image), np.full(n_image, LARGEST_FLOOR)
    for _ in range(FLOOR_STEPS):
        middle = 0.5 * (low + high)
        weight = 1.0 / (variance + (middle**2)[image])
        taken = np.minimum(N_TERM * weight / np.bincount(image, weight, n_image)[image], 0.5)
        too_much = np.bincount(image, (square * weight - 1.0 + taken) * weight, n_image) > 0.0
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    return np.where(n > 0, np.where(low > 0.0, 0.5 * (low + high), 0.0), FIRST_FLOOR)


def _known_kept(survey: Survey, settings: SelfSettings, system: System, state: State) -> BoolArray:
    """Return the stars whose prior magnitude agrees with the images."""
    given = np.isfinite(survey.known_mag)
    own = np.bincount(survey.star, system.weight, survey.n_star)
    share = system.known_weight / np.maximum(own + system.known_weight, 1e-300)
    off = np.abs(state.mean - survey.known_mag) / np.maximum(1.0 - share, 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = survey.known_err**2 + settings.catalogue_scatter**2 + 1.0 / own
        # if the scatter of the catalogue is larger than assumed, this must not reject most of it
        typical = np.nanmedian((off**2 / expected)[given & (own > 0)]) / GAUSSIAN_MEDIAN_SQUARE if given.any() else 1.0
        return np.asarray(given & ~(off**2 > settings.clip**2 * expected * max(1.0, float(typical))))
