"""Kron photometry: the flux in an ellipse that scales with the source's own first moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.extract.aperture import PixelFinder
from ztfdb.extract.kernels import SUBSAMPLING, ellipse_fluxes, first_moments
from ztfdb.extract.settings import ExtractionSettings

MOMENT_ELLIPSE = 6.0
"""Ellipse for the first moment, in units of the half axes (SExtractor's)."""


@dataclass(frozen=True)
class KronSums:
    """Kron fluxes.

    Attributes
    ----------
    flux, area : ndarray of float64, shape (n,)
        Sum in the ellipse, DN, and the ellipse's area, px².
    radius : ndarray of float64, shape (n,)
        Size of the ellipse in units of `a` and `b`: ``max(factor · Kron radius, minimum)``.
    default, truncated : ndarray of bool, shape (n,)
        The first moment could not be measured; the ellipse extends beyond the image or contains excluded pixels.
    """

    flux: FloatArray
    area: FloatArray
    radius: FloatArray
    default: BoolArray
    truncated: BoolArray


def kron_sums(
    data: FloatArray,
    x: FloatArray,
    y: FloatArray,
    a: FloatArray,
    b: FloatArray,
    theta: FloatArray,
    excluded: BoolArray | None,
    settings: ExtractionSettings,
    finder: PixelFinder | None = None,
) -> KronSums:
    """Measure Kron radii and fluxes (SExtractor's FLUX_AUTO without its replacement of neighbours' pixels).

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    x, y : ndarray, shape (n,)
        Centres, zero-based pixels.
    a, b, theta : ndarray, shape (n,)
        Rms half axes, pixels, and position angle, rad.
    excluded : ndarray of bool, shape (ny, nx), optional
        Pixels without a light measurement.
    settings : ExtractionSettings
        Kron factor and minimum.
    finder : PixelFinder, optional
        Finder of the excluded pixels, if the caller has one.

    Returns
    -------
    KronSums

    References
    ----------
    Kron 1980, ApJS 43, 305; Bertin & Arnouts 1996, A&AS 117, 393, section 7.4.
    """
    a, b = np.maximum(a, 1e-3), np.clip(b, 1e-3, np.maximum(a, 1e-3))
    shape = (x, y, a, b, np.clip(theta, -np.pi / 2, np.pi / 2))
    sums = _sums(data, shape, None, settings)
    if excluded is not None:
        reach = np.maximum(MOMENT_ELLIPSE, sums.radius) * a
        rows = (finder or PixelFinder.of(excluded)).near(x, y, reach=reach)
        part = _sums(data, tuple(column[rows] for column in shape), excluded, settings)
        for name, column in vars(part).items():
            vars(sums)[name][rows] = column
    return sums


def _sums(
    data: FloatArray, shape: tuple[FloatArray, ...], excluded: BoolArray | None, settings: ExtractionSettings
) -> KronSums:
    """Measure with the same mask for all, or without one."""
    _, _, a, b, _ = shape
    if not len(a):
        none = np.zeros(0)
        return KronSums(none, none, none, none.astype(bool), none.astype(bool))
    with np.errstate(invalid="ignore", divide="ignore"):
        if excluded is None:
            first_moment = first_moments(data, shape, MOMENT_ELLIPSE)
        else:
            first_moment, _ = sep.kron_radius(data, *shape, MOMENT_ELLIPSE, mask=excluded)
        default = ~(first_moment > 0)  # sep and the kernels return 0 if there is no light
        wanted = settings.kron_factor * np.where(default, 0.0, first_moment)
        radius = np.clip(wanted, settings.kron_minimum, settings.kron_factor * MOMENT_ELLIPSE)
        if excluded is None:
            flux, truncated = ellipse_fluxes(data, shape, radius)
        else:
            flux, _, flag = sep.sum_ellipse(data, *shape, radius, mask=excluded, subpix=SUBSAMPLING)
            truncated = (flag & (sep.APER_TRUNC | sep.APER_HASMASKED | sep.APER_ALLMASKED)) != 0
    return KronSums(flux, np.pi * a * b * radius**2, radius, default, truncated)
