"""Paint artificial stars with the exposure's own PSF file, else with a profile from the image's stars."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.optimize import least_squares

from ztfdb.arrays import FloatArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.dao.model import PsfModel
from ztfdb.dao.psffile import read_psf
from ztfdb.errors import PsfFileError
from ztfdb.extract.revisit import psf_path
from ztfdb.simulate.profile import Profile, paint_stars

_FWHM, _BETA = np.arange(1.0, 4.1, 0.2), np.array([2.5, 3.0, 3.5, 4.0, 4.5])
"""Grid of profiles for the interpolation of aperture fractions; outside it a sum of Gaussians is not a Moffat."""

Paint = Callable[[tuple[int, int], FloatArray, FloatArray, FloatArray], FloatArray]
"""Paints stars of total flux (DN) at pixels of an empty image."""


def painter(path: str, window: tuple[int, int], growth: FloatArray, apcor: float) -> tuple[str, Paint, float]:
    """Return the function that paints the stars of an image.

    Parameters
    ----------
    path : str
        Path of the image; its ``sciimgdao.psf`` is expected beside it.
    window : tuple of int
        The image's first pixel on its whole quadrant.
    growth : ndarray, shape (n_star, 6)
        Fluxes of clean bright stars in ZTF's 6 apertures, for an image without such a file.
    apcor : float
        APCOR of the 6 px aperture, mag; NaN if the header has none.

    Returns
    -------
    kind : str
        ``dao`` or ``moffat``.
    paint : callable
    share : float
        Fraction of a star's light in the 6 px aperture.

    Raises
    ------
    ImageError
        If the PSF file is unusable.
    ValueError
        If there is neither a file nor a star.
    """
    try:
        file = psf_path(path)
    except PsfFileError:  # a name that is not ZTF's
        file = ""
    if file and Path(file).is_file():
        return "dao", *_dao_painter(read_psf(file), window)
    profile = own_profile(growth)
    share = profile.aperture_share(APERTURE_DIAMETERS[3] / 2.0)
    # the stars hardly constrain the wings, so the fraction of light in the aperture comes from the header
    stated = 10.0 ** (0.4 * apcor) if np.isfinite(apcor) else share

    def paint(shape: tuple[int, int], x: FloatArray, y: FloatArray, flux: FloatArray) -> FloatArray:
        return paint_stars(shape, x, y, flux * stated / share, profile, limit=0.02)

    return "moffat", paint, stated


def own_profile(growth: FloatArray) -> Profile:
    """Return the Moffat profile that fits the growth curve of an image's own stars.

    Parameters
    ----------
    growth : ndarray, shape (n_star, 6)
        Fluxes in ZTF's six apertures.

    Raises
    ------
    ValueError
        If there are no stars.
    """
    if not len(growth):
        raise ValueError("there is no PSF file, and no clean bright star to derive the PSF from")
    wanted = np.median(growth[:, :4] / growth[:, 4:5], axis=0)
    shares = _shares()

    def off(values: FloatArray) -> FloatArray:
        there = np.array([share(values[0], values[1], grid=False) for share in shares])
        return np.asarray(there[:4] / there[4] - wanted)

    # a limit to 0.01 mag needs a width to 0.5 %, much finer than the steps of the grid
    middle = np.array([2.0, 3.5])
    fwhm, beta = least_squares(off, middle, bounds=((_FWHM[0], _BETA[0]), (_FWHM[-1], _BETA[-1])), x_scale=middle).x
    return Profile.moffat(float(fwhm), float(beta))


@cache
def _shares() -> list[RectBivariateSpline]:
    """Return the fraction of light in each of the 5 smaller apertures by FWHM and exponent; cached per process."""
    made = [[Profile.moffat(float(fwhm), float(beta)) for beta in _BETA] for fwhm in _FWHM]
    table = np.array([[[one.aperture_share(d / 2.0) for one in row] for row in made] for d in APERTURE_DIAMETERS[:5]])
    return [RectBivariateSpline(_FWHM, _BETA, one) for one in table]


def _dao_painter(psf: PsfModel, window: tuple[int, int]) -> tuple[Paint, float]:
    reach = int(np.ceil(psf.radius)) + 1

    def stamp(x: float, y: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
        columns = np.arange(int(np.floor(x + 0.5)) - reach, int(np.floor(x + 0.5)) + reach + 1)
        rows = np.arange(int(np.floor(y + 0.5)) - reach, int(np.floor(y + 0.5)) + reach + 1)
        dx, dy = np.meshgrid(columns - x, rows - y)
        return columns, rows, psf.value(dx, dy, x + window[0], y + window[1]) / psf.flux_scale

    def paint(shape: tuple[int, int], x: FloatArray, y: FloatArray, flux: FloatArray) -> FloatArray:
        light = np.zeros(shape)
        for one_x, one_y, total in zip(x.tolist(), y.tolist(), flux.tolist(), strict=True):
            columns, rows, values = stamp(one_x, one_y)
            inside_x, inside_y = (columns >= 0) & (columns < shape[1]), (rows >= 0) & (rows < shape[0])
            light[np.ix_(rows[inside_y], columns[inside_x])] += total * values[np.ix_(inside_y, inside_x)]
        return light

    middle_x, middle_y = psf.xpsf - window[0], psf.ypsf - window[1]
    columns, rows, values = stamp(middle_x, middle_y)
    distance = np.hypot(*np.meshgrid(columns - middle_x, rows - middle_y))
    share = float(np.sum(values * np.clip(APERTURE_DIAMETERS[3] / 2.0 + 0.5 - distance, 0.0, 1.0)))
    return paint, share
