"""Light of sources in the sky of small images, which leave no room for a background.

In a cutout of 28 to 60 px around a bright star no bin is free of the star, and the level is that of its wings. The
star hardly notices, but what is faint in the same cutout comes out too faint by several sigma.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.bits import NO_CAVEAT, Caveat, SourceFlag
from ztfdb.extract.aperture import MASK_APERTURE
from ztfdb.frame.background import BIN
from ztfdb.records import APERTURE_DIAMETERS, BackgroundMesh, SourceTable

WING = 1.5e-3
"""Share of a source's 14 px flux, times r² in px, that its wings add to a level taken among them, DN per px. Of 300
stars of a real quadrant, cut out with 28 to 71 px, the level was off by 0.4 to 1.4e-3."""

CORE = 6.0
"""Nearer to a source than this many pixels its light counts as at this distance: the level is no mean but a mode."""

AREA = np.pi * (APERTURE_DIAMETERS[MASK_APERTURE] / 2) ** 2
"""Of the 6 px aperture, px²."""


def light_in_sky(mesh: BackgroundMesh, x: FloatArray, y: FloatArray, flux: FloatArray) -> float:
    """Estimate the light of the sources that the background of an image holds.

    Parameters
    ----------
    mesh : BackgroundMesh
    x, y : ndarray, shape (n,)
        Sources, zero-based pixels.
    flux : ndarray, shape (n,)
        Their 14 px flux, DN; NaN counts as nothing.

    Returns
    -------
    float
        DN per pixel; 0 where the background was measured between the sources, or has more than one box, whose
        neighbours help.
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
    """Flag the sources whose 6 px flux the light in the sky makes wrong by more than its error.

    Parameters
    ----------
    mesh : BackgroundMesh
    sources : SourceTable
        Measured on it.
    noise_ratio : float
        Sky-noise ratio of the 6 px aperture; NaN counts as 1.

    Returns
    -------
    sources : SourceTable
    caveat : Caveat
        `Caveat.SKY_BIASED` where a position without a source would be wrong by more than its error.
    """
    stolen = AREA * light_in_sky(mesh, sources.x, sources.y, sources.flux_aper[-1])
    if not stolen:
        return sources, NO_CAVEAT
    flags = sources.flags.copy()
    flags[stolen > sources.flux_aper_err[MASK_APERTURE]] |= np.int32(SourceFlag.SKY_BIASED)
    ratio = noise_ratio if np.isfinite(noise_ratio) else 1.0
    blank = ratio * float(np.median(mesh.rms)) * np.sqrt(AREA)
    return replace(sources, flags=flags), Caveat.SKY_BIASED if stolen > blank else NO_CAVEAT
