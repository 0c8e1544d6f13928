"""Photometry on an image object: apertures and PSF fits."""

from __future__ import annotations

from enum import IntFlag
from typing import Any

import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from numpy.typing import ArrayLike

from ztfdb.arguments import whole
from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.dao import DAOPhotReader, PsfModel
from ztfdb.extract.annulus import annulus_means
from ztfdb.extract.aperture import aperture_sums, flux_errors
from ztfdb.extract.psffit import FIT_RADIUS, fit_psf_fluxes
from ztfdb.image.conversions import UNITS
from ztfdb.sky.given import is_coordinate


class ApertureFlag(IntFlag):
    """Problems of an aperture of `Photometry.get_aperture`."""

    TRUNCATED = 1 << 0
    """It extends beyond the image; the light beyond the edge is missing."""
    INCOMPLETE = 1 << 1
    """It contains masked pixels, which count as the mean of the others."""
    EMPTY = 1 << 2
    """It has no usable pixel; the result is NaN."""
    NO_ANNULUS = 1 << 3
    """The background annulus has no usable pixel; the result is NaN."""


class Photometry:
    """Mixin of `Image`: photometry at given positions."""

    def get_aperture(
        self: Any,
        x0: ArrayLike | SkyCoord,
        y0: ArrayLike | None,
        radius: ArrayLike,
        bkgann: tuple[float, float] | None = None,
        subpix: int = 0,
        data: str | FloatArray = "dataclean",
        unit: str = "counts",
        *,
        apcor: bool = False,
        mask: BoolArray | None = None,
        noise: float | FloatArray | str | None = None,
        gain: float | None = None,
        system: str = "xy",
        get_flag: bool = False,
    ) -> tuple[Any, ...]:
        """Measure aperture photometry at positions.

        Parameters
        ----------
        x0, y0 : float or array_like
            Positions, zero-based pixels; deg with ``system="radec"``.
        radius : float or array_like
            Radius or radii, pixels.
        bkgann : tuple of float, optional
            Inner and outer radius (pixels) of an annulus whose mean is the background. If an annulus has no good pixel,
            that source is NaN and flagged.
        subpix : int
            0 for the exact overlap of circle and pixels; n for n×n subpixels.
        data : str or ndarray
            ``"dataclean"`` (background-subtracted), ``"data"``, ``"datamasked"`` or your own pixels.
        unit : str
            ``"counts"`` (DN), ``"flux"`` (erg s⁻¹ cm⁻² Å⁻¹), ``"mag"`` (AB) or ``"ujy"`` (µJy).
        apcor : bool
            Correct to the total of a point source with the header's APCOR, so that magnitudes are calibrated. Between
            ZTF's radii (1, 1.5, 2, 3, 5, 7 px) it is interpolated. NaN if the header has none.
        mask : ndarray of bool, optional
            True for pixels to omit; default `get_mask`. Masked pixels count as the mean of the other pixels of the
            aperture (`ApertureFlag.INCOMPLETE`). For a star with a saturated core this is far too faint: check the
            flag, or pass ``get_mask(saturated=False)``.
        noise : float, ndarray or str, optional
            Pixel noise of the sky, DN; or a method of `get_noise`. Default `get_noise`, times `get_noise_ratio`
            because the pixels of real images are correlated.
        gain : float, optional
            e-/DN; default the header's GAIN.
        system : str
            ``"xy"`` or ``"radec"``.
        get_flag : bool
            Also return the flags.

        Returns
        -------
        value, error : float or ndarray
            Of the shape of the positions; with several radii, of shape (n_radius, …). The error includes sky and
            Poisson noise, ``sqrt(area noise² + flux / gain + area² noise² / area_annulus)``, but not the zero point's
            error. (The original included only the sky, far too small for bright stars.)
        flag : int or ndarray
            `ApertureFlag`, with `get_flag`.

        Raises
        ------
        ValueError
            If a unit, system or name is unknown, shapes disagree, a radius is not positive, or `subpix` is negative.
        """
        if unit not in UNITS:
            raise ValueError(f"unit {unit!r} is none of {', '.join(UNITS)}")
        subpix = whole("subpix", subpix, low=0, wanted="a whole number, 0 or more")
        x, y, shape = _positions(self, x0, y0, system)
        radii = np.asarray(radius, dtype=float)
        if radii.size == 0 or not np.all(radii > 0):
            raise ValueError(f"an aperture radius must be positive, not {radii}")
        bad = self.get_mask() if mask is None else self._of_image_shape(mask, "mask", bool)
        pixels = self._subtracted if isinstance(data, str) and data == "dataclean" else self._pixels(data)
        bad = bad | ~np.isfinite(pixels)
        pixels = np.where(bad, np.float32(0.0), pixels)
        # first, because it loads the background, after which the noise is that of the sky only
        ratio = self.get_noise_ratio(radii.ravel()) if noise is None else np.ones(radii.size)
        rms = self._noise_at(noise, x, y)
        flux, error, flag = _sums(pixels, bad, x, y, radii.ravel(), bkgann, rms, ratio, gain or self.gain, subpix)
        if apcor:
            factor = 10.0 ** (-0.4 * self.aperture_correction(radii.ravel()))[:, None]
            flux, error = flux * factor, error * factor
        value, value_error = self.convert_counts(flux, error, unit)
        # scalars stay scalars; a column of radii (n, 1) is treated as a list of n
        out = shape if radii.ndim == 0 else (radii.size, *shape)
        results = tuple(np.reshape(v, out)[()] for v in (value, value_error, flag))
        return results if get_flag else results[:2]

    def aperture_correction(self: Any, radius: ArrayLike) -> FloatArray:
        """Return the correction from aperture to PSF magnitudes of point sources (header APCOR), mag.

        Parameters
        ----------
        radius : float or array_like
            Pixels, from 1 to 7.

        Returns
        -------
        ndarray
            The header's value at its own radii, else interpolated in the radius; NaN if the header has none.

        Raises
        ------
        ValueError
            If a radius lies outside 1..7 pixels.
        """
        from scipy.interpolate import PchipInterpolator

        info = self._frame.info
        values = np.array([getattr(info, f"apcor{k}") for k in range(1, 7)], dtype=float)
        known = np.asarray(APERTURE_DIAMETERS) / 2.0
        radius = np.asarray(radius, dtype=float)
        if np.any(radius < known[0]) or np.any(radius > known[-1]):
            raise ValueError(f"aperture corrections exist for radii {known[0]:g}..{known[-1]:g} pixels, not {radius}")
        if not np.all(np.isfinite(values)):
            exact = np.isclose(radius[..., None], known)
            return np.where(exact.any(axis=-1), values[exact.argmax(axis=-1)], np.nan)
        return np.asarray(PchipInterpolator(known, values)(radius))

    def get_psf_photometry(
        self: Any,
        x0: ArrayLike | SkyCoord,
        y0: ArrayLike | None,
        psf: DAOPhotReader | PsfModel,
        *,
        fit_position: bool = False,
        fit_sky: bool = True,
        radius: float = FIT_RADIUS,
        mask: BoolArray | None = None,
        noise: float | FloatArray | str | None = None,
        gain: float | None = None,
        system: str = "xy",
    ) -> pd.DataFrame:
        """Measure PSF-fit photometry at positions.

        Parameters
        ----------
        x0, y0 : float or array_like
            Positions, zero-based pixels; deg with ``system="radec"``.
        psf : DAOPhotReader or PsfModel
            The exposure's ``sciimgdao.psf``, evaluated at the star's position on the quadrant (also for cutouts).
        fit_position : bool
            Also fit the position.
        fit_sky : bool
            Also fit a constant under the star: the local error of the background.
        radius : float
            Radius of the fitted pixels, pixels.
        mask, noise, gain, system
            As for `get_aperture`.

        Returns
        -------
        DataFrame
            One row per position: ``x, y, flux, flux_err`` (DN), ``mag, mag_err`` (MAGZP, no colour term), ``sky`` (DN),
            ``chi`` (1 for a star), ``sharp`` (0 for a star, positive for wider sources, negative for spikes), ``flags``
            (`ztfdb.extract.psffit.PsfFlag`).

        Raises
        ------
        ValueError
            If shapes disagree or an option is invalid.
        """
        model = psf.model if isinstance(psf, DAOPhotReader) else psf
        if not isinstance(model, PsfModel):
            raise TypeError(f"a PSF is a DAOPhotReader or a PsfModel, not {type(psf).__name__}")
        x, y, _ = _positions(self, x0, y0, system)
        bad = self.get_mask() if mask is None else self._of_image_shape(mask, "mask", bool)
        method = noise if isinstance(noise, str) else "default"
        rms = self.get_noise(method) if noise is None or isinstance(noise, str) else noise
        if np.ndim(rms):
            rms = self._of_image_shape(rms, "noise")
        info = self._frame.info
        fit = fit_psf_fluxes(
            self._subtracted,
            rms,
            model,
            x,
            y,
            bad=bad,
            gain=gain or self.gain or np.inf,
            fit_position=fit_position,
            fit_sky=fit_sky,
            radius=radius,
            origin=(info.x0, info.y0),
        )
        mag, mag_err = self.counts_to_mag(fit.flux, fit.flux_err)
        return pd.DataFrame(
            {
                "x": fit.x,
                "y": fit.y,
                "flux": fit.flux,
                "flux_err": fit.flux_err,
                "mag": mag,
                "mag_err": mag_err,
                "sky": fit.sky,
                "chi": fit.chi,
                "sharp": fit.sharp,
                "flags": fit.flags,
            }
        )

    def _noise_at(self: Any, noise: float | FloatArray | str | None, x: FloatArray, y: FloatArray) -> FloatArray:
        """Pixel noise at positions, from a number, an image or a method."""
        if noise is None or isinstance(noise, str):
            noise = self.get_noise("default" if noise is None else noise)
        if np.ndim(noise) == 0:
            return np.full(len(x), float(np.asarray(noise)))
        noise_map: FloatArray = self._of_image_shape(noise, "noise")
        ny, nx = self.shape
        column = np.clip(np.nan_to_num(np.rint(x)), 0, nx - 1).astype(np.int64)
        row = np.clip(np.nan_to_num(np.rint(y)), 0, ny - 1).astype(np.int64)
        return np.asarray(noise_map[row, column], dtype=float)


