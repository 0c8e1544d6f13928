"""The astrometric check of an image: offsets of its sources from a catalogue's positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.phot.trend import GAUSSIAN_MAD
from ztfdb.store.matches import Astrometry


@dataclass(frozen=True)
class AstrometrySettings:
    """Limits of the astrometric check.

    Attributes
    ----------
    min_snr : float
        Sources fainter than this many sigma (6 px aperture) do not count.
    clip : float
        Offsets beyond this many sigma are clipped.
    min_star : int
        With fewer stars the warning is 1.
    warn_offset, warn_rms : float
        arcsec; beyond it the warning is 1. ZTF's own astrometry is good to 0.05 to 0.1 arcsec.
    wrong_offset : float
        arcsec; beyond it the warning is 2.
    """

    min_snr: float = 10.0
    clip: float = 3.0
    min_star: int = 10
    warn_offset: float = 0.15
    warn_rms: float = 0.3
    wrong_offset: float = 0.5


def check_astrometry(
    east: FloatArray, north: FloatArray, usable: BoolArray, settings: AstrometrySettings | None = None
) -> Astrometry:
    """Summarise the offsets of an image's sources from their catalogue positions.

    Parameters
    ----------
    east, north : ndarray, shape (n,)
        Source minus catalogue, arcsec; east includes cos dec.
    usable : ndarray of bool, shape (n,)
        Clean and sufficiently bright sources.
    settings : AstrometrySettings, optional

    Returns
    -------
    Astrometry
        Median offsets, and rms about them, of the usable sources after clipping at `clip` times the scatter of either
        axis; NaN if too few sources remain.
    """
    chosen = settings or AstrometrySettings()
    x, y = east[usable], north[usable]
    keep = np.ones(len(x), dtype=bool)
    for _ in range(10):
        if not keep.any():
            break
        within = _within(x, x[keep], chosen.clip) & _within(y, y[keep], chosen.clip)
        if np.array_equal(within, keep):
            break
        keep = within
    n = int(np.count_nonzero(keep))
    (east_offset, east_rms), (north_offset, north_rms) = (_median_and_rms(v[keep]) for v in (x, y))
    warning = astrometric_warning(n, (east_offset, north_offset), max(east_rms, north_rms), chosen)
    return Astrometry(n, east_offset, north_offset, east_rms, north_rms, warning)


def astrometric_warning(n_star: int, offsets: tuple[float, float], rms: float, settings: AstrometrySettings) -> int:
    """Return the level of warning: 0 none, 1 look at it (few stars, offset or scatter large), 2 wrong."""
    if n_star < settings.min_star:
        return 1
    size = float(np.hypot(*offsets))
    if size > settings.wrong_offset:
        return 2
    return int(size > settings.warn_offset or rms > settings.warn_rms)


def _median_and_rms(values: FloatArray) -> tuple[float, float]:
    middle = float(np.median(values)) if len(values) else np.nan
    return middle, float(np.sqrt(np.mean((values - middle) ** 2))) if len(values) > 1 else np.nan


def _within(values: FloatArray, kept: FloatArray, clip: float) -> BoolArray:
    middle = np.median(kept)
    scatter = GAUSSIAN_MAD * np.median(np.abs(kept - middle))
    # equal offsets (a simulation without noise) have scatter 0: a tolerance of 1e-6 arcsec keeps them all
    return np.asarray(np.abs(values - middle) <= clip * scatter + 1e-6)
