"""Fitting a zero point and a colour term to stars of known magnitude.

A star's reference magnitude minus its instrumental one is ``zeropoint + color_term * color``. Both sides have errors,
and they are correlated (the magnitude is part of its own colour); on top comes a scatter that no error explains
(flat field, variability). The line is York's, the scatter is what makes chi-square per degree of freedom one, and stars
far off are left out, round after round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from ztfdb.records import BoolArray, FloatArray

GAUSSIAN_MAD = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""

CLIP = 4.0
"""Sigmas at which stars are left out. At 3 the stated errors come out 10 % too small, since the tails of the stars that
belong are cut as well; what must go (0.3 mag of stars good to 0.05) lies at 6."""

MAX_ROUNDS = 50
MAX_YORK_STEPS = 100
CONVERGED = 1e-9
"""mag, and mag per mag: a hundredth of what single precision keeps of a flux."""

Float64Array = NDArray[np.float64]


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
        Of the two, mag².
    scatter : float
        Intrinsic scatter, mag.
    rms : float
        Standard deviation of the residuals of the stars kept, mag.
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
        Stars farther off than this many sigma (errors and scatter) are left out.
    min_star : int
        Fewest stars to go on with.

    Returns
    -------
    LineFit

    Raises
    ------
    ValueError
        If fewer than `min_star` stars are given or left, or all have one colour.

    References
    ----------
    York et al. 2004, American Journal of Physics 72, 367, equations 13 to 15 (with the intrinsic scatter added to the
    variance of the offsets).
    """
    x, y, vx, vy, vxy = (np.asarray(v, dtype=np.float64) for v in (color, offset, color_var, offset_var, covariance))
    _check(x, min_star)
    zeropoint, slope = _robust_start(x, y)
    scatter = _robust_scatter(y - zeropoint - slope * x, vy + slope**2 * vx - 2.0 * slope * vxy)
    kept = np.ones(len(x), dtype=bool)
    fit = None
    for _ in range(MAX_ROUNDS):
        error = np.sqrt(vy + slope**2 * vx - 2.0 * slope * vxy + scatter**2)
        within = np.abs(y - zeropoint - slope * x) <= clip * error + CONVERGED
        if fit is not None and np.array_equal(within, kept):
            return fit
        kept = within
        _check(x[kept], min_star)
        fit = _fit_kept(x, y, vx, vy, vxy, kept, clip, slope, scatter)
        zeropoint, slope, scatter = fit.zeropoint, fit.color_term, fit.scatter
    assert fit is not None
    return fit  # two sets of stars in turn: either will do


