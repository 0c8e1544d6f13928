"""Copies of simulated images whose pixels are stored as integers, and how astropy reads them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits

SCALINGS = {8: (2.0, 100.0), 16: (1.0, 32768.0), 32: (0.25, 0.0), 64: (1.0, 0.0)}
"""BSCALE and BZERO by BITPIX, powers of two or whole numbers, so that single precision holds each pixel exactly."""


def store_as_integers(path: Path, bitpix: int, *, blank: bool = False, extension: bool = False) -> None:
    """Write the image of a file anew as integers.

    Parameters
    ----------
    path : Path
        Has one image in its primary HDU.
    bitpix : int
        8, 16, 32 or 64.
    blank : bool
        Give some pixels the value of a card BLANK.
    extension : bool
        Put the image into an extension after one without pixels; BLANK of the primary header then means nothing.
    """
    with fits.open(path) as hdus:
        data, header = np.nan_to_num(hdus[0].data, nan=150.0), hdus[0].header.copy()
    bscale, bzero = SCALINGS[bitpix]
    kind = np.dtype({8: "u1", 16: "i2", 32: "i4", 64: "i8"}[bitpix])
    limits = np.iinfo(kind)
    stored = np.clip(np.rint((data - bzero) / bscale), limits.min, limits.max).astype(kind)
    for keyword in ("BSCALE", "BZERO", "BLANK"):
        header.remove(keyword, ignore_missing=True)
    made = fits.ImageHDU(stored, header) if extension else fits.PrimaryHDU(stored, header)
    made.header["HISTORY"] = "blank pixels are mentioned here, too"
    hdus = fits.HDUList([made])
    if extension:
        primary = fits.PrimaryHDU()
        primary.header["BLANK"] = int(stored[60, 70])
        hdus = fits.HDUList([primary, fits.ImageHDU(np.zeros(3, "i2"), name="OTHER"), made])
    if (bscale, bzero) != (1.0, 0.0):
        made.header["BSCALE"], made.header["BZERO"] = bscale, bzero
    if blank:
        made.header["BLANK"] = int(stored[50, 80])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy drops a BLANK without integer pixels
        hdus.writeto(path, overwrite=True, output_verify="ignore")


def read_by_astropy(path: Path) -> np.ndarray:
    """Return the pixels of the last HDU as float32; NaN where astropy finds BLANK."""
    with warnings.catch_warnings(), fits.open(path, uint=False) as hdus:
        warnings.simplefilter("ignore")
        return np.asarray(hdus[-1].data, np.float32)
