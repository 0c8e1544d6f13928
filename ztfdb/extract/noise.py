"""Sky noise in apertures, measured at positions without sources.

The pixels of real images are correlated, so the scatter of the sky in an aperture exceeds the white-noise value
``rms · sqrt(area)``, increasingly for larger apertures. (In the smallest apertures it is below: most of their pixels
lie on the rim and count with a fraction, which enters the variance squared.) The ratio is measured per image.
"""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.aperture import aperture_sums
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import BIN, background_at, bin_any
from ztfdb.records import BackgroundMesh

CLIP_SIGMA = 5.0
CLIP_ROUNDS = 5

CLEARANCE = 2
"""Bins (of 4 px) that must be free around a position's own bin: the largest aperture reaches 7 px."""


def free_bins(occupied: BoolArray) -> BoolArray:
    """Return the bins in which an aperture of 14 px contains no occupied pixel.

    Parameters
    ----------
    occupied : ndarray of bool, shape (ny, nx)
        Pixels of sources and bad pixels.

    Returns
    -------
    ndarray of bool, shape (ny // 4, nx // 4)
        True if the bin and 2 bins on each side, all inside the image, are free.
    """
    taken = np.pad(bin_any(occupied), CLEARANCE, constant_values=True)
    ny, nx = taken.shape[0] - 2 * CLEARANCE, taken.shape[1] - 2 * CLEARANCE
    rows = np.zeros((ny, taken.shape[1]), dtype=bool)
    for j in range(2 * CLEARANCE + 1):
        rows |= taken[j : j + ny]
    near = np.zeros((ny, nx), dtype=bool)
    for i in range(2 * CLEARANCE + 1):
        near |= rows[:, i : i + nx]
    return ~near


def blank_positions(free: BoolArray, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw positions in free bins, at most one per bin.

    Parameters
    ----------
    free : ndarray of bool, shape (ny // 4, nx // 4)
        `free_bins`.
    n : int
        Requested number; fewer are returned if there are fewer free bins.
    rng : numpy.random.Generator

    Returns
    -------
    x, y : ndarray of float64
        Positions, zero-based pixels, anywhere in their bins.
    """
    candidates: IntArray = np.flatnonzero(free)
    chosen = np.sort(rng.choice(candidates, size=min(n, len(candidates)), replace=False))
    row, column = np.divmod(chosen, free.shape[1])
    shift = rng.uniform(-0.5, BIN - 0.5, size=(2, len(chosen)))
    return column * BIN + shift[0], row * BIN + shift[1]


def sky_noise_ratios(
    data: FloatArray, mesh: BackgroundMesh, free: BoolArray, settings: ExtractionSettings
) -> FloatArray:
    """Measure the scatter of the sky in the 6 apertures relative to white noise.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    mesh : BackgroundMesh
        The background, for the pixel rms.
    free : ndarray of bool, shape (ny // 4, nx // 4)
        `free_bins`.
    settings : ExtractionSettings
        Number of apertures, its minimum, and the seed (the same image gives the same ratios).

    Returns
    -------
    ndarray of float64, shape (6,)
        Standard deviation of sum / (rms · sqrt(area)), clipped at 5 sigma. NaN, which errors treat as 1, with fewer
        free places than ``sky_apertures_minimum``.
    """
    x, y = blank_positions(free, settings.sky_apertures, np.random.default_rng(settings.sky_seed))
    if len(x) < settings.sky_apertures_minimum:
        return np.full(len(APERTURE_DIAMETERS), np.nan)
    sums = aperture_sums(data, x, y)
    rms = background_at(mesh, x, y)[1]
    pulls = sums.flux / (np.maximum(rms, 1e-20) * np.sqrt(sums.area))
    return _clipped_std(pulls)


def _clipped_std(values: FloatArray) -> FloatArray:
    """Return the standard deviation of each row after clipping at CLIP_SIGMA from its mean.

    The clipping limit is wide, because faint undetected sources are part of the sky noise; the halos of bright stars
    are not.
    """
    centre = np.median(values, axis=1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(values - centre), axis=1, keepdims=True)
    for _ in range(CLIP_ROUNDS):
        kept = np.where(np.abs(values - centre) <= CLIP_SIGMA * spread, values, np.nan)
        centre = np.nanmean(kept, axis=1, keepdims=True)
        spread = np.nanstd(kept, axis=1, keepdims=True)
    return np.asarray(spread[:, 0])
