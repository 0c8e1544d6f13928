"""Calibrate images by the stars they share: solve zero points, gradients, colour terms and mean magnitudes together.

Every star is taken for constant, which most are; others lose weight. Each image has a zero point, a gradient over the
quadrant (clouds) and, if colours are known, a colour term. Each detector has a map of second order (residuals of the
flat field). The error of an epoch combines that of its flux, the floor of its image and the unrest of its star. Floors
and unrest are estimated from the residuals.

References
----------
Padmanabhan et al. 2008, ApJ 674, 1217 (ubercalibration of SDSS); Schlafly et al. 2012, ApJ 756, 158 (of Pan-STARRS1).
"""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import Float64Array
from ztfdb.phot.magnitudes import POGSON
from ztfdb.phot.normal import Block, Known, Problem, System
from ztfdb.phot.surface import map_basis
from ztfdb.phot.survey import SelfSettings, Solution, Survey
from ztfdb.phot.weights import FIRST_FLOOR, State, judge

N_SOFT = 4
"""Rounds in which distant epochs gradually lose weight (Huber), before those beyond the clip are left out."""

MOST_ROUNDS = 14

SMALLEST_SIZE = 1e-3
"""mag; lower bound of the estimated usual size of terms."""

FEWEST_TERMS = 10
"""Fewest terms of a kind for an estimate of their usual size."""


def solve_survey(survey: Survey, settings: SelfSettings | None = None) -> Solution:
    """Solve for images and stars together.

    Parameters
    ----------
    survey : Survey
        A connected set of images; otherwise the levels of its parts are those of the headers' mean.
    settings : SelfSettings, optional

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If the level is undefined: no prior magnitude exists, and no header has a zero point.
    """
    chosen = settings or SelfSettings()
    known = np.isfinite(survey.known_mag)
    if not known.any() and not np.isfinite(survey.header_zeropoint).any():
        raise ValueError("no header has a zero point and no star is known: the level is undefined")
    colored = chosen.color and bool(np.isfinite(survey.color).any())
    pivot = float(np.nanmedian(survey.color)) if colored else 0.0
    problem = Problem(
        survey.star,
        survey.mag,
        _blocks(survey, chosen, pivot, colored),
        Known(np.where(known, survey.known_mag, 0.0), np.zeros(survey.n_star)),
    )
    state, system, n_round = _rounds(survey, problem, chosen)
    return _solution(survey, state, system, pivot, colored, n_round)


def _blocks(survey: Survey, settings: SelfSettings, pivot: float, colored: bool) -> tuple[Block, ...]:
    columns = [np.ones_like(survey.u), survey.u, survey.v]
    mean, weight = [0.0, 0.0, 0.0], [0.0, *[settings.gradient_sigma**-2] * 2]
    if not settings.gradient:
        columns[1:] = [np.zeros_like(survey.u)] * 2
    if colored:
        color = survey.color[survey.star] - pivot
        columns.append(np.where(np.isfinite(color), color, 0.0))
        mean.append(survey.header_color_term)
        weight.append(settings.color_sigma**-2)
    blocks = [
        Block(
            survey.image,
            np.stack(columns, -1),
            survey.n_image,
            np.array(mean),
            np.array(weight),
            level=True,
            group=survey.pointing,
        )
    ]
    n_detector = int(survey.detector.max(initial=-1)) + 1
    if settings.maps and n_detector:
        basis = map_basis(survey.u, survey.v)
        zero, tight = np.zeros(basis.shape[1]), np.full(basis.shape[1], settings.map_sigma**-2)
        blocks.append(Block(survey.detector[survey.image], basis, n_detector, zero, tight))
    return tuple(blocks)


