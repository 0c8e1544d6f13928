"""Calibration of images by the stars they share: zero points, gradients, colour terms and mean magnitudes together.

Every star is taken for constant, which most are; what is not loses its weight. Each image has a zero point, a gradient
over the quadrant (clouds) and, where colours are known, a colour term; each detector a map of second order (what the
flat field left). The error of an epoch is that of its flux, the floor of its image and the unrest of its star; floors
and unrest come from the residuals.

References
----------
Padmanabhan et al. 2008, ApJ 674, 1217 (ubercalibration of SDSS); Schlafly et al. 2012, ApJ 756, 158 (of Pan-STARRS1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ztfdb.arrays import BoolArray, Float64Array, IntArray
from ztfdb.phot.magnitudes import POGSON
from ztfdb.phot.normal import Block, Known, Problem, System
from ztfdb.phot.surface import map_basis

GAUSSIAN_MEDIAN_SQUARE = 0.45494
"""Median of the square of a Gaussian of unit variance."""

N_TERM = 3
"""Zero point and gradient; a fourth term is the colour's."""


@dataclass(frozen=True)
class SelfSettings:
    """How images are calibrated by their own stars.

    Attributes
    ----------
    min_snr : float
        Smallest signal to noise of a star's median epoch.
    min_star : int
        Fewest stars by which an image is tied.
    peak_limit : float
        Largest peak (with background) as a share of SATURATE.
    radius : float
        Largest distance of a detection from its star, arcsec.
    clip : float
        Sigmas at which an epoch is left out.
    unrest : float
        A star is taken for variable where its median squared residual is this many of its errors too large.
    gradient_sigma, color_sigma, map_sigma : float
        What gradients (mag from the middle to the edge), colour terms (mag per mag) and maps (mag) usually are: where
        stars tell less, they stay near 0, or near the headers' colour term.
    map_images, map_epochs : int
        Fewest images and epochs for which a detector has a map.
    map_days : float
        Days for which a map holds.
    catalogue_scatter : float
        What PS1 and ZTF differ by beyond the errors, mag.
    gradient, color, maps : bool
        Solve for these terms.
    """

    min_snr: float = 20.0
    min_star: int = 10
    peak_limit: float = 0.7
    radius: float = 1.0
    clip: float = 4.0
    unrest: float = 5.0
    gradient_sigma: float = 0.05
    color_sigma: float = 0.1
    map_sigma: float = 0.03
    map_images: int = 10
    map_epochs: int = 2000
    map_days: float = 180.0
    catalogue_scatter: float = 0.015
    gradient: bool = True
    color: bool = True
    maps: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Survey:
    """Epochs of stars on images that share them.

    Attributes
    ----------
    star, image : ndarray of int64, shape (n_epoch,)
        From 0; a star has one epoch on an image at most.
    mag : ndarray, shape (n_epoch,)
        -2.5 log10 of the flux in DN.
    flux_err : ndarray, shape (n_epoch,)
        DN.
    u, v : ndarray, shape (n_epoch,)
        Place on the image, -1 to 1 from edge to edge.
    detector : ndarray of int64, shape (n_image,)
        Whose map an image has, from 0; -1 for none.
    color : ndarray, shape (n_star,)
        mag; NaN where it is not known.
    known_mag, known_err : ndarray, shape (n_star,)
        Magnitude of a star of this colour, where it is known; else NaN.
    header_zeropoint : ndarray, shape (n_image,)
        Of a star of colour 0, AB mag of 1 DN; NaN where there is none.
    header_color_term : float
        The usual one; 0 where none is known.
    pointing : ndarray of int64, shape (n_image,), optional
        Number of the field and quadrant, from 0; it speeds up large surveys, and changes nothing.
    """

    star: IntArray
    image: IntArray
    mag: Float64Array
    flux_err: Float64Array
    u: Float64Array
    v: Float64Array
    detector: IntArray
    color: Float64Array
    known_mag: Float64Array
    known_err: Float64Array
    header_zeropoint: Float64Array
    header_color_term: float = 0.0
    pointing: IntArray | None = None

    @property
    def n_image(self) -> int:
        """Images."""
        return len(self.detector)

    @property
    def n_star(self) -> int:
        """Stars."""
        return len(self.color)


