"""`ScienceImage`: a ``sciimg`` with its ``mskimg``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ztfdb.arrays import BoolArray
from ztfdb.bits import MaskBit
from ztfdb.frame.filename import mask_path_for
from ztfdb.image.backgrounds import SOURCE_RADIUS
from ztfdb.image.base import Image


class ScienceImage(Image):
    """A science image and its mask.

    Parameters
    ----------
    imagefile : str or Path
        ``…_sciimg.fits``, whole or a cutout; also ``.gz`` and ``.fz``.
    maskfile : str or Path, optional
        ``…_mskimg.fits``. Without it only non-finite pixels are masked; `from_filename` finds it.

    Raises
    ------
    ImageReadError, HeaderError, WcsError, MaskError
        If a file cannot be used.
    """

    def __init__(self, imagefile: str | Path, maskfile: str | Path | None = None) -> None:
        super().__init__(self._read(imagefile, maskfile))

    @classmethod
    def from_filename(cls, filename: str | Path, filenamemask: str | Path | None = None) -> ScienceImage:
        """Open an image with the mask beside it, found by ZTF's name, or without a mask if there is none."""
        return cls(filename, mask_path_for(filename) if filenamemask is None else filenamemask)

    def get_mask(  # type: ignore[override]
        self,
        *,
        tracks: bool = True,
        sexsources: bool = False,
        lowresponsivity: bool = True,
        highresponsivity: bool = True,
        noisy: bool = True,
        ghosts: bool = True,
        spillage: bool = True,
        spikes: bool = True,
        saturated: bool = True,
        dead: bool = True,
        nan: bool = True,
        psfsources: bool = False,
        brightstarhalo: bool = True,
        alltrue: bool = False,
        getflags: bool = False,
        from_sources: bool | pd.DataFrame | None = None,
        r: float = SOURCE_RADIUS,
    ) -> BoolArray | list[int]:
        """Return a map that is True for bad pixels.

        Parameters
        ----------
        tracks, sexsources, lowresponsivity, highresponsivity, noisy, ghosts, spillage, spikes, saturated, dead, nan, \
psfsources, brightstarhalo : bool
            Bits of the mask image to use. ``nan`` also masks non-finite pixels without this bit (the original did not).
        alltrue : bool
            Use all bits.
        getflags : bool
            Return the list of selected bit values instead.
        from_sources : bool or DataFrame, optional
            True (for `sources`) or a table with ``x, y, a, b, theta``: mask only ellipses around these.
        r : float
            Scale of the ellipses, in their rms half axes.

        Returns
        -------
        ndarray of bool, shape (ny, nx), or list of int

        Raises
        ------
        TypeError
            If a flag is unknown.
        ValueError
            If there are no sources, or their table lacks a column.
        """
        chosen = {
            MaskBit.TRACKS: tracks,
            MaskBit.SEXSOURCES: sexsources,
            MaskBit.LOWRESPONSIVITY: lowresponsivity,
            MaskBit.HIGHRESPONSIVITY: highresponsivity,
            MaskBit.NOISY: noisy,
            MaskBit.GHOSTS: ghosts,
            MaskBit.SPILLAGE: spillage,
            MaskBit.SPIKES: spikes,
            MaskBit.SATURATED: saturated,
            MaskBit.DEAD: dead,
            MaskBit.NAN: nan,
            MaskBit.PSFSOURCES: psfsources,
            MaskBit.BRIGHTSTARHALO: brightstarhalo,
        }
        flags = [int(bit) for bit, wanted in chosen.items() if wanted]
        if getflags:
            return flags
        if from_sources is not None and from_sources is not False:
            return self._mask_of_sources(from_sources, r)
        bad = ~np.isfinite(self.data) if nan else np.zeros(self.shape, dtype=bool)
        if self.mask is not None:
            bad |= (self.mask > 0) if alltrue else (self.mask & np.uint16(sum(flags))) != 0
        return bad

    def _mask_of_sources(self, from_sources: Any, r: float) -> BoolArray:
        table = self.sources if from_sources is True else from_sources
        if table is None:
            raise ValueError("there are no sources to mask: run extract_sources() first")
        return self._ellipses(table, r)

    def _any_mask_bit(self) -> BoolArray | None:
        """Mark pixels with any bit, including the 2 source bits, and non-finite pixels."""
        return None if self.mask is None else (self.mask > 0) | ~np.isfinite(self.data)