def _rounds(survey: Survey, problem: Problem, settings: SelfSettings) -> tuple[State, System, int]:
    """Solve and update the weights from the residuals until they settle; also return the last system."""
    n_epoch = len(survey.mag)
    state = State(
        terms=np.zeros(problem.design.shape[1]),
        mean=np.zeros(survey.n_star),
        residual=np.zeros(n_epoch),
        variance=(POGSON * survey.flux_err * 10.0 ** (0.4 * survey.mag)) ** 2,
        kept=np.ones(n_epoch, dtype=bool),
        known_kept=np.isfinite(survey.known_mag),
        floor=np.full(survey.n_image, FIRST_FLOOR),
        unrest=np.zeros(survey.n_star),
        soft=np.ones(n_epoch),
    )
    start: Float64Array | None = None
    settled = False
    for number in range(1, MOST_ROUNDS + 1):
        system = _weighed(survey, problem, state, settings)
        state.terms = start = system.solve(start)
        state.mean = system.means(state.terms)
        model = problem.design @ state.terms
        state.residual = survey.mag + model - state.mean[survey.star]
        if number == MOST_ROUNDS or settled:
            break
        settled = judge(survey, settings, state, system, model, soft=number < N_SOFT)
        if number == N_SOFT:
            problem = problem.with_prior_weights(_usual_sizes(problem, state.terms))
    return state, system, number


def _usual_sizes(problem: Problem, terms: Float64Array) -> list[Float64Array]:
    """Return prior weights from the sizes of gradients, colour terms and maps in this survey, at least the first ones.

    So the uncertainty of a term that no star constrains (a tilt of the whole survey, say) is that of similar terms.
    """
    found, start = [], 0
    for block in problem.blocks:
        own = terms[start : start + block.size].reshape(block.n, -1) - block.prior
        start += block.size
        weight = block.prior_weight.copy()
        for one in np.unique(weight[weight > 0.0]):  # one kind: both gradients, or the three terms of a map
            alike = block.prior_weight == one
            if own[:, alike].size >= FEWEST_TERMS:
                size = max(1.4826 * float(np.median(np.abs(own[:, alike]))), SMALLEST_SIZE)
                weight[alike] = max(one, size**-2)
        found.append(weight)
    return found


def _weighed(survey: Survey, problem: Problem, state: State, settings: SelfSettings) -> System:
    total = state.variance + (state.floor**2)[survey.image] + (state.unrest**2)[survey.star]
    weight = np.where(state.kept, state.soft / total, 0.0)
    with np.errstate(invalid="ignore"):
        known = np.where(state.known_kept, 1.0 / (survey.known_err**2 + settings.catalogue_scatter**2), 0.0)
    return System(problem, weight, known)


def _solution(
    survey: Survey,
    state: State,
    system: System,
    pivot: float,
    colored: bool,
    n_round: int,
) -> Solution:
    k = system.problem.blocks[0].basis.shape[1]
    own = state.terms[: survey.n_image * k].reshape(survey.n_image, k)
    maps = state.terms[survey.n_image * k :].reshape(-1, 3)
    color_term = own[:, 3] if colored else None
    zeropoint, mean = own[:, 0], state.mean
    tied, level_err = bool((system.known_weight > 0.0).any()), 0.0
    if not tied:
        plain = zeropoint if color_term is None else zeropoint - color_term * pivot
        off = survey.header_zeropoint - plain
        off = off[np.isfinite(off)]
        level = float(np.median(off))
        level_err = 1.2533 * 1.4826 * float(np.median(np.abs(off - level))) / np.sqrt(len(off))
        zeropoint, mean = zeropoint + level, mean + level
    kept = system.weight > 0.0
    n_kept = np.bincount(survey.image[kept], minlength=survey.n_image)
    square = np.bincount(survey.image[kept], state.residual[kept] ** 2, survey.n_image)
    constrained = np.bincount(survey.star, system.weight, survey.n_star) + system.known_weight > 0.0
    return Solution(
        zeropoint=zeropoint,
        gradient=own[:, 1:3],
        color_term=color_term,
        pivot=pivot,
        maps=maps,
        covariance=system.covariances()[0],
        floor=state.floor,
        rms=np.sqrt(square / np.maximum(n_kept, 1)),
        n_kept=n_kept,
        n_clipped=np.bincount(survey.image[~kept], minlength=survey.n_image),
        star_mag=mean,
        star_err=np.where(constrained, np.sqrt(system.mean_variance), np.nan),
        star_unrest=state.unrest,
        residual=state.residual,
        weight=system.weight,
        known_weight=system.known_weight,
        tied=tied,
        level_err=level_err,
        n_round=n_round,
    )