@dataclass(frozen=True)
class Solution:
    """What the stars say: ``mag = zeropoint + color_term (colour - pivot) + gradient + map - 2.5 log10(flux)``.

    Attributes
    ----------
    zeropoint : ndarray, shape (n_image,)
        Of a star of colour `pivot` in the middle of the image, mag.
    gradient : ndarray, shape (n_image, 2)
        Along u and v, mag from the middle to the edge.
    color_term : ndarray, shape (n_image,) or None
        mag per mag; None where no colours are known.
    pivot : float
        Median colour of the stars; 0 without colours.
    maps : ndarray, shape (n_detector, 3)
        Terms of `ztfdb.phot.surface.map_basis`.
    covariance : ndarray, shape (n_image, n_term, n_term)
        Of zero point, gradient and colour term. Without a magnitude known beforehand they are relative to the mean of
        the zero points.
    floor, rms : ndarray, shape (n_image,)
        What errors do not explain, and the standard deviation of all residuals kept, mag.
    n_kept, n_clipped : ndarray of int64, shape (n_image,)
    star_mag, star_err : ndarray, shape (n_star,)
        Mean magnitude at its own colour, and its error (those of the images' terms left out).
    star_unrest : ndarray, shape (n_star,)
        Scatter beyond errors and floors, mag; 0 for a star taken for constant.
    residual, weight : ndarray, shape (n_epoch,)
        Magnitude minus mean, and the inverse variance by which it counted, 0 where it was left out.
    known_weight : ndarray, shape (n_star,)
        Inverse variances by which magnitudes known beforehand counted.
    tied : bool
        To magnitudes known beforehand; else to the headers.
    level_err : float
        Error of the level that all images share, where it is that of the headers, mag; else 0: it is in `covariance`.
    n_round : int
    """

    zeropoint: Float64Array
    gradient: Float64Array
    color_term: Float64Array | None
    pivot: float
    maps: Float64Array
    covariance: Float64Array
    floor: Float64Array
    rms: Float64Array
    n_kept: IntArray
    n_clipped: IntArray
    star_mag: Float64Array
    star_err: Float64Array
    star_unrest: Float64Array
    residual: Float64Array
    weight: Float64Array
    known_weight: Float64Array
    tied: bool
    level_err: float
    n_round: int


@dataclass
class _State:
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


FIRST_FLOOR = 0.01
N_SOFT = 4
"""Rounds in which far epochs lose weight little by little (Huber), before those beyond the clip are left out."""

MOST_ROUNDS = 14
SMALLEST_SIZE = 1e-3
"""mag; terms are not taken to be smaller, as a rule."""

FEWEST_TERMS = 10
"""Terms of a kind from which their usual size is told."""

LARGEST_FLOOR = 0.5
FLOOR_STEPS = 26
SETTLED = 2e-5
"""Rounds end where no floor moves by more, mag, and no more than this share of the epochs comes or goes."""


def solve_survey(survey: Survey, settings: SelfSettings | None = None) -> Solution:
    """Solve images and stars together.

    Parameters
    ----------
    survey : Survey
        A connected set of images: otherwise the levels of its parts are those of the headers' mean.
    settings : SelfSettings, optional

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If nothing tells the level: no magnitude is known beforehand and no header has a zero point.
    """
    chosen = settings or SelfSettings()
    known = np.isfinite(survey.known_mag)
    if not known.any() and not np.isfinite(survey.header_zeropoint).any():
        raise ValueError("no header has a zero point and no star is known: nothing tells the level")
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


