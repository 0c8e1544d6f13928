"""What science and reference images have in common: pixels, background, noise, coordinates, sources, stamps."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.typing import ArrayLike

from ztfdb.extract.sepobjects import DEFAULT_BOX, ellipse_mask, sep_background, sep_objects
from ztfdb.frame.background import DEFAULT_BOX as MESH_BOX
from ztfdb.frame.background import background_surface, measure_background
from ztfdb.frame.read import Frame, read_frame
from ztfdb.frame.wcs import astropy_wcs
from ztfdb.image.catalogs import CatalogCollection
from ztfdb.image.conversions import EFFECTIVE_WAVELENGTH, Conversions
from ztfdb.image.photometry import Photometry
from ztfdb.records import BackgroundMesh, BoolArray, FloatArray, Stamp
from ztfdb.sky.projection import pixel_to_sky, sky_to_pixel
from ztfdb.stamps import cut_stamp

Data = str | FloatArray
DATA_NAMES = ("data", "datamasked", "dataclean")
NOISE_METHODS = ("default", "sep", "globalrms", "rms", "nmad", "std")
BACKGROUND_METHODS = ("default", "median", "sep", "sextractor")
NMAD = 1.4826022185056018
"""Standard deviation over median absolute deviation of a Gaussian."""
SOURCE_RADIUS = 5.0
"""Scale of the ellipses by which sources are masked, in their rms half axes."""
DETECTION_THRESHOLD = 2.0


class MeshBackground:
    """The archive's own background, with the methods of ``sep.Background``."""

    def __init__(self, mesh: BackgroundMesh) -> None:
        self.mesh = mesh
        self.globalback = float(np.median(mesh.level))
        self.globalrms = float(np.median(mesh.rms))

    def back(self) -> FloatArray:
        """Return the background of every pixel, DN."""
        return background_surface(self.mesh)

    def rms(self) -> FloatArray:
        """Return the noise of every pixel, DN."""
        return background_surface(self.mesh, rms=True)