def clipped_mean(values: FloatArray, variance: FloatArray, *, clip: float = CLIP) -> tuple[float, float, int]:
    """Return a robust weighted mean, its error and the number of values kept.

    Parameters
    ----------
    values, variance : ndarray, shape (n,)
        Values and their squared errors.
    clip : float
        Values farther off than this many sigma (errors and intrinsic scatter) are left out.

    Returns
    -------
    mean, error : float
        NaN without values.
    n : int
    """
    v, s2 = np.asarray(values, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    if not len(v):
        return np.nan, np.nan, 0
    mean = float(np.median(v))
    scatter = _robust_scatter(v - mean, s2)
    kept = np.zeros(len(v), dtype=bool)
    for _ in range(MAX_ROUNDS):
        within = np.abs(v - mean) <= clip * np.sqrt(s2 + scatter**2) + CONVERGED
        if np.array_equal(within, kept):
            break
        kept = within
        scatter = _explaining_scatter(v[kept] - mean, s2[kept], kept.sum() - 1, clip)
        weight = 1.0 / np.maximum(s2[kept] + scatter**2, CONVERGED**2)
        mean = float(np.sum(weight * v[kept]) / np.sum(weight))
    weight = 1.0 / np.maximum(s2[kept] + scatter**2, CONVERGED**2)
    return mean, float(1.0 / np.sqrt(np.sum(weight))), int(kept.sum())


def _check(color: Float64Array, min_star: int) -> None:
    if len(color) < max(min_star, 3):
        raise ValueError(f"{len(color)} stars are too few, {max(min_star, 3)} are needed")
    if np.ptp(color) < 1e-3:
        raise ValueError("all stars have one colour: there is no colour term to be found")


def _robust_start(x: Float64Array, y: Float64Array) -> tuple[float, float]:
    """Return the line of least absolute deviations, which a tenth of wild values hardly moves."""
    center = float(np.median(x))
    u = x - center
    slope, level = 0.0, float(np.median(y))
    for _ in range(30):
        weight = 1.0 / np.maximum(np.abs(y - level - slope * u), 1e-4)
        total, mean_u = weight.sum(), np.sum(weight * u) / weight.sum()
        mean_y = np.sum(weight * y) / total
        spread = np.sum(weight * (u - mean_u) ** 2)
        slope = float(np.sum(weight * (u - mean_u) * (y - mean_y)) / spread) if spread > 0 else 0.0
        level = float(mean_y - slope * mean_u)
    return level - slope * center, slope


def _robust_scatter(residual: Float64Array, variance: Float64Array) -> float:
    """Return what the errors leave unexplained of the median absolute residual."""
    total = GAUSSIAN_MAD * float(np.median(np.abs(residual - np.median(residual))))
    return float(np.sqrt(max(total**2 - float(np.median(variance)), 0.0)))


def _fit_kept(
    x: Float64Array,
    y: Float64Array,
    vx: Float64Array,
    vy: Float64Array,
    vxy: Float64Array,
    kept: BoolArray,
    clip: float,
    slope: float,
    scatter: float,
) -> LineFit:
    """Fit the stars kept: line and scatter in turn until neither moves."""
    x, y, vx, vy, vxy = (v[kept] for v in (x, y, vx, vy, vxy))
    for _ in range(MAX_ROUNDS):
        zeropoint, new_slope, errors = _york(x, y, vx, vy + scatter**2, vxy, slope)
        residual = y - zeropoint - new_slope * x
        variance = vy + new_slope**2 * vx - 2.0 * new_slope * vxy
        new_scatter = _explaining_scatter(residual, variance, len(x) - 2, clip)
        moved = max(abs(new_slope - slope), abs(new_scatter - scatter))
        slope, scatter = new_slope, new_scatter
        if moved < CONVERGED:
            break
    rms = float(np.sqrt(np.sum(residual**2) / max(len(x) - 2, 1)))
    return LineFit(zeropoint, errors[0], slope, errors[1], errors[2], scatter, rms, kept)


def _explaining_scatter(residual: Float64Array, variance: Float64Array, freedom: int, clip: float) -> float:
    """Return the scatter that makes chi-square what it is for a Gaussian cut at `clip` sigma; 0 if errors suffice."""
    wanted = max(freedom, 1) * _truncated_variance(clip)
    square, floor = residual**2, CONVERGED**2

    def excess(s2: float) -> float:
        return float(np.sum(square / (variance + s2 + floor))) - wanted

    if excess(0.0) <= 0.0:
        return 0.0
    top = float(np.sum(square)) / wanted + floor
    return float(np.sqrt(brentq(excess, 0.0, top * (1.0 + 1e-6), xtol=CONVERGED**2 * 1e-3, rtol=1e-12)))


def _truncated_variance(clip: float) -> float:
    """Return the variance of a unit Gaussian without what lies beyond `clip`."""
    return float(1.0 - 2.0 * clip * norm.pdf(clip) / (2.0 * norm.cdf(clip) - 1.0))


def _york(
    x: Float64Array, y: Float64Array, vx: Float64Array, vy: Float64Array, vxy: Float64Array, slope: float
) -> tuple[float, float, tuple[float, float, float]]:
    """Return intercept, slope, and (error of intercept, error of slope, covariance)."""
    for _ in range(MAX_YORK_STEPS):
        weight = 1.0 / np.maximum(vy + slope**2 * vx - 2.0 * slope * vxy, CONVERGED**2)
        mean_x, mean_y = np.sum(weight * x) / weight.sum(), np.sum(weight * y) / weight.sum()
        u, v = x - mean_x, y - mean_y
        beta = weight * (u * vy + slope * v * vx - (slope * u + v) * vxy)
        new = float(np.sum(weight * beta * v) / np.sum(weight * beta * u))
        moved, slope = abs(new - slope), new
        if moved < CONVERGED * 1e-2:
            break
    total = weight.sum()
    adjusted = mean_x + beta
    center = np.sum(weight * adjusted) / total
    slope_var = 1.0 / np.sum(weight * (adjusted - center) ** 2)
    intercept_var = 1.0 / total + center**2 * slope_var
    errors = float(np.sqrt(intercept_var)), float(np.sqrt(slope_var)), float(-center * slope_var)
    return float(mean_y - slope * mean_x), slope, errors