def _rounds(survey: Survey, problem: Problem, settings: SelfSettings) -> tuple[_State, System, int]:
    """Solve, look at the residuals, weigh anew, until nothing moves; return also the system of the last solution."""
    n_epoch = len(survey.mag)
    state = _State(
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
        settled = _judge(survey, settings, state, system, model, soft=number < N_SOFT)
        if number == N_SOFT:
            problem = problem.with_prior_weights(_usual_sizes(problem, state.terms))
    return state, system, number


def _usual_sizes(problem: Problem, terms: Float64Array) -> list[Float64Array]:
    """Return prior weights by how large gradients, colour terms and maps of this survey are, never below the first.

    What no star tells (a tilt of the whole survey, say) is then as uncertain as the terms that are known let expect.
    """
    found, start = [], 0
    for block in problem.blocks:
        own = terms[start : start + block.size].reshape(block.n, -1) - block.prior
        start += block.size
        weight = block.prior_weight.copy()
        for one in np.unique(weight[weight > 0.0]):  # terms of one kind: both gradients, the three of a map
            alike = block.prior_weight == one
            if own[:, alike].size >= FEWEST_TERMS:
                size = max(1.4826 * float(np.median(np.abs(own[:, alike]))), SMALLEST_SIZE)
                weight[alike] = max(one, size**-2)
        found.append(weight)
    return found


def _weighed(survey: Survey, problem: Problem, state: _State, settings: SelfSettings) -> System:
    total = state.variance + (state.floor**2)[survey.image] + (state.unrest**2)[survey.star]
    weight = np.where(state.kept, state.soft / total, 0.0)
    with np.errstate(invalid="ignore"):
        known = np.where(state.known_kept, 1.0 / (survey.known_err**2 + settings.catalogue_scatter**2), 0.0)
    return System(problem, weight, known)


def _judge(
    survey: Survey, settings: SelfSettings, state: _State, system: System, model: Float64Array, *, soft: bool
) -> bool:
    """Renew noise, floors, unrest and what is left out, and tell whether they hardly moved."""
    star, image = survey.star, survey.image
    # the noise is that of the light the star should have: what noise made brighter must not weigh more
    with np.errstate(invalid="ignore", over="ignore"):
        state.variance = (POGSON * survey.flux_err * 10.0 ** (0.4 * (state.mean[star] - model))) ** 2
    share = np.clip(system.weight * system.mean_variance[star], 0.0, 0.9)  # of its own star's mean
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


def _unrest(survey: Survey, settings: SelfSettings, state: _State, square: Float64Array) -> Float64Array:
    """Return the scatter of each star beyond errors and floors, where its median residual is far too large."""
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
    """Return the (lower) median of the values of each index, NaN without, and how many there are."""
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


def _floors(survey: Survey, state: _State, square: Float64Array, counted: BoolArray, limit: float) -> Float64Array:
    """Return the floor of each image for which its squared residuals are what they should be."""
    image, n_image = survey.image[counted], survey.n_image
    square, variance = square[counted], state.variance[counted]
    n = np.bincount(image, minlength=n_image)
    terms = N_TERM + 1
    wanted = np.maximum(n - terms, 0.5 * n)
    if np.isfinite(limit):  # before the clip, far ones count as if at the limit
        square = np.minimum(square, limit**2 * (variance + (state.floor**2)[image]))
    low, high = np.zeros(n_image), np.full(n_image, LARGEST_FLOOR)
    for _ in range(FLOOR_STEPS):
        middle = 0.5 * (low + high)
        too_much = np.bincount(image, square / (variance + (middle**2)[image]), n_image) > wanted
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    return np.where(n > 0, np.where(low > 0.0, 0.5 * (low + high), 0.0), FIRST_FLOOR)


def _known_kept(survey: Survey, settings: SelfSettings, system: System, state: _State) -> BoolArray:
    """Tell the stars whose magnitude known beforehand agrees with what the images say."""
    given = np.isfinite(survey.known_mag)
    own = np.bincount(survey.star, system.weight, survey.n_star)
    share = system.known_weight / np.maximum(own + system.known_weight, 1e-300)
    off = np.abs(state.mean - survey.known_mag) / np.maximum(1.0 - share, 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = survey.known_err**2 + settings.catalogue_scatter**2 + 1.0 / own
        # a scatter of the catalogue that is larger than assumed must not cast out most of it
        typical = np.nanmedian((off**2 / expected)[given & (own > 0)]) / GAUSSIAN_MEDIAN_SQUARE if given.any() else 1.0
        return np.asarray(given & ~(off**2 > settings.clip**2 * expected * max(1.0, float(typical))))


def _solution(
    survey: Survey,
    state: _State,
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
    told = np.bincount(survey.star, system.weight, survey.n_star) + system.known_weight > 0.0
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
        star_err=np.where(told, np.sqrt(system.mean_variance), np.nan),
        star_unrest=state.unrest,
        residual=state.residual,
        weight=system.weight,
        known_weight=system.known_weight,
        tied=tied,
        level_err=level_err,
        n_round=n_round,
    )
