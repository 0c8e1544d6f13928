"""Zero points: PSF zero point to aperture zero point, and the colour term.

``MAGZP`` turns PSF-fit fluxes of an image (DN, not divided by the exposure time) into AB magnitudes tied to PS1. An
aperture's own zero point adds ``APCORn`` = PSF magnitude − aperture magnitude, which holds for point sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array
from ztfdb.records import APERTURE_DIAMETERS

COLOURS = {1: "g - r", 2: "g - r", 3: "r - i"}
"""The PS1 colour of CLRCOEFF by filter id (header PCOLOR, which writes r as R)."""


def aperture_zeropoint(magzp: ArrayLike, apcor: ArrayLike | None) -> Float64Array:
    """Return the zero point of an aperture.

    Parameters
    ----------
    magzp : float or array_like
        PSF zero point of the image (MAGZP), AB mag.
    apcor : float or array_like or None
        Aperture correction (APCORn), mag; None, or NaN, where the header has none.

    Returns
    -------
    ndarray
        AB mag of 1 DN in the aperture; NaN without an aperture correction: a magnitude off by an unknown amount is
        worse than none.
    """
    correction = np.array(np.nan) if apcor is None else np.asarray(apcor, dtype=np.float64)
    return np.asarray(np.asarray(magzp, dtype=np.float64) + correction)


def aperture_number(diameter: float) -> int:
    """Return the number 1..6 of one of ZTF's apertures by its diameter in pixels.

    Raises
    ------
    ValueError
        If no aperture has this diameter.
    """
    if diameter not in APERTURE_DIAMETERS:
        wanted = ", ".join(f"{d:g}" for d in APERTURE_DIAMETERS)
        raise ValueError(f"no aperture of diameter {diameter} pixels, only {wanted}")
    return APERTURE_DIAMETERS.index(diameter) + 1


def colour_term(clrcoeff: ArrayLike | None, colour: ArrayLike) -> Float64Array:
    """Return what the colour of a source adds to its magnitude.

    Parameters
    ----------
    clrcoeff : float or array_like or None
        Colour coefficient of the image (CLRCOEFF); None where the header has none.
    colour : float or array_like
        PS1 colour of the source, mag: g − r for zg and zr, r − i for zi.

    Returns
    -------
    ndarray
        mag, to be added; NaN without coefficient or colour.

    References
    ----------
    ``m_PS1 = m_inst + MAGZP + CLRCOEFF * colour``: Masci et al. 2019, PASP 131, 018003, section 3.5.
    """
    coefficient = np.array(np.nan) if clrcoeff is None else np.asarray(clrcoeff, dtype=np.float64)
    return np.asarray(coefficient * np.asarray(colour, dtype=np.float64))


def calibration_error(
    magzpunc: ArrayLike, clrcounc: ArrayLike, covariance: ArrayLike, colour: ArrayLike
) -> Float64Array:
    """Return the formal error of a calibrated magnitude, the source's own left out.

    Parameters
    ----------
    magzpunc, clrcounc : float or array_like
        Errors of MAGZP and CLRCOEFF, mag.
    covariance : float or array_like
        Their covariance (ZPCLRCOV), mag².
    colour : float or array_like
        PS1 colour, mag.

    Returns
    -------
    ndarray
        mag; NaN where anything is NaN, or where the covariance makes the variance negative.
    """
    zp, slope, cov, c = (np.asarray(v, dtype=np.float64) for v in (magzpunc, clrcounc, covariance, colour))
    variance = zp**2 + (c * slope) ** 2 + 2.0 * c * cov
    return np.asarray(np.sqrt(np.where(variance >= 0.0, variance, np.nan)))