class Image(Conversions, Photometry):
    """One quadrant in memory.

    Attributes
    ----------
    filename : str
    data : ndarray of float32, shape (ny, nx)
        Pixels as delivered, DN, sky included.
    header : astropy.io.fits.Header
    background : ndarray, float or None
        The background that `dataclean` is without; see `load_source_background`.
    sourcebackground : sep.Background, MeshBackground or None
        What `load_source_background` estimated.
    catalogs : CatalogCollection
        ``sources``, ``ps1cat`` and whatever `set_catalog` stored.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.filename = frame.path
        self.data = frame.data
        self.header = frame.header
        self.background: FloatArray | float | None = None
        self.sourcebackground: Any = None
        self.catalogs = CatalogCollection()
        self._dataclean: FloatArray | None = None

    @classmethod
    def _read(cls, path: str | Path, mask_path: str | Path | None = None) -> Frame:
        return read_frame(path, mask_path, find_mask=False, hash_files=False)

    # -- who, when, how ------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self._frame.shape

    @property
    def filtername(self) -> str:
        """``ZTF_g``, ``ZTF_r`` or ``ZTF_i``, whichever way the header spells it."""
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
        """Return whether the pipeline found the image unusable (STATUS = 0).

        STATUS is 1 on many bad images too; ``header["INFOBITS"]`` tells more.
        """
        return bool(self._frame.info.status == 0)

    # -- pixels --------------------------------------------------------------------------------------------------

    @property
    def mask(self) -> Any:
        """The mask image (ScienceImage: bits, or None without one; ReferenceImage: bool)."""
        return self._frame.mask

    def get_mask(self, **options: Any) -> BoolArray:
        """Return True where a pixel is bad."""
        raise NotImplementedError

    @property
    def datamasked(self) -> FloatArray:
        """Pixels with NaN where `get_mask` is True."""
        return np.where(self.get_mask(), np.float32(np.nan), self.data)

    @property
    def dataclean(self) -> FloatArray:
        """`datamasked` without the background; the background is loaded when there is none yet."""
        if self._dataclean is None:
            self._dataclean = np.where(self.get_mask(), np.float32(np.nan), self._subtracted)
        return self._dataclean

    @property
    def _subtracted(self) -> FloatArray:
        """Pixels without the background, nothing masked."""
        self._ensure_background()
        return np.asarray(self.data - np.asarray(self.background, dtype=np.float32))

    def get_data(
        self,
        applymask: bool = True,
        maskvalue: float = np.nan,
        rmbkgd: bool = True,
        whichbkgd: str = "default",
        **mask_options: Any,
    ) -> FloatArray:
        """Return a copy of the pixels, masked and background-subtracted as asked.

        Parameters
        ----------
        applymask : bool
            Put `maskvalue` where ``get_mask(**mask_options)`` is True.
        maskvalue : float
        rmbkgd : bool
            Subtract ``get_background(whichbkgd)``.
        whichbkgd : str
        **mask_options
            As for `get_mask`.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
        """
        data = self.data.copy()
        if rmbkgd:
            data -= np.asarray(self.get_background(whichbkgd), dtype=np.float32)
        if applymask:
            data[self.get_mask(**mask_options)] = maskvalue
        return data

    def _pixels(self, data: Data) -> FloatArray:
        """Pixels by name, or an array of the image's shape."""
        if isinstance(data, str):
            if data not in DATA_NAMES:
                raise ValueError(f"data {data!r} is none of {', '.join(DATA_NAMES)}")
            pixels: FloatArray = getattr(self, data)
        else:
            pixels = self._of_image_shape(np.asarray(data, dtype=np.float32), "data")
        return pixels

    def _of_image_shape(self, array: Any, what: str) -> Any:
        if np.shape(array) != self.shape:
            raise ValueError(f"{what} has shape {np.shape(array)}, the image {self.shape}")
        return array

    # -- background and noise ------------------------------------------------------------------------------------

    def load_source_background(
        self,
        bitmask_sources: bool = True,
        datamasked: FloatArray | None = None,
        setit: bool = True,
        *,
        method: str = "sep",
        box: int | None = None,
        r: float = SOURCE_RADIUS,
    ) -> None:
        """Estimate the background on pixels that are neither bad nor part of a source.

        Parameters
        ----------
        bitmask_sources : bool
            Leave out every pixel that has any mask bit (ScienceImage with a mask). Else, or without a mask, the
            pixels of `get_mask` and of ellipses around `sources` (extracted for the purpose when there are none).
        datamasked : ndarray, optional
            Pixels to take instead of `data`; NaN is left out.
        setit : bool
            Make it the image's `background`.
        method : str
            ``"sep"``: ``sep.Background``, SExtractor's algorithm, 64 px boxes. ``"mesh"``: the recipe by which the
            archive measures, which finds sources by itself and leaves the wings of stars alone (128 px boxes).
        box : int, optional
            Side of a box, pixels.
        r : float
            Scale of the source ellipses.

        Raises
        ------
        ValueError
            If the method is unknown, shapes disagree, or no pixel is left.
        """
        data = self.data if datamasked is None else self._pixels(datamasked)
        if method == "mesh":
            bad = self.get_mask()
            self.sourcebackground = MeshBackground(measure_background(data, bad, box=box or MESH_BOX))
        elif method == "sep":
            bad = self._background_mask(data, bitmask_sources, r)
            self.sourcebackground = sep_background(data, bad, box=box or DEFAULT_BOX)
        else:
            raise ValueError(f"background method {method!r} is none of sep, mesh")
        if setit:
            self.set_background(self.sourcebackground.back())

    def _background_mask(self, data: FloatArray, bitmask_sources: bool, r: float) -> BoolArray:
        """Mark bad and source pixels."""
        every_bit = self._any_mask_bit() if bitmask_sources else None
        if every_bit is not None:
            return every_bit
        bad = self.get_mask()
        sources = self.sources
        if sources is None:
            rough = sep_background(data, bad)
            found = sep_objects(data - rough.back(), DETECTION_THRESHOLD, err=rough.globalrms, bad=bad)
            sources = pd.DataFrame(found)
        return bad | self._ellipses(sources, r)

    def _any_mask_bit(self) -> BoolArray | None:
        return None

    def _ensure_background(self) -> None:
        if self.background is None:
            self.load_source_background()

    def set_background(self, background: FloatArray | float | str, cleardataclean: bool = True) -> None:
        """Set the background that `dataclean` is without.

        Parameters
        ----------
        background : ndarray, float or str
            DN per pixel, or a method of `get_background`.
        cleardataclean : bool
            Forget the `dataclean` made with the background before.

        Raises
        ------
        ValueError
            If an array has another shape than the image, a number is not finite or a method is unknown.
        """
        if isinstance(background, str):
            background = self.get_background(background)
        if np.ndim(background) > 0:
            self.background = np.asarray(self._of_image_shape(background, "background"), dtype=np.float32)
        elif not np.isfinite(float(background)):
            raise ValueError(f"a background of {background} is not finite")
        else:
            self.background = float(background)
        if cleardataclean:
            self._dataclean = None

    def get_background(self, method: str | None = None, rmbkgd: bool = False) -> FloatArray | float:
        """Return a background.

        Parameters
        ----------
        method : str, optional
            ``"default"``: the one that is set (loaded when there is none). ``"median"``: the median of the pixels
            without any mask bit. ``"sep"``: the source background.
        rmbkgd : bool
            For ``"median"``: of the pixels without the default background.

        Returns
        -------
        ndarray of float32 or float
            DN per pixel.

        Raises
        ------
        ValueError
            If the method is unknown.
        """
        if method in (None, "default"):
            self._ensure_background()
            return self.background  # type: ignore[return-value]
        if method == "median":
            return float(np.median(self._blank_pixels(rmbkgd)))
        if method in ("sep", "sextractor"):
            if self.sourcebackground is None:
                self.load_source_background(setit=False)
            back: FloatArray = self.sourcebackground.back()
            return back
        raise ValueError(f"background method {method!r} is none of {', '.join(BACKGROUND_METHODS)}")

    def get_noise(self, method: str = "default", rmbkgd: bool = True) -> float | FloatArray:
        """Return the noise of a sky pixel, DN.

        Parameters
        ----------
        method : str
            ``"sep"`` or ``"globalrms"``: one number from the source background (loaded when there is none).
            ``"rms"``: that background's noise of every pixel, an array. ``"nmad"``: 1.4826 times the median absolute
            deviation of the good pixels. ``"std"``: half of the 16–84 percentile range of the pixels without any mask
            bit. ``"default"``: ``"sep"`` if a source background is loaded, else ``"nmad"``.
        rmbkgd : bool
            For ``"std"``: of the background-subtracted pixels.

        Raises
        ------
        ValueError
            If the method is unknown.
        """
        if method == "default":
            method = "nmad" if self.sourcebackground is None else "sep"
        if method in ("sep", "globalrms", "rms"):
            if self.sourcebackground is None:
                self.load_source_background(setit=False)
            return self.sourcebackground.rms() if method == "rms" else float(self.sourcebackground.globalrms)
        if method == "nmad":
            good = self.data[~self.get_mask()]
            return float(NMAD * np.median(np.abs(good - np.median(good))))
        if method == "std":
            low, high = np.percentile(self._blank_pixels(rmbkgd), [16, 84])
            return float(0.5 * (high - low))
        raise ValueError(f"noise method {method!r} is none of {', '.join(NOISE_METHODS)}")

    def _blank_pixels(self, rmbkgd: bool) -> FloatArray:
        """Good pixels that no mask bit marks as a source."""
        any_bit = self._any_mask_bit()
        data = self.data - np.asarray(self.get_background(), dtype=np.float32) if rmbkgd else self.data
        return data[~(self.get_mask() if any_bit is None else any_bit)]

    # -- coordinates ---------------------------------------------------------------------------------------------

    @cached_property
    def wcs(self) -> WCS:
        """The image's astropy WCS (TPV and all)."""
        return astropy_wcs(self.header)

    def coords_to_pixels(self, ra: ArrayLike | SkyCoord, dec: ArrayLike | None = None) -> FloatArray:
        """Return the pixels of sky positions.

        Parameters
        ----------
        ra, dec : float or array_like
            Deg, ICRS; or a `SkyCoord` alone.

        Returns
        -------
        ndarray, shape (2,) for one position, (2, n) for n
            Zero-based x and y, so that ``x, y = image.coords_to_pixels(ra, dec)``; the first pixel is centred on
            (0, 0). NaN where the position is more than 90 degrees away.
        """
        ra, dec = _degrees(ra, dec)
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
        """Return the centre: zero-based pixels, or ra and dec; the original mixed counts from 0 and from 1."""
        ny, nx = self.shape
        centre = np.array([(nx - 1) / 2.0, (ny - 1) / 2.0])
        return centre if inpixel else self.pixels_to_coords(*centre)

    def get_diagonal(self, inpixel: bool = True) -> float:
        """Return the diagonal, pixels or degrees."""
        pixels = float(np.hypot(*self.shape))
        return pixels if inpixel else pixels * self.pixel_scale / 3600.0

    # -- sources and catalogues ----------------------------------------------------------------------------------

    @property
    def sources(self) -> pd.DataFrame | None:
        """The table that `extract_sources` made, or None."""
        return self.catalogs.get_catalog("sources") if "sources" in self.catalogs else None

    def extract_sources(
        self,
        thresh: float = DETECTION_THRESHOLD,
        err: float | FloatArray | str | None = None,
        mask: BoolArray | str | None = None,
        data: Data = "dataclean",
        setradec: bool = True,
        setmag: bool = True,
        update: bool = True,
        **options: Any,
    ) -> pd.DataFrame | None:
        """Run ``sep.extract`` and keep its table as `sources`.

        Parameters
        ----------
        thresh : float
            Threshold in units of `err`; in DN where `err` is switched off.
        err : float, ndarray or "None"
            Pixel noise, DN; default `get_noise`. The text ``"None"`` switches it off.
        mask : ndarray of bool or "None"
            True where a pixel must not count; default `get_mask`. The text ``"None"`` switches it off.
        data : str or ndarray
            ``"data"``, ``"datamasked"``, ``"dataclean"`` or pixels of your own.
        setradec : bool
            Add ``ra, dec``.
        setmag : bool
            Add ``mag``, from the isophotal ``flux`` without aperture correction: 0.04–0.06 mag fainter than the total
            of bright stars. For calibrated magnitudes see `get_aperture`.
        update : bool
            Store the table as the catalogue ``sources`` and return nothing; else return it.
        **options
            Passed to ``sep.extract``.

        Returns
        -------
        DataFrame or None
            The columns of ``sep.extract`` in its order (x, y zero-based; theta in rad), then ``ra, dec, mag``.

        Raises
        ------
        ValueError
            If a name is unknown, a shape disagrees or `sep` refuses.
        """
        pixels = self._pixels(data)
        noise = self.get_noise() if err is None else None if isinstance(err, str) and err == "None" else err
        if isinstance(noise, str):
            noise = self.get_noise(noise)
        bad = self.get_mask() if mask is None else None if isinstance(mask, str) else mask
        if bad is not None:
            bad = np.asarray(self._of_image_shape(bad, "mask"), dtype=bool)
        table = pd.DataFrame(sep_objects(pixels, thresh, err=noise, bad=bad, **options))
        if setradec:
            table["ra"], table["dec"] = self.pixels_to_coords(table["x"], table["y"])
        if setmag:
            table["mag"] = self.counts_to_mag(table["flux"])[0]
        if not update:
            return table
        self.catalogs.set_catalog(table, "sources")
        return None

    def set_catalog(self, table: pd.DataFrame, label: str) -> None:
        """Store a table in `catalogs`, with ``x, y`` from ``ra, dec`` or the reverse where one pair is missing.

        Raises
        ------
        ValueError
            If neither pair is there.
        """
        table = table.copy()
        if {"ra", "dec"} <= set(table):
            if not {"x", "y"} <= set(table):
                table["x"], table["y"] = self.coords_to_pixels(table["ra"].to_numpy(), table["dec"].to_numpy())
        elif {"x", "y"} <= set(table):
            table["ra"], table["dec"] = self.pixels_to_coords(table["x"].to_numpy(), table["y"].to_numpy())
        else:
            raise ValueError(f"catalogue {label!r} has neither ra, dec nor x, y")
        self.catalogs.set_catalog(table, label)

    def _ellipses(self, sources: pd.DataFrame, r: float) -> BoolArray:
        missing = [name for name in ("x", "y", "a", "b", "theta") if name not in sources]
        if missing:
            raise ValueError(f"the table of sources has no column {', '.join(missing)}")
        x, y, a, b, theta = (sources[name].to_numpy(dtype=float) for name in ("x", "y", "a", "b", "theta"))
        return ellipse_mask(self.shape, x, y, a, b, theta, r)

    # -- stamps and pictures -------------------------------------------------------------------------------------

    def get_stamp(
        self,
        x0: ArrayLike,
        y0: ArrayLike,
        dx: int = 23,
        dy: int | None = None,
        data: Data = "dataclean",
        asarray: bool = False,
    ) -> Any:
        """Cut stamps around positions.

        Parameters
        ----------
        x0, y0 : float or array_like
            Zero-based pixels. The stamp is centred on the pixel that contains the position.
        dx, dy : int
            Full width and height, pixels.
        data : str or ndarray
            As for `extract_sources`.
        asarray : bool
            Return pixels only.

        Returns
        -------
        Stamp, or ndarray of shape (dy, dx)
            NaN outside the image; with its own mask (`get_mask`) and WCS. For arrays of positions a list of stamps, or
            an array of shape (n, dy, dx).

        Raises
        ------
        ValueError
            If a stamp lies entirely outside the image.
        """
        pixels = self._pixels(data)
        if np.ndim(x0) == 0 and np.ndim(y0) == 0:
            stamp = self._cut(pixels, float(x0), float(y0), dx, dy)  # type: ignore[arg-type]
            return stamp.data if asarray else stamp
        xs, ys = np.broadcast_arrays(np.asarray(x0, dtype=float), np.asarray(y0, dtype=float))
        stamps = [self._cut(pixels, float(x), float(y), dx, dy) for x, y in zip(xs.ravel(), ys.ravel(), strict=True)]
        if asarray:
            return np.array([s.data for s in stamps]).reshape(len(stamps), dx if dy is None else dy, dx)
        return stamps

    get_stamps = get_stamp

    def _cut(self, pixels: FloatArray, x: float, y: float, dx: int, dy: int | None) -> Stamp:
        return cut_stamp(pixels, x, y, dx, dy, mask=self._default_mask, wcs=self.wcs)

    @cached_property
    def _default_mask(self) -> BoolArray:
        return self.get_mask()

    def show(
        self,
        which: Data | None = None,
        ax: Any = None,
        *,
        show_ps1cal: bool = False,
        show_sources: bool = False,
        sky_axes: bool = False,
        **options: Any,
    ) -> Any:
        """Draw the image.

        Parameters
        ----------
        which : str or ndarray, optional
            ``"data"``, ``"datamasked"`` or ``"dataclean"``; default the last where a background is set, else the first.
        ax : matplotlib Axes, optional
        show_ps1cal : bool
            Circle the PS1 calibrators (loaded when there are none yet).
        show_sources : bool
            Outline `sources`.
        sky_axes : bool
            Label the axes with RA and Dec.
        **options
            As for `ztfdb.plot.draw_image`: ``vmin, vmax`` (text is a percentile), ``stretch``, ``cmap``, ….

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        ValueError
            If there are no sources to draw, or an option is wrong.
        """
        from ztfdb.plot import draw_image

        if show_sources and self.sources is None:
            raise ValueError("there are no sources to show: run extract_sources() first")
        which = which if which is not None else "data" if self.background is None else "dataclean"
        return draw_image(
            self._pixels(which),
            ax,
            sources=self.sources if show_sources else None,
            markers=self.ps1calibrators if show_ps1cal else None,
            wcs=self.wcs if sky_axes else None,
            **options,
        )

    @property
    def ps1calibrators(self) -> pd.DataFrame:
        """PS1 calibrators of this quadrant; see `load_ps1_calibrators`."""
        if "ps1cat" not in self.catalogs:
            self.load_ps1_calibrators()
        return self.catalogs.get_catalog("ps1cat")

    def load_ps1_calibrators(self, root: str | Path | None = None, *, setit: bool = True) -> pd.DataFrame:
        """Load the PS1 calibrators of this field and quadrant from files kept beside the data.

        Parameters
        ----------
        root : str or Path, optional
            Folder that holds ``calibrator/``; default ``$ZTFDATA``. See `ztfdb.image.ps1.read_ps1_calibrators` for the
            layouts.
        setit : bool
            Store the table as the catalogue ``ps1cat``.

        Returns
        -------
        DataFrame
            As in the file, with ``mag, e_mag`` of this image's filter and ``x, y``; stars farther than 10 px outside
            the image are left out.

        Raises
        ------
        CatalogueError
            If no file is found, or it lacks the field or a column.
        MissingExtraError
            If the package that reads the file is not installed.
        """
        from ztfdb.image.ps1 import read_ps1_calibrators

        table = read_ps1_calibrators(self.fieldid, self.rcid, self._frame.info.filtercode[1], root)
        table["x"], table["y"] = self.coords_to_pixels(table["ra"].to_numpy(), table["dec"].to_numpy())
        ny, nx = self.shape
        near = table["x"].between(-10.5, nx + 9.5) & table["y"].between(-10.5, ny + 9.5)
        table = table[near].reset_index(drop=True)
        if setit:
            self.catalogs.set_catalog(table, "ps1cat")
        return table


def _degrees(ra: ArrayLike | SkyCoord, dec: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    """Columns in deg from numbers or a SkyCoord."""
    if isinstance(ra, SkyCoord):
        if dec is not None:
            raise ValueError("give a SkyCoord alone, or ra and dec")
        position = ra.icrs
        return np.asarray(position.ra.deg), np.asarray(position.dec.deg)
    if dec is None:
        raise ValueError("dec is missing")
    ra, dec = np.broadcast_arrays(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float))
    return ra, dec
