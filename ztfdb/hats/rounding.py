"""Rounding of computed columns: bits far below the error are noise and do not compress.

Stored values are written exactly; these columns are computed from them. A value is rounded to a multiple of the largest
power of 2 that is at most 1 / `LEVELS` of its error. The rounding error is at most half of this step, and the variance
grows by at most 1 / (12 `LEVELS`²), 0.008 %. For comparison, FITS tile compression of images has 4 steps per sigma by
default.

References
----------
Pence, White & Seaman 2010, PASP 122, 1065: noise of quantised values.
"""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import AnyColumns, BoolArray, Float32Array, FloatArray

LEVELS = 32
"""Minimum number of steps per error; at most twice as many."""

MAG_STEP = 2.0**-6
"""Maximum step of magnitudes, mag, for any error."""

ERROR_BITS = 7
"""Bits of an error's mantissa after the first one: an error is off by at most 1/256 of itself."""

DAY_STEP = 2.0**-22
"""Step of heliocentric dates, d (0.02 s): comparable to IRSA's 7 decimals; ZTF's shutter takes 0.4 s to open."""


def rounded(columns: AnyColumns) -> dict[str, Float32Array]:
    """Return calibrated columns in single precision, rounded.

    Parameters
    ----------
    columns : mapping of str to ndarray
        ``mag`` with ``magerr``, ``flux_ujy`` with ``flux_ujy_err``, or one of both pairs.
    """
    found: dict[str, FloatArray] = {}
    if "mag" in columns:
        found["mag"] = to_levels(columns["mag"], columns["magerr"], coarsest=MAG_STEP)
        found["magerr"] = to_bits(columns["magerr"])
    found["flux_ujy"] = to_levels(columns["flux_ujy"], columns["flux_ujy_err"])
    found["flux_ujy_err"] = to_bits(columns["flux_ujy_err"])
    return {name: values.astype(np.float32) for name, values in found.items()}


def to_levels(values: FloatArray, err: FloatArray, coarsest: float = np.inf) -> FloatArray:
    """Round values to multiples of the largest power of 2 that is at most 1 / `LEVELS` of their errors.

    Parameters
    ----------
    values, err : ndarray, shape (n,)
        Values whose error is not a positive number are not rounded.
    coarsest : float
        Largest step, a power of 2.
    """
    return _rounded(values, np.minimum(_power(err) / LEVELS, coarsest), err > 0.0)


def to_bits(err: FloatArray) -> FloatArray:
    """Round errors to `ERROR_BITS` bits after the first one of the mantissa."""
    return _rounded(err, _power(err) / (1 << ERROR_BITS), np.True_)


def _rounded(values: FloatArray, step: FloatArray, where: BoolArray | np.bool_) -> FloatArray:
    known = where & (step > 0.0) & (step < np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, np.rint(values / step) * step, values)


def _power(err: FloatArray) -> FloatArray:
    """Return the largest power of 2 that is at most `err`, from its exponent; inf if `err` is not a positive number."""
    bits = np.ascontiguousarray(err, np.float64).view(np.int64) & (0x7FF << 52)
    return bits.view(np.float64)


def to_days(hjd: FloatArray) -> FloatArray:
    """Round heliocentric dates (d) to multiples of `DAY_STEP`."""
    return np.asarray(np.rint(hjd / DAY_STEP) * DAY_STEP)


NOTES: dict[str, str] = {
    "mag": f"Rounded: off by at most 1/{2 * LEVELS} of magerr and {MAG_STEP / 2:g} mag.",
    "magerr": f"Rounded: off by at most 1/{1 << (ERROR_BITS + 1)} of itself.",
    "flux_ujy": f"Rounded: off by at most 1/{2 * LEVELS} of flux_ujy_err.",
    "flux_ujy_err": f"Rounded: off by at most 1/{1 << (ERROR_BITS + 1)} of itself.",
    "hjd": f"Rounded: off by at most {DAY_STEP / 2 * 86400:.2g} s.",
}
"""Note in the description of a rounded column."""
