"""Fit a zero point and a colour term to stars of known magnitude.

A star's reference magnitude minus its instrumental one is ``zeropoint + color_term * color``. Both sides have errors,
and these are correlated, because the magnitude is part of its own colour. There is also a scatter that no error
explains (flat field, variability), and some stars are wrong. The line is York's, and outliers are removed in rounds.
The scatter is known only roughly, so the result is a mean over all scatters that the stars allow, weighted by their
plausibility (Hogg et al. 2010, with wrong stars as a second, wide population).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, Float64Array, FloatArray

CLIP = 4.0
"""Sigmas at which stars are left out. At 3 the stated errors are 10 % too small, because the tails of good stars are
cut as well; typical outliers (0.3 mag for stars with errors of 0.05) are at 6."""

WILD_SHARE, WILD_SIGMA = 0.02, 0.5
"""Fraction of wrong stars, and their spread, mag. Fractions of 0.01 to 0.1 give scatters that differ by 0.001 mag."""

USUAL_SCATTER = 0.05
"""mag; larger scatters have a lower prior (Cauchy). With 20 stars, 0.02 gave scatters that were too small."""

SCATTERS = 0.15 * np.linspace(0.0, 1.0, 41) ** 2
"""Intrinsic scatters of the first round, mag."""

N_SCATTER = 9
"""Number of scatters in later rounds, over 4 standard deviations on both sides of the mean."""

START_STARS = 200
"""Stars for the first line: the time of Siegel's method grows with their square."""

MAX_ROUNDS = 50
MAX_YORK_STEPS = 100
CONVERGED = 1e-9
"""mag, and mag per mag: 1 % of the rounding of a single-precision flux."""


@dataclass(frozen=True)
class LineFit:
    """A straight line with errors in both coordinates.

    Attributes
    ----------
    zeropoint, zeropoint_err : float
        Value at colour 0 and its one-sigma error, mag.
    color_term, color_term_err : float
        Slope, mag per mag of colour.
    covariance : float
        Of these two, mag².
    scatter : float
        Intrinsic scatter, mag: the mean of the plausible values.
    rms : float
        Standard deviation of the residuals of the kept stars, mag.
    kept : ndarray of bool, shape (n_star,)
        Stars that were not clipped.
    """

    zeropoint: float
    zeropoint_err: float
    color_term: float
    color_term_err: float
    covariance: float
    scatter: float
    rms: float
    kept: BoolArray


def fit_line(
    offset: FloatArray,
    color: FloatArray,
    offset_var: FloatArray,
    color_var: FloatArray,
    covariance: FloatArray,
    *,
    clip: float = CLIP,
    min_star: int = 3,
    scatter: float | None = None,
) -> LineFit:
    """Fit ``offset = zeropoint + color_term * color`` robustly.

    Parameters
    ----------
    offset : ndarray, shape (n_star,)
        Reference magnitude minus instrumental magnitude, mag.
    color : ndarray, shape (n_star,)
        Reference colour, mag.
    offset_var, color_var : ndarray, shape (n_star,)
        Squared one-sigma errors, mag².
    covariance : ndarray, shape (n_star,)
        Of a star's offset and colour, mag².
    clip : float
        Stars off by more than this many sigma (errors and scatter) are left out.
    min_star : int
        Fewest stars for a fit.
    scatter : float, optional
        Intrinsic scatter, if known, mag.

    Returns
    -------
    LineFit
        Its errors include that of the scatter.

    Raises
    ------
    ValueError
        If fewer than `min_star` stars are given or remain, or all have one colour.

    References
    ----------
    York et al. 2004, American Journal of Physics 72, 367, equations 13 to 15 (with the intrinsic scatter added to the
    variance of the offsets); Hogg, Bovy and Lang 2010, arXiv:1008.4686, section 3.
    """
    x, y, vx, vy, vxy = (np.asarray(v, dtype=np.float64) for v in (color, offset, color_var, offset_var, covariance))
    _check(x, min_star)

    def residuals(line: Float64Array) -> tuple[Float64Array, Float64Array]:
        zeropoint, slope = line[:, :1], line[:, 1:]
        return y - zeropoint - slope * x, vy + slope**2 * vx - 2.0 * slope * vxy

    def solve(kept: BoolArray, scatter2: Float64Array, line: Float64Array) -> tuple[Float64Array, Float64Array]:
        _check(x[kept], min_star)
        return _york(x[kept], y[kept], vx[kept], vy[kept] + scatter2, vxy[kept], line[:, 1:])

    line, covariances, found, kept = _fit_robustly(residuals, solve, _robust_start(x, y), scatter, clip)
    errors = np.sqrt(np.diag(covariances))
    residual = residuals(line[None])[0][0, kept]
    rms = float(np.sqrt(np.sum(residual**2) / max(len(residual) - 2, 1)))
    zeropoint, slope = map(float, line)
    return LineFit(zeropoint, float(errors[0]), slope, float(errors[1]), float(covariances[0, 1]), found, rms, kept)


