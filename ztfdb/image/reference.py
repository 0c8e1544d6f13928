"""`ReferenceImage`: the deep coadd of a field, quadrant and filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.errors import MaskError
from ztfdb.frame.fitsfile import find_image, read_bytes
from ztfdb.image.backgrounds import SOURCE_RADIUS
from ztfdb.image.base import Image


class ReferenceImage(Image):
    """A reference image: the same methods as `ScienceImage`.

    Parameters
    ----------
    imagefile : str or Path
        ``…_refimg.fits``. Its pixel grid differs from the science image's: 1.00 arcsec, x to the east.
    covfile, uncfile : str or Path, optional
        ``…_refcov.fits`` and ``…_refunc.fits``: pixels without coverage, or without a finite positive uncertainty, are
        masked. ZTF has no mask product for references; without these files only NaN pixels are masked.

    Raises
    ------
    ImageReadError, HeaderError, WcsError
        If a file cannot be used.
    MaskError
        If coverage or uncertainty have a different shape.
    """

    def __init__(
        self, imagefile: str | Path, covfile: str | Path | None = None, uncfile: str | Path | None = None
    ) -> None:
        super().__init__(self._read(imagefile))
        globmed = self.header.get("GLOBMED")
        self.background = float(globmed) if isinstance(globmed, (int, float)) and np.isfinite(globmed) else 0.0
        self._mask = ~np.isfinite(self.data)
        if covfile is not None:
            self._mask |= ~(self._companion(covfile) > 0)
        if uncfile is not None:
            uncertainty = self._companion(uncfile)
            self._mask |= ~(np.isfinite(uncertainty) & (uncertainty > 0))

    @classmethod
    def from_filename(cls, filename: str | Path) -> ReferenceImage:
        """Open a reference with the coverage and uncertainty images beside it, if they exist."""
        path = Path(filename)
        beside = [path.with_name(path.name.replace("refimg", product)) for product in ("refcov", "refunc")]
        return cls(path, *(p if p != path and p.exists() else None for p in beside))

    @property
    def mask(self) -> BoolArray:
        """True for pixels without data."""
        return self._mask

    @property
    def nframe(self) -> int | None:
        """Number of exposures in the coadd (NFRAMES, which has a different meaning on science images)."""
        return self._frame.info.nframes

    def get_mask(
        self, *, from_sources: bool | pd.DataFrame | None = None, r: float = SOURCE_RADIUS, **_flags: Any
    ) -> BoolArray:
        """Return a map that is True for pixels without data.

        Parameters
        ----------
        from_sources : bool or DataFrame, optional
            True (for `sources`) or a table with ``x, y, a, b, theta``: mask only ellipses around these.
        r : float
            Scale of the ellipses, in their rms half axes.
        **_flags
            The science image's flags are accepted and ignored: a reference has no mask bits.

        Returns
        -------
        ndarray of bool, shape (ny, nx)
        """
        if from_sources is None or from_sources is False:
            return self._mask.copy()
        table = self.sources if from_sources is True else from_sources
        if table is None:
            raise ValueError("there are no sources to mask: run extract_sources() first")
        return self._ellipses(table, r)

    def _companion(self, path: str | Path) -> FloatArray:
        image = find_image(read_bytes(path))
        if image.pixels.shape != self.shape:
            raise MaskError(path, f"it has shape {image.pixels.shape}, the reference {self.shape}")
        return np.asarray(image.pixels * image.bscale + image.bzero, dtype=np.float32)
