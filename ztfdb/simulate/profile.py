"""Point-spread functions as sums of round Gaussians, painted exactly: each pixel is the integral over its area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chndtr, erf

from ztfdb.arrays import FloatArray, IntArray
from ztfdb.codes import APERTURE_DIAMETERS

SIGMA_PER_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))
"""Standard deviation of a Gaussian of unit FWHM."""

_MOFFAT_NODES = 12
_GAUSS_LEGENDRE = np.polynomial.legendre.leggauss(16)
_MOFFAT_RANGE = (0.012, 12.0)
_CHUNK_PIXELS = 2_000_000


@dataclass(frozen=True)
class Profile:
    """A round PSF as a sum of concentric Gaussians.

    Attributes
    ----------
    weight : ndarray, shape (n_component,)
        Fractions of the flux, summing to 1.
    sigma : ndarray, shape (n_component,)
        Standard deviation of each component, pixels.
    """

    weight: FloatArray
    sigma: FloatArray

    @classmethod
    def gaussian(cls, fwhm: float) -> Profile:
        """Build one Gaussian of the given FWHM (pixels)."""
        return cls(np.ones(1), np.array([fwhm * SIGMA_PER_FWHM]))

    @classmethod
    def moffat(cls, fwhm: float, beta: float = 3.5) -> Profile:
        """Build a Moffat profile of the given FWHM (pixels) and exponent `beta` > 1 from twelve Gaussians.

        A Moffat is a Gamma mixture of Gaussians; the trapezoidal rule in the logarithm of the Gamma variable gives the
        weights. For `beta` from 2.5 to 4.5 the result agrees with the analytic profile to 0.1 % within 3 FWHM and to
        3 % within 6 FWHM; its wings end with the widest Gaussian.
        """
        alpha = fwhm / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
        node = np.geomspace(_MOFFAT_RANGE[0], _MOFFAT_RANGE[1], _MOFFAT_NODES)
        weight = node ** (beta - 1.0) * np.exp(-node)
        return cls(weight / weight.sum(), alpha / np.sqrt(2.0 * node))

    def aperture_share(self, radius: float) -> float:
        """Return the fraction of flux in an exact circular aperture (radius in pixels), averaged over subpixel phases.

        Pixel integration and the pixel-wise overlap of the aperture each convolve with the pixel; together this is a
        triangle of half-width 1 px per axis, over which the off-centre encircled flux is integrated.
        """
        node, weight = _GAUSS_LEGENDRE
        u, w = (node + 1.0) / 2.0, weight * (1.0 - (node + 1.0) / 2.0)
        offset2 = u[:, None] ** 2 + u[None, :] ** 2
        shares = [
            float(np.sum(w[:, None] * w[None, :] * chndtr((radius / s) ** 2, 2.0, offset2 / s**2))) for s in self.sigma
        ]
        return float(np.dot(self.weight, shares))

    def aperture_corrections(self) -> FloatArray:
        """Return ``APCOR1..6`` of point sources with this PSF: PSF mag minus aperture mag for ZTF's diameters."""
        shares = [self.aperture_share(d / 2.0) for d in APERTURE_DIAMETERS]
        return np.asarray(2.5 * np.log10(shares))

    def peak_share(self) -> float:
        """Return the fraction of flux in the central pixel of a star centred on it."""
        return float(np.sum(self.weight * erf(0.5 / (np.sqrt(2.0) * self.sigma)) ** 2))

    def reach(self, flux: FloatArray, limit: float) -> IntArray:
        """Return the half-width (pixels) beyond which a star of `flux` adds less than `limit` per pixel."""
        r = np.arange(1.0, 130.0)
        pixel = np.sum(
            self.weight * np.exp(-0.5 * (r[:, None] / self.sigma) ** 2) / (2.0 * np.pi * self.sigma**2), axis=1
        )
        floor = limit / np.maximum(flux, limit)
        # pixel decreases with r: count the radii above the floor
        return np.asarray(np.searchsorted(-pixel, -floor) + 2, dtype=np.int64)


def paint_stars(
    shape: tuple[int, int],
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    profile: Profile,
    *,
    extent: FloatArray | None = None,
    limit: float = 0.002,
) -> FloatArray:
    """Paint point sources (or round Gaussian blurs of them) on an empty image, without noise.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    x, y : ndarray, shape (n_star,)
        Centres, zero-based pixels; outside the image only the wings contribute.
    flux : ndarray, shape (n_star,)
        Total flux, DN.
    profile : Profile
    extent : ndarray, shape (n_star,), optional
        Extra Gaussian width of each source (pixels): 0 for a star, more for a "galaxy".
    limit : float
        A star is truncated where it adds less than this many DN per pixel.

    Returns
    -------
    ndarray of float64, shape `shape`
        DN per pixel.
    """
    ny, nx = shape
    wide = np.zeros(len(x)) if extent is None else np.asarray(extent, dtype=float)
    half = profile.reach(flux, limit) + np.ceil(5.0 * wide).astype(np.int64)
    seen = (x > -half) & (x < nx - 1 + half) & (y > -half) & (y < ny - 1 + half) & (flux > 0)
    pad = int(half[seen].max(initial=0)) * 2 + 2
    canvas = np.zeros((ny + 2 * pad, nx + 2 * pad))
    # stars of similar size share one stamp size, so that whole groups are painted by array operations
    group = np.ceil(np.log2(half) * 2.0)
    for g in np.unique(group[seen]):
        index = np.flatnonzero(seen & (group == g))
        size = int(half[index].max())
        step = max(1, _CHUNK_PIXELS // (2 * size + 1) ** 2)
        for i in range(0, len(index), step):
            k = index[i : i + step]
            _paint_group(canvas, pad, x[k], y[k], flux[k], wide[k], size, profile)
    return canvas[pad : pad + ny, pad : pad + nx].copy()


def _paint_group(
    canvas: FloatArray,
    pad: int,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    extent: FloatArray,
    half: int,
    profile: Profile,
) -> None:
    """Add stars with one stamp half-width to the padded canvas."""
    ix, iy = np.floor(x + 0.5).astype(np.int64), np.floor(y + 0.5).astype(np.int64)
    sigma = np.hypot(profile.sigma[None, :], extent[:, None])
    column = _axis_shares(x - ix, sigma, half)
    row = _axis_shares(y - iy, sigma, half) * (flux[:, None] * profile.weight[None, :])[:, :, None]
    stamp = np.matmul(row.transpose(0, 2, 1), column)
    offset = np.arange(-half, half + 1)
    flat = ((iy + pad)[:, None] + offset)[:, :, None] * canvas.shape[1] + ((ix + pad)[:, None] + offset)[:, None, :]
    np.add.at(canvas.reshape(-1), flat.ravel(), stamp.ravel())


def _axis_shares(fraction: FloatArray, sigma: FloatArray, half: int) -> FloatArray:
    """Return the fraction of each component in each pixel column around the centre: (n_star, n_component, 2·half+1)."""
    edge = np.arange(-half - 0.5, half + 1.0)[None, None, :] - fraction[:, None, None]
    return np.asarray(0.5 * np.diff(erf(edge / (np.sqrt(2.0) * sigma[:, :, None])), axis=2))
