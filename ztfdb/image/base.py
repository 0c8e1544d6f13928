"""`Image`: the common base of science and reference images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.extract.sepobjects import sep_objects
from ztfdb.image.backgrounds import DETECTION_THRESHOLD, Backgrounds
from ztfdb.image.conversions import Conversions
from ztfdb.image.photometry import Photometry
from ztfdb.image.pixels import Data
from ztfdb.image.ps1 import read_ps1_calibrators
from ztfdb.records import Stamp
from ztfdb.stamps import cut_stamp


class Image(Backgrounds, Conversions, Photometry):
    """A quadrant in memory, with its sources, photometry, stamps and pictures."""

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
            Threshold in units of `err`; in DN if `err` is switched off.
        err : float, ndarray or "None"
            Pixel noise, DN; default `get_noise`. The text ``"None"`` switches it off.
        mask : ndarray of bool or "None"
            True for pixels to omit; default `get_mask`. The text ``"None"`` switches it off.
        data : str or ndarray
            ``"data"``, ``"datamasked"``, ``"dataclean"`` or your own pixels.
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
        if np.ndim(noise):  # type: ignore[arg-type]  # None has no dimension
            noise = self._of_image_shape(noise, "err")
        bad = self.get_mask() if mask is None else None if isinstance(mask, str) else mask
        if bad is not None:
            bad = self._of_image_shape(bad, "mask", bool)
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
        """Store a table in `catalogs`; a missing pair of ``x, y`` or ``ra, dec`` is computed from the other.

        Raises
        ------
        ValueError
            If both pairs are missing.
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
            ``"data"``, ``"datamasked"`` or ``"dataclean"``; default the last if a background is set, else the first.
        ax : matplotlib Axes, optional
        show_ps1cal : bool
            Circle the PS1 calibrators (loaded if necessary).
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
            Folder that contains ``calibrator/``; default ``$ZTFDATA``. See `ztfdb.image.ps1.read_ps1_calibrators` for
            the layouts.
        setit : bool
            Store the table as the catalogue ``ps1cat``.

        Returns
        -------
        DataFrame
            As in the file, with ``mag, e_mag`` of this image's filter and ``x, y``; stars farther than 10 px outside
            the image are omitted.

        Raises
        ------
        CatalogueFileError
            If no file is found, or it lacks the field or a column.
        MissingExtraError
            If the package that reads the file is not installed.
        """
        table = read_ps1_calibrators(self.fieldid, self.rcid, self._frame.info.filtercode[1], root)
        table["x"], table["y"] = self.coords_to_pixels(table["ra"].to_numpy(), table["dec"].to_numpy())
        ny, nx = self.shape
        near = table["x"].between(-10.5, nx + 9.5) & table["y"].between(-10.5, ny + 9.5)
        table = table[near].reset_index(drop=True)
        if setit:
            self.catalogs.set_catalog(table, "ps1cat")
        return table