def clipped_mean(values: FloatArray, variance: FloatArray, *, clip: float = CLIP) -> tuple[float, float, int]:
    """Return a robust weighted mean, its error and the number of values kept.

    Parameters
    ----------
    values, variance : ndarray, shape (n,)
        Values and their squared errors.
    clip : float
        Values off by more than this many sigma (errors and intrinsic scatter) are left out.

    Returns
    -------
    mean, error : float
        NaN without values.
    n : int
    """
    v, s2 = np.asarray(values, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    if not len(v):
        return np.nan, np.nan, 0

    def residuals(mean: Float64Array) -> tuple[Float64Array, Float64Array]:
        return v - mean, s2[None]

    def solve(kept: BoolArray, scatter2: Float64Array, _: Float64Array) -> tuple[Float64Array, Float64Array]:
        weight = 1.0 / (s2[kept] + scatter2)
        total = weight.sum(axis=1, keepdims=True)
        return np.sum(weight * v[kept], axis=1, keepdims=True) / total, 1.0 / total[..., None]

    mean, covariance, _, kept = _fit_robustly(residuals, solve, np.array([np.median(v)]), None, clip)
    return float(mean[0]), float(np.sqrt(covariance[0, 0])), int(kept.sum())


def _check(color: Float64Array, min_star: int) -> None:
    if len(color) < max(min_star, 3):
        raise ValueError(f"{len(color)} stars are too few, {max(min_star, 3)} are needed")
    if np.ptp(color) < 1e-3:
        raise ValueError("all stars have one colour: the colour term is undefined")


def _robust_start(x: Float64Array, y: Float64Array) -> Float64Array:
    """Return the line of repeated medians, which is robust if less than half of the values are wild."""
    from scipy.stats import siegelslopes

    some = slice(None, None, -(-len(x) // START_STARS))
    slope = float(siegelslopes(y[some], x[some]).slope)
    return np.array([np.median(y - slope * x), slope])


def _fit_robustly(
    residuals: Callable[[Float64Array], tuple[Float64Array, Float64Array]],
    solve: Callable[[BoolArray, Float64Array, Float64Array], tuple[Float64Array, Float64Array]],
    start: Float64Array,
    scatter: float | None,
    clip: float,
) -> tuple[Float64Array, Float64Array, float, BoolArray]:
    """Return parameters, their covariance, the intrinsic scatter, and the mask of kept stars.

    `residuals` returns residuals and variances of all stars, one row per set of parameters. `solve` returns the
    parameters and covariances for the kept stars and a column of squared scatters, starting from nearby parameters.
    """
    scatters = SCATTERS if scatter is None else np.array([scatter])
    weight = _plausible(*residuals(start[None]), scatters, np.zeros(1))
    mean, kept = start, np.empty(0, dtype=bool)
    for done in range(MAX_ROUNDS):  # never converges if two sets of stars alternate; either is fine
        residual, variance = residuals(mean[None])
        typical = float(weight @ scatters)
        within = (np.abs(residual) <= clip * np.sqrt(variance + typical**2) + CONVERGED)[0]
        if np.array_equal(within, kept) and done > 1:  # by then the scatters are near the plausible values
            break
        kept, scatters = within, _closer(scatters, weight)
        each, covariances = solve(kept, scatters[:, None] ** 2 + CONVERGED**2, mean[None])
        weight = _plausible(*residuals(each), scatters, 0.5 * np.linalg.slogdet(covariances)[1])
        mean = weight @ each
    apart = each - mean
    covariance = np.einsum("k,kij->ij", weight, covariances + apart[:, :, None] * apart[:, None, :])
    return mean, covariance, float(weight @ scatters), kept


def _plausible(
    residual: Float64Array, variance: Float64Array, scatters: Float64Array, log_volume: Float64Array
) -> Float64Array:
    """Return the plausibility of each scatter, as weights; the parameters are integrated over (`log_volume`)."""
    right = variance + scatters[:, None] ** 2 + CONVERGED**2
    wild = right + WILD_SIGMA**2
    likelihood = (1.0 - WILD_SHARE) * np.exp(-0.5 * residual**2 / right) / np.sqrt(right)
    likelihood += WILD_SHARE * np.exp(-0.5 * residual**2 / wild) / np.sqrt(wild) + np.finfo(float).tiny
    log = np.log(likelihood).sum(axis=1) + log_volume - np.log1p((scatters / USUAL_SCATTER) ** 2)
    if len(scatters) > 1:
        log += np.log(np.gradient(scatters))
    weight = np.exp(log - log.max())
    return np.asarray(weight / weight.sum())


def _closer(scatters: Float64Array, weight: Float64Array) -> Float64Array:
    """Return scatters around the plausible values; a known one stays."""
    if len(scatters) == 1:
        return scatters
    mean = float(weight @ scatters)
    step = float(np.interp(mean, scatters[1:], np.diff(scatters)))
    spread = max(float(np.sqrt(weight @ (scatters - mean) ** 2)), step / 3.0)
    return np.linspace(max(mean - 4.0 * spread, 0.0), mean + 4.0 * spread, N_SCATTER)


def _york(
    x: Float64Array, y: Float64Array, vx: Float64Array, vy: Float64Array, vxy: Float64Array, slope: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return intercept and slope, and their covariance, for each row of `vy`."""

    def total(values: Float64Array) -> Float64Array:
        return np.asarray(values.sum(axis=1, keepdims=True))

    for _ in range(MAX_YORK_STEPS):
        weight = 1.0 / np.maximum(vy + slope**2 * vx - 2.0 * slope * vxy, CONVERGED**2)
        norm = total(weight)
        mean_x, mean_y = total(weight * x) / norm, total(weight * y) / norm
        u, v = x - mean_x, y - mean_y
        beta = weight * (u * vy + slope * v * vx - (slope * u + v) * vxy)
        weighted = weight * beta
        new = total(weighted * v) / total(weighted * u)
        moved, slope = float(np.abs(new - slope).max()), new
        if moved < CONVERGED:
            break
    adjusted = mean_x + beta
    center = total(weight * adjusted) / norm
    slope_var = 1.0 / total(weight * (adjusted - center) ** 2)
    between = -center * slope_var
    covariance = np.stack([1.0 / norm - center * between, between, between, slope_var], axis=-1)
    return np.hstack([mean_y - slope * mean_x, slope]), covariance.reshape(-1, 2, 2)
