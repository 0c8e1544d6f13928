"""Background and noise of an image object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.noise import free_bins, sky_noise_ratios
from ztfdb.extract.sepobjects import DEFAULT_BOX, sep_background, sep_objects
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import DEFAULT_BOX as MESH_BOX
from ztfdb.frame.background import background_surface, measure_background
from ztfdb.frame.read import Frame
from ztfdb.image.pixels import Pixels
from ztfdb.records import BackgroundMesh

NOISE_METHODS = ("default", "sep", "globalrms", "rms", "nmad", "std")
BACKGROUND_METHODS = ("default", "median", "sep", "sextractor")
NMAD = 1.4826022185056018
"""Standard deviation over median absolute deviation of a Gaussian."""
SOURCE_RADIUS = 5.0
"""Scale of the ellipses that mask sources, in units of their rms half axes."""
OCCUPIED_SIGMA = 4.0
"""Pixels this many sigma above the sky count as sources in the search for blank apertures."""
DETECTION_THRESHOLD = 2.0
"""Default threshold of a detection, in units of the pixel noise."""


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


class Backgrounds(Pixels):
    """An image with a background to subtract.

    Attributes
    ----------
    background : ndarray, float or None
        The background that is subtracted in `dataclean`; see `load_source_background`.
    sourcebackground : sep.Background, MeshBackground or None
        Result of `load_source_background`.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self.background: FloatArray | float | None = None
        self.sourcebackground: Any = None
        self._dataclean: FloatArray | None = None
        self._noise_ratios: FloatArray | None = None

    @property
    def datamasked(self) -> FloatArray:
        """Pixels with NaN where `get_mask` is True."""
        return np.where(self.get_mask(), np.float32(np.nan), self.data)

    @property
    def dataclean(self) -> FloatArray:
        """`datamasked` minus the background, which is loaded if necessary."""
        if self._dataclean is None:
            self._dataclean = np.where(self.get_mask(), np.float32(np.nan), self._subtracted)
        return self._dataclean

    @property
    def _subtracted(self) -> FloatArray:
        """Unmasked pixels minus the background."""
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
        """Return a copy of the pixels, optionally masked and background-subtracted.

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
            Omit every pixel with any mask bit (ScienceImage with a mask). Otherwise, or without a mask, omit the pixels
            of `get_mask` and of ellipses around `sources` (extracted first if there are none).
        datamasked : ndarray, optional
            Pixels to use instead of `data`; NaN is omitted.
        setit : bool
            Store it as the image's `background`.
        method : str
            ``"sep"``: ``sep.Background``, SExtractor's algorithm, 64 px boxes. ``"mesh"``: the archive's recipe, which
            finds sources itself and excludes the wings of stars (128 px boxes).
        box : int, optional
            Side of a box, pixels.
        r : float
            Scale of the source ellipses.

        Raises
        ------
        ValueError
            If the method is unknown, shapes disagree, or no pixel remains.
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
        """Set the background that is subtracted in `dataclean`.

        Parameters
        ----------
        background : ndarray, float or str
            DN per pixel, or a method of `get_background`.
        cleardataclean : bool
            Discard the `dataclean` made with the previous background.

        Raises
        ------
        ValueError
            If an array has another shape than the image, a number is not finite or a method is unknown.
        """
        if isinstance(background, str):
            background = self.get_background(background)
        if np.ndim(background) > 0:
            self.background = self._of_image_shape(background, "background")
        elif not np.isfinite(float(background)):
            raise ValueError(f"a background of {background} is not finite")
        else:
            self.background = float(background)
        self._noise_ratios = None
        if cleardataclean:
            self._dataclean = None

    def get_background(self, method: str | None = None, rmbkgd: bool = False) -> FloatArray | float:
        """Return a background.

        Parameters
        ----------
        method : str, optional
            ``"default"``: the one that is set (loaded if there is none). ``"median"``: the median of the pixels
            without any mask bit. ``"sep"``: the source background.
        rmbkgd : bool
            For ``"median"``: subtract the default background first.

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
            ``"sep"`` or ``"globalrms"``: one number from the source background (loaded if there is none). ``"rms"``:
            that background's noise of every pixel, an array. ``"nmad"``: 1.4826 times the median absolute deviation of
            the good pixels. ``"std"``: half of the 16–84 percentile range of the pixels without any mask bit.
            ``"default"``: ``"sep"`` if a source background is loaded, else ``"nmad"``.
        rmbkgd : bool
            For ``"std"``: use background-subtracted pixels.

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

    def get_noise_ratio(self, radius: ArrayLike) -> FloatArray:
        """Return the scatter of the sky in an aperture relative to that of independent pixels with `get_noise`.

        Neighbouring pixels of real images are correlated, and the ratio grows with the aperture: 1.05, 1.2 and 1.4 at
        3, 5 and 7 px on a ZTF quadrant. It is measured once, as in the archive, in 1,500 apertures without sources.

        Parameters
        ----------
        radius : float or array_like
            Pixels. Interpolated between ZTF's 6 radii from 1 to 7 px, and constant beyond.

        Returns
        -------
        ndarray
            1 if the image has fewer than 100 free places.
        """
        if self._noise_ratios is None:
            clean = self._subtracted
            noise = float(np.asarray(self.get_noise()))
            bad = self.get_mask()
            any_bit = self._any_mask_bit()
            occupied = bad | (clean > OCCUPIED_SIGMA * noise) | (False if any_bit is None else any_bit)
            flat = BackgroundMesh(self.shape, self.shape, np.zeros((1, 1)), np.full((1, 1), noise))
            pixels = np.where(bad, np.float32(0.0), clean)
            self._noise_ratios = sky_noise_ratios(pixels, flat, free_bins(occupied), ExtractionSettings())
        if not np.all(np.isfinite(self._noise_ratios)):
            return np.ones(np.shape(radius))
        known = np.asarray(APERTURE_DIAMETERS) / 2.0
        return np.asarray(np.interp(np.asarray(radius, dtype=float), known, self._noise_ratios))

    def _blank_pixels(self, rmbkgd: bool) -> FloatArray:
        """Good pixels that no mask bit marks as a source."""
        any_bit = self._any_mask_bit()
        data = self.data - np.asarray(self.get_background(), dtype=np.float32) if rmbkgd else self.data
        return data[~(self.get_mask() if any_bit is None else any_bit)]
