"""Zero points: from that of the PSF to that of an aperture, and the correction for the colour of a source.

``MAGZP`` turns PSF-fit fluxes of an image (DN, not divided by the exposure time) into AB magnitudes tied to PS1. An
aperture's own zero point adds ``APCORn`` = PSF magnitude − aperture magnitude, which holds for point sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array


def aperture_zeropoint(magzp: ArrayLike | None, apcor: ArrayLike | None) -> Float64Array:
    """Return the zero point of an aperture.

    Parameters
    ----------
    magzp : float or array_like or None
        PSF zero point of the image (MAGZP), AB mag; None or NaN if the header has none.
    apcor : float or array_like or None
        Aperture correction (APCORn), mag; None or NaN if the header has none.

    Returns
    -------
    ndarray
        AB mag of 1 DN in the aperture; NaN without an aperture correction, because a magnitude with an unknown offset
        is worse than none.
    """
    zeropoint, correction = (np.asarray(np.nan if v is None else v, dtype=np.float64) for v in (magzp, apcor))
    return np.asarray(zeropoint + correction)


def color_correction(coefficient: ArrayLike | None, color: ArrayLike | None) -> Float64Array:
    """Return the correction of a magnitude for the colour of the source.

    Parameters
    ----------
    coefficient : float or array_like or None
        Colour term of the calibration, such as CLRCOEFF of the header, mag per mag; None if there is none.
    color : float or array_like or None
        PS1 colour of the source, mag: g − r for zg and zr, r − i for zi (header PCOLOR, which writes r as R). None
        for the magnitude at colour 0.

    Returns
    -------
    ndarray
        mag, to be added; NaN without a coefficient, 0 without a colour.

    References
    ----------
    ``m_PS1 = m_inst + MAGZP + CLRCOEFF * colour``: Masci et al. 2019, PASP 131, 018003, section 3.5.
    """
    if color is None:
        return np.zeros(())
    slope = np.asarray(np.nan if coefficient is None else coefficient, dtype=np.float64)
    return np.asarray(slope * np.asarray(color, dtype=np.float64))