def _positions(
    image: Any, x0: ArrayLike | SkyCoord, y0: ArrayLike | None, system: str
) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    """Return pixel positions as columns, and the original shape."""
    if system == "radec" or is_coordinate(x0):
        x0, y0 = image.coords_to_pixels(x0, y0)
    elif system != "xy":
        raise ValueError(f"system {system!r} is none of xy, radec")
    if y0 is None:
        raise ValueError("y0 is missing")
    x, y = np.broadcast_arrays(np.asarray(x0, dtype=float), np.asarray(y0, dtype=float))
    return x.ravel(), y.ravel(), x.shape


def _sums(
    pixels: FloatArray,
    bad: BoolArray,
    x: FloatArray,
    y: FloatArray,
    radii: FloatArray,
    bkgann: tuple[float, float] | None,
    rms: FloatArray,
    ratio: FloatArray,
    gain: float | None,
    subpix: int,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Fluxes, errors and flags, each (n_radius, n)."""
    ny, nx = pixels.shape
    known = np.isfinite(x) & np.isfinite(y)
    # clip positions far outside the image, so that pixel numbers fit into integers
    far = 1000.0 + 2.0 * float(radii.max())
    px = np.clip(np.where(known, x, -far), -far, nx + far)
    py = np.clip(np.where(known, y, -far), -far, ny + far)
    sums = aperture_sums(pixels, px, py, bad, diameters=list(2.0 * radii), subpix=subpix)
    flux = np.where(known & (sums.area > 0), sums.flux, np.nan)
    error = flux_errors(flux, sums.area, rms, ratio[:, None], gain)
    flag = np.where(sums.truncated, ApertureFlag.TRUNCATED, 0) | np.where(sums.incomplete, ApertureFlag.INCOMPLETE, 0)
    flag |= np.where(np.isnan(flux), ApertureFlag.EMPTY, 0)
    if bkgann is not None:
        level, area = annulus_means(pixels, px, py, *bkgann, bad)
        flux = flux - sums.area * level
        extra = sums.area * rms / np.sqrt(np.where(area > 0, area, np.nan))
        error = np.where(np.isfinite(flux), np.hypot(error, extra), np.nan)
        flag |= np.where(np.isnan(level), ApertureFlag.NO_ANNULUS, 0)
    return flux, error, flag.astype(np.int64)
