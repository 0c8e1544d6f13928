"""Convert between counts on the detector, AB magnitudes and microjanskys.

All functions take whole columns, propagate NaN and never warn; a value without a magnitude is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array

POGSON = 2.5 / np.log(10.0)
"""Magnitudes per e-fold of flux."""

MICROJANSKY_MAG = 23.9
"""AB magnitude of 1 µJy: 2.5 log10(10^29) - 48.60."""

AB_MICROJANSKY = 10.0 ** (0.4 * MICROJANSKY_MAG)
"""Flux density of AB magnitude 0, µJy: mag = -2.5 log10(f / erg s⁻¹ cm⁻² Hz⁻¹) - 48.60 (3630.78 Jy; Oke & Gunn 1983,
ApJ 266, 713), as in astropy and in the views; the usual 3631 Jy is 0.006 % more."""


def flux_to_mag(flux: ArrayLike, flux_err: ArrayLike, zeropoint: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Convert aperture fluxes to calibrated magnitudes.

    Parameters
    ----------
    flux, flux_err : array_like, shape (n_source,)
        Background-subtracted aperture flux and its one-sigma error, DN.
    zeropoint : float or array_like, shape (n_source,)
        AB mag of a 1 DN source in this aperture: ``MAGZP`` plus its ``APCORn``; NaN where the header has none.

    Returns
    -------
    mag, mag_err : ndarray, shape (n_source,)
        AB mag and first-order one-sigma error, without the zero-point error; both NaN where ``flux <= 0`` or any input
        is NaN.

    Raises
    ------
    ValueError
        If `flux` and `flux_err` differ in shape.

    References
    ----------
    Masci et al. 2019, PASP 131, 018003.
    """
    flux, flux_err = _same_shape(flux, flux_err)
    positive = np.where(flux > 0.0, flux, np.nan)
    offset = np.asarray(zeropoint, dtype=np.float64)
    return offset - POGSON * np.log(positive), np.asarray(POGSON * flux_err / positive + 0.0 * offset)


def mag_to_flux(mag: ArrayLike, mag_err: ArrayLike, zeropoint: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Convert magnitudes to fluxes; the inverse of `flux_to_mag`.

    Parameters
    ----------
    mag, mag_err : array_like, shape (n,)
        AB mag and its one-sigma error.
    zeropoint : float or array_like, shape (n,)
        AB mag of a 1 DN source.

    Returns
    -------
    flux, flux_err : ndarray, shape (n,)
        DN; NaN where any input is NaN.

    Raises
    ------
    ValueError
        If `mag` and `mag_err` differ in shape.
    """
    mag, mag_err = _same_shape(mag, mag_err)
    flux = 10.0 ** (0.4 * (np.asarray(zeropoint, dtype=np.float64) - mag))
    return np.asarray(flux), np.asarray(flux * mag_err / POGSON)


def flux_to_microjansky(flux: ArrayLike, zeropoint: ArrayLike) -> Float64Array:
    """Convert fluxes, or flux errors, to flux densities.

    Parameters
    ----------
    flux : array_like, shape (n,)
        Flux or its error, DN; may be negative.
    zeropoint : float or array_like, shape (n,)
        AB mag of a 1 DN source in this aperture; NaN where the header has none.

    Returns
    -------
    ndarray, shape (n,)
        Flux density, µJy on the AB system; NaN where any input is NaN.
    """
    return np.asarray(np.asarray(flux, dtype=np.float64) * microjansky_per_dn(zeropoint))


def microjansky_per_dn(zeropoint: ArrayLike) -> Float64Array:
    """Return the flux density (µJy) of 1 DN at a zero point (AB mag)."""
    return np.asarray(AB_MICROJANSKY * 10.0 ** (-0.4 * np.asarray(zeropoint, dtype=np.float64)))


def microjansky_to_mag(flux: ArrayLike) -> Float64Array:
    """Return the AB magnitude of a flux density (µJy); NaN where it is not positive."""
    flux = np.asarray(flux, dtype=np.float64)
    return np.asarray(-POGSON * np.log(np.where(flux > 0.0, flux, np.nan) / AB_MICROJANSKY))


def total_mag_err(mag_err: ArrayLike, floor: ArrayLike) -> Float64Array:
    """Add a systematic floor to statistical errors in quadrature.

    Parameters
    ----------
    mag_err : array_like
        Statistical one-sigma error, mag.
    floor : float or array_like
        Systematic error, mag, not negative.

    Returns
    -------
    ndarray
        Total error, mag; NaN where `mag_err` is NaN.

    Raises
    ------
    ValueError
        If `floor` is negative.
    """
    if (np.asarray(floor) < 0.0).any():
        raise ValueError(f"a systematic error cannot be negative: {floor!r}")
    return np.asarray(np.hypot(np.asarray(mag_err, dtype=np.float64), floor))


def _same_shape(value: ArrayLike, error: ArrayLike) -> tuple[Float64Array, Float64Array]:
    value, error = np.asarray(value, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if value.shape != error.shape:
        raise ValueError(f"values {value.shape} and their errors {error.shape} differ in shape")
    return value, error
