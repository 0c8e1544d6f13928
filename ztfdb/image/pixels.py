"""Base of an image object: header, pixels, mask, sky, catalogues."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import ArrayLike, DTypeLike

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.extract.sepobjects import ellipse_mask
from ztfdb.frame.arrays import plain_array
from ztfdb.frame.read import Frame, read_frame
from ztfdb.frame.wcs import astropy_wcs
from ztfdb.image.catalogs import CatalogCollection
from ztfdb.image.conversions import EFFECTIVE_WAVELENGTH
from ztfdb.sky.coordinates import from_coordinate
from ztfdb.sky.given import is_coordinate, numbers
from ztfdb.sky.motion import julian_year, move
from ztfdb.sky.projection import pixel_to_sky, sky_to_pixel

Data = str | FloatArray
DATA_NAMES = ("data", "datamasked", "dataclean")


class Pixels:
    """A quadrant in memory: header, pixels, mask, position on the sky and catalogues.

    Attributes
    ----------
    filename : str
    data : ndarray of float32, shape (ny, nx)
        Pixels as delivered, DN, sky included.
    header : astropy.io.fits.Header
    catalogs : CatalogCollection
        ``sources``, ``ps1cat`` and tables of `set_catalog`.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.filename = frame.path
        self.data = frame.data
        self.header = frame.header
        self.catalogs = CatalogCollection()

    @classmethod
    def _read(cls, path: str | Path, mask_path: str | Path | None = None) -> Frame:
        return read_frame(path, mask_path, find_mask=False, hash_files=False)

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self._frame.shape

    @property
    def filtername(self) -> str:
        """``ZTF_g``, ``ZTF_r`` or ``ZTF_i``, for any spelling in the header."""
        return f"ZTF_{self._frame.info.filtercode[1]}"

    @property
    def filter_lbda(self) -> float:
        """Effective wavelength of the filter, Å."""
        return EFFECTIVE_WAVELENGTH[self._frame.info.fid]

    @property
    def pixel_scale(self) -> float:
        """Arcsec per pixel, from PIXSCALE or PXSCAL, else from the WCS."""
        for keyword in ("PIXSCALE", "PXSCAL"):
            value = self.header.get(keyword)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                return float(value)
        return float(3600.0 * np.sqrt(abs(np.linalg.det(self._frame.wcs.cd))))

    magzp = property(lambda self: self._frame.info.magzp, doc="Zero point of PSF photometry, AB mag of 1 DN.")
    maglim = property(lambda self: self._frame.info.maglim, doc="Five-sigma limiting magnitude, AB mag, or None.")
    saturation = property(lambda self: self._frame.info.saturate, doc="Saturation level, DN, or None.")
    gain = property(lambda self: self._frame.info.gain, doc="Gain, e-/DN, or None.")
    rcid = property(lambda self: self._frame.info.rcid, doc="Readout channel, 0..63.")
    ccdid = property(lambda self: self._frame.info.ccdid, doc="CCD, 1..16.")
    qid = property(lambda self: self._frame.info.qid, doc="Quadrant, 1..4.")
    fieldid = property(lambda self: self._frame.info.field, doc="Field.")
    filterid = property(lambda self: self._frame.info.fid, doc="Filter id: 1 g, 2 r, 3 i (never FILTPOS).")
    obsmjd = property(lambda self: self._frame.info.obsmjd, doc="Exposure start, MJD UTC, or None.")
    exptime = property(lambda self: self._frame.info.exptime, doc="Exposure time, s, or None.")

    @property
    def obsjd(self) -> float | None:
        """Exposure start, JD UTC, or None."""
        return None if self.obsmjd is None else float(self.obsmjd) + 2400000.5

    def is_data_bad(self) -> bool:
        """Return whether the pipeline marked the image as unusable (STATUS = 0).

        STATUS is also 1 for many bad images; ``header["INFOBITS"]`` has more details.
        """
        return bool(self._frame.info.status == 0)

    @property
    def mask(self) -> Any:
        """The mask image (ScienceImage: bits, or None without one; ReferenceImage: bool)."""
        return self._frame.mask

    def get_mask(self, **options: Any) -> BoolArray:
        """Return a map that is True for bad pixels."""
        raise NotImplementedError

    @property
    def sources(self) -> pd.DataFrame | None:
        """The table from `extract_sources`, or None."""
        return self.catalogs.get_catalog("sources") if "sources" in self.catalogs else None

    @cached_property
    def wcs(self) -> WCS:
        """The image's astropy WCS, as used by `pixels_to_coords`; SIP is converted to TPV."""
        wcs = astropy_wcs(self._frame.wcs)
        wcs.pixel_shape = self.shape[::-1]
        return wcs

    def coords_to_pixels(self, ra: ArrayLike | SkyCoord, dec: ArrayLike | None = None) -> FloatArray:
        """Return the pixels of sky positions.

        Parameters
        ----------
        ra, dec : float or array_like
            Deg, ICRS; or only a `SkyCoord`, in any frame. With a proper motion it is propagated from its ``obstime`` to
            mid-exposure.

        Returns
        -------
        ndarray, shape (2,) for one position, (2, n) for n
            Zero-based x and y, so that ``x, y = image.coords_to_pixels(ra, dec)``; the first pixel is centred on (0,
            0). NaN if the position is more than 90 degrees away.

        Raises
        ------
        ValueError
            If a position is masked, or moves and the image has no date (a reference).
        """
        ra, dec = _degrees(ra, dec, self._frame.info.mjd_mid)
        return np.stack(sky_to_pixel(self._frame.wcs, ra, dec))

    def pixels_to_coords(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return the sky positions of pixels.

        Parameters
        ----------
        x, y : float or array_like
            Zero-based pixels.

        Returns
        -------
        ndarray, shape (2,) for one position, (2, n) for n
            ra and dec, deg, ICRS.
        """
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        return np.stack(pixel_to_sky(self._frame.wcs, x, y))

    def get_center(self, inpixel: bool = True) -> FloatArray:
        """Return the centre: zero-based pixels, or ra and dec; the original mixed zero- and one-based pixels."""
        ny, nx = self.shape
        centre = np.array([(nx - 1) / 2.0, (ny - 1) / 2.0])
        return centre if inpixel else self.pixels_to_coords(*centre)

    def get_diagonal(self, inpixel: bool = True) -> float:
        """Return the diagonal, pixels or degrees."""
        pixels = float(np.hypot(*self.shape))
        return pixels if inpixel else pixels * self.pixel_scale / 3600.0

    def _pixels(self, data: Data) -> FloatArray:
        """Return pixels by name, or an array of the image's shape."""
        if isinstance(data, str):
            if data not in DATA_NAMES:
                raise ValueError(f"data {data!r} is none of {', '.join(DATA_NAMES)}")
            pixels: FloatArray = getattr(self, data)
        else:
            pixels = self._of_image_shape(data, "data")
        return pixels

    def _of_image_shape(self, array: Any, what: str, dtype: DTypeLike = np.float32) -> Any:
        """Return a caller's array of any layout as `plain_array`; ValueError if its shape differs."""
        if np.shape(array) != self.shape:
            raise ValueError(f"{what} has shape {np.shape(array)}, the image {self.shape}")
        return plain_array(array, dtype)

    def _ellipses(self, sources: pd.DataFrame, r: float) -> BoolArray:
        missing = [name for name in ("x", "y", "a", "b", "theta") if name not in sources]
        if missing:
            raise ValueError(f"the table of sources has no column {', '.join(missing)}")
        x, y, a, b, theta = (sources[name].to_numpy(dtype=float) for name in ("x", "y", "a", "b", "theta"))
        return ellipse_mask(self.shape, x, y, a, b, theta, r)


def _degrees(ra: ArrayLike | SkyCoord, dec: ArrayLike | None, mjd_mid: float | None) -> tuple[FloatArray, FloatArray]:
    """Return columns in deg from numbers or a SkyCoord."""
    if is_coordinate(ra):
        if dec is not None:
            raise ValueError("give only a SkyCoord, or ra and dec")
        given = from_coordinate(ra)
        if not given.motion:
            return given.ra, given.dec
        if mjd_mid is None:
            raise ValueError("a position with a proper motion on an image without a date: give a fixed position")
        years = julian_year(mjd_mid) - given.motion["epoch"]
        return move(given.ra, given.dec, given.motion["pmra"], given.motion["pmdec"], years)
    if dec is None:
        raise ValueError("dec is missing")
    ra, dec = np.broadcast_arrays(numbers(ra, "deg", "ra", missing=False), numbers(dec, "deg", "dec", missing=False))
    return ra, dec
