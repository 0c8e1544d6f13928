"""Statistics of many light curves at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray

POINT = np.dtype([("mjd", "<f8"), ("mag", "<f4"), ("mag_err", "<f4")])
"""One detection of a packed curve."""

STETSON_PAIR_DAYS = 0.02
"""Detections less than 0.02 d (29 min) apart are a pair in Stetson's J."""

STATISTICS = (
    "n", "first_mjd", "last_mjd", "min_mag", "max_mag", "median_mag", "mean_mag", "mean_mag_err", "scatter", "chi2",
    "stetson_j", "eta",
)  # fmt: skip


def statistics(points: NDArray[Any], start: IntArray) -> Columns:
    """Return the statistics of concatenated light curves.

    Parameters
    ----------
    points : ndarray of `POINT`, shape (n_point,)
        Each curve in order of time; errors are total ones and positive.
    start : ndarray of int64, shape (n_curve,)
        Where each curve begins, ascending from 0; no curve is empty.

    Returns
    -------
    dict of ndarray, each of shape (n_curve,)
        `STATISTICS`; times in days, magnitudes in mag, the others pure numbers. NaN where a curve has too few points:
        ``scatter``, ``chi2`` and ``stetson_j`` need 2, ``eta`` needs 2 of different magnitude.

    References
    ----------
    Stetson 1996, PASP 108, 851 (J, all pairs and single points with weight 1, about the weighted mean); von Neumann
    1941, Ann. Math. Stat. 12, 367 (eta).
    """
    count = np.diff(start, append=len(points))
    mjd, mag = points["mjd"], points["mag"].astype(np.float64)
    error = points["mag_err"].astype(np.float64)
    if not len(start):
        return {name: np.empty(0, np.int64 if name == "n" else np.float64) for name in STATISTICS}
    weight = error**-2
    total = np.add.reduceat(weight, start)
    mean = np.add.reduceat(weight * mag, start) / total
    residual = (mag - np.repeat(mean, count)) / error
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(count > 1, count - 1.0, np.nan)
        plain = mag - np.repeat(np.add.reduceat(mag, start) / count, count)
        variance = np.add.reduceat(plain**2, start) / freedom
        step = np.diff(mag, prepend=mag[0])
        step[start] = 0.0
        eta = np.add.reduceat(step**2, start) / freedom / variance
    return {
        "n": count,
        "first_mjd": mjd[start],
        "last_mjd": mjd[start + count - 1],
        "min_mag": np.minimum.reduceat(mag, start),
        "max_mag": np.maximum.reduceat(mag, start),
        "median_mag": medians(points["mag"], start, count),
        "mean_mag": mean,
        "mean_mag_err": total**-0.5,
        "scatter": np.sqrt(variance),
        "chi2": np.add.reduceat(residual**2, start) / freedom,
        "stetson_j": _stetson_j(residual * np.repeat(np.sqrt(count / freedom), count), mjd, start, count),
        "eta": np.where(variance > 0.0, eta, np.nan),
    }


def medians(values: NDArray[np.float32], start: IntArray, count: IntArray) -> FloatArray:
    """Return the median of each run of values.

    One sort of integers does it: the high bits are the run, the low bits the value in an order-preserving encoding.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    keys = np.sort(np.repeat(np.arange(len(start), dtype=np.uint64), count) << np.uint64(32) | ordered)
    low = keys.astype(np.uint32)
    sorted_values = np.where(low >> 31, low ^ np.uint32(1 << 31), ~low).view(np.float32).astype(np.float64)
    return np.asarray(0.5 * (sorted_values[start + (count - 1) // 2] + sorted_values[start + count // 2]))


def _stetson_j(residual: FloatArray, mjd: FloatArray, start: IntArray, count: IntArray) -> FloatArray:
    """Return Stetson's J of residuals scaled by sqrt(n / (n - 1)) and divided by their errors."""
    single, first = _pairs(mjd, start)
    product = np.where(single, residual**2 - 1.0, residual * np.append(residual[1:], 0.0))
    counts = single | first
    value = np.where(counts, np.sign(product) * np.sqrt(np.abs(product)), 0.0)
    mean = np.add.reduceat(value, start) / np.add.reduceat(counts.astype(np.float64), start)
    return np.where(count > 1, mean, np.nan)


def _pairs(mjd: FloatArray, start: IntArray) -> tuple[BoolArray, BoolArray]:
    """Return which points are single and which are the first of a pair; a long run is split into pairs."""
    gap = np.diff(mjd, prepend=-np.inf) > STETSON_PAIR_DAYS
    gap[start] = True
    run = np.flatnonzero(gap)
    odd = (np.arange(len(mjd)) - np.repeat(run, np.diff(run, append=len(mjd)))) % 2 == 1
    first = np.append(odd[1:], False)
    return ~odd & ~first, first
