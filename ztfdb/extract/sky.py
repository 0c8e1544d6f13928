"""Light of sources in the background of small images, which have no free area for a background.

In a cutout of 28 to 60 px around a bright star no bin is free of the star, and the background level is that of its
wings. This hardly affects the star, but faint sources in the same cutout come out too faint by several sigma.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.bits import NO_CAVEAT, Caveat, SourceFlag
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.aperture import MASK_APERTURE
from ztfdb.frame.background import BIN
from ztfdb.records import BackgroundMesh, SourceTable

WING = 1.5e-3
"""Level added by a source's wings at distance r, in units of its 14 px flux over r² (px), DN per px. For 300 stars of a
real quadrant in cutouts of 28 to 71 px, the level was off by 0.4 to 1.4e-3."""

CORE = 6.0
"""At smaller distances than this, pixels, the light counts as at this distance: the level is a mode, not a mean."""

AREA = np.pi * (APERTURE_DIAMETERS[MASK_APERTURE] / 2) ** 2
"""Area of the 6 px aperture, px²."""


def light_in_sky(mesh: BackgroundMesh, x: FloatArray, y: FloatArray, flux: FloatArray) -> float:
    """Estimate the light of the sources in the background of an image.

    Parameters
    ----------
    mesh : BackgroundMesh
    x, y : ndarray, shape (n,)
        Sources, zero-based pixels.
    flux : ndarray, shape (n,)
        Their 14 px flux, DN; NaN counts as 0.

    Returns
    -------
    float
        DN per pixel; 0 if the background was measured between the sources, or has more than one box, because
        neighbouring boxes help.
    """
    if not mesh.with_sources or mesh.level.size > 1 or not len(x):
        return 0.0
    row, column = (np.arange(n // BIN) * BIN + (BIN - 1) / 2 for n in mesh.shape)
    light = np.nan_to_num(np.maximum(flux, 0.0))
    total = 0.0
    for one, at_x, at_y in zip(light.tolist(), x.tolist(), y.tolist(), strict=True):
        distance2 = (row[:, None] - at_y) ** 2 + (column - at_x) ** 2
        total += one * float(np.mean(1.0 / np.maximum(distance2, CORE**2)))
    return WING * total


def judge_sky(mesh: BackgroundMesh, sources: SourceTable, noise_ratio: float) -> tuple[SourceTable, Caveat]:
    """Flag the sources whose 6 px flux is off by more than its error because of the light in the sky.

    Parameters
    ----------
    mesh : BackgroundMesh
    sources : SourceTable
        Sources measured with this background.
    noise_ratio : float
        Sky-noise ratio of the 6 px aperture; NaN counts as 1.

    Returns
    -------
    sources : SourceTable
    caveat : Caveat
        `Caveat.SKY_BIASED` if the flux at a position without a source would be off by more than its error.
    """
    stolen = AREA * light_in_sky(mesh, sources.x, sources.y, sources.flux_aper[-1])
    if not stolen:
        return sources, NO_CAVEAT
    flags = sources.flags.copy()
    flags[stolen > sources.flux_aper_err[MASK_APERTURE]] |= np.int32(SourceFlag.SKY_BIASED)
    ratio = noise_ratio if np.isfinite(noise_ratio) else 1.0
    blank = ratio * float(np.median(mesh.rms)) * np.sqrt(AREA)
    return replace(sources, flags=flags), Caveat.SKY_BIASED if stolen > blank else NO_CAVEAT
