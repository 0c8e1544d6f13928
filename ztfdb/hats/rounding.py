"""How finely computed columns are written: the bits far below their errors are noise that no compressor makes smaller.

What the archive holds is written exactly, and these columns follow from it. A value becomes a multiple of the largest
power of two that is at most 1 / `LEVELS` of its error. It is off by half of that at most, and its variance grows by
1 / (12 `LEVELS`²), 0.008 %, at most. FITS tile compression of images leaves 4 levels in a sigma by default.

References
----------
Pence, White & Seaman 2010, PASP 122, 1065: noise of quantised values.
"""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import AnyColumns, BoolArray, Float32Array, FloatArray

LEVELS = 32
"""Steps in one error, at least; at most twice as many."""

MAG_STEP = 2.0**-6
"""mag. No magnitude is rounded to a coarser step, however large its error."""

ERROR_BITS = 7
"""Bits of an error's mantissa behind the first: an error is off by 1/256 of itself at most."""

DAY_STEP = 2.0**-22
"""d (0.02 s), of heliocentric dates: as fine as the seven decimals of IRSA's; ZTF's shutter takes 0.4 s to open."""


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
    """Round values to multiples of the largest power of two that is at most 1 / `LEVELS` of their errors.

    Parameters
    ----------
    values, err : ndarray, shape (n,)
        Where an error is not a positive number, its value stays as it is.
    coarsest : float
        Largest step, a power of two.
    """
    return _rounded(values, np.minimum(_power(err) / LEVELS, coarsest), err > 0.0)


def to_bits(err: FloatArray) -> FloatArray:
    """Round errors to `ERROR_BITS` bits behind the first one of the mantissa."""
    return _rounded(err, _power(err) / (1 << ERROR_BITS), np.True_)


def _rounded(values: FloatArray, step: FloatArray, where: BoolArray | np.bool_) -> FloatArray:
    known = where & (step > 0.0) & (step < np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, np.rint(values / step) * step, values)


def _power(err: FloatArray) -> FloatArray:
    """Return the largest power of two that is at most `err`, from its exponent; inf where it is none."""
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
"""What the description of a rounded column says of it."""
