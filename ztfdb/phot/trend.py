"""Trends of values with other quantities: a robust linear fit with errors from the residuals themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, Float64Array, FloatArray
from ztfdb.phot.calibration import CLIP

GAUSSIAN_MAD = 1.4826
"""Ratio of the standard deviation of a Gaussian to its median absolute deviation."""

MAX_ROUNDS = 50
LARGEST_CONDITION = 1e4
"""Terms (scaled to unit length) that are more alike than this cannot be separated."""


@dataclass(frozen=True)
class TrendFit:
    """A linear combination of terms.

    Attributes
    ----------
    coefficients, errors : ndarray, shape (n_term,)
        With one-sigma errors.
    residual : ndarray, shape (n,)
        Values minus fit, for all values.
    scatter : float
        Robust standard deviation of the kept residuals.
    kept : ndarray of bool, shape (n,)
        Values that were not clipped.
    """

    coefficients: Float64Array
    errors: Float64Array
    residual: Float64Array
    scatter: float
    kept: BoolArray


def fit_trend(values: FloatArray, terms: FloatArray, variance: FloatArray, *, clip: float = CLIP) -> TrendFit:
    """Fit values with a linear combination of terms, leaving out outliers.

    Parameters
    ----------
    values : ndarray, shape (n,)
    terms : ndarray, shape (n, n_term)
    variance : ndarray, shape (n,)
        Squared errors, up to a factor: they weigh the values and scale the limit of outliers.
    clip : float
        Values off by more than this many robust sigma are left out.

    Returns
    -------
    TrendFit
        The errors hold for any true variances (White's, with the jackknife correction for few values).

    Raises
    ------
    ValueError
        If there are no more values than terms, or terms cannot be separated.

    References
    ----------
    MacKinnon & White 1985, Journal of Econometrics 29, 305, the estimator HC3.
    """
    y, design, var = (np.asarray(v, dtype=np.float64) for v in (values, terms, variance))
    kept = np.ones(len(y), dtype=bool)
    found = _least_deviations(y, design, var)
    for _ in range(MAX_ROUNDS):
        residual = y - design @ found
        ratio = np.abs(residual) / np.sqrt(var)
        within = ratio <= clip * GAUSSIAN_MAD * float(np.median(ratio[kept])) + 1e-9
        if np.array_equal(within, kept):
            break
        kept = within
        found = _solve(y[kept], design[kept], 1.0 / var[kept])
    found = _solve(y[kept], design[kept], 1.0 / var[kept])
    residual = y - design @ found
    errors = _errors(residual[kept], design[kept], 1.0 / var[kept])
    return TrendFit(found, errors, residual, robust_scatter(residual[kept]), kept)


def robust_scatter(values: FloatArray) -> float:
    """Return the standard deviation of a Gaussian with the median absolute deviation of the values."""
    return GAUSSIAN_MAD * float(np.median(np.abs(values - np.median(values))))


def _solve(y: Float64Array, design: Float64Array, weight: Float64Array) -> Float64Array:
    """Return the weighted least-squares solution, by the normal equations of terms of unit length."""
    n, n_term = design.shape
    if n <= n_term:
        raise ValueError(f"{n} values are too few for {n_term} terms")
    weighted = (design * weight[:, None]).T
    normal = weighted @ design
    length = np.sqrt(np.diag(normal))
    if not (length > 0.0).all() or np.linalg.cond(normal / np.outer(length, length)) > LARGEST_CONDITION**2:
        raise ValueError("the terms cannot be separated")
    return np.asarray(np.linalg.solve(normal / np.outer(length, length), weighted @ y / length) / length)


def _least_deviations(y: Float64Array, design: Float64Array, var: Float64Array) -> Float64Array:
    """Return the fit of least absolute deviations, which 10 % of wild values hardly change."""
    found = _solve(y, design, 1.0 / var)
    for _ in range(20):
        off = np.abs(y - design @ found)
        found = _solve(y, design, 1.0 / np.sqrt(var) / np.maximum(off, 1e-4))
    return found


def _errors(residual: Float64Array, design: Float64Array, weight: Float64Array) -> Float64Array:
    inverse = np.linalg.inv(design.T @ (design * weight[:, None]))
    leverage = weight * np.einsum("ij,jk,ik->i", design, inverse, design)
    own = weight * residual / np.maximum(1.0 - leverage, 1e-6)
    middle = (design * own[:, None]).T @ (design * own[:, None])
    return np.asarray(np.sqrt(np.diag(inverse @ middle @ inverse)))
