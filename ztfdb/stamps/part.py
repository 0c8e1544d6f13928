"""Write a part of an image file as a FITS file with the whole header, like IRSA's cutouts."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from ztfdb.errors import ImageReadError
from ztfdb.frame.remote import is_remote
from ztfdb.frame.window import open_pixels
from ztfdb.records import FileFacts, StoredPixels

_OF_THE_WHOLE = ("CHECKSUM", "DATASUM", "BZERO", "BSCALE", "BLANK")


def cut_part(image: StoredPixels, facts: FileFacts, x: float, y: float, width: int, height: int) -> bytes | None:
    """Return a part of a file, centred on the pixel that contains the position.

    Parameters
    ----------
    image : StoredPixels
    facts : FileFacts
        Its file, or its mask's.
    x, y : float
        Zero-based pixels.
    width, height : int
        Pixels; at the edge of the image the part is smaller.

    Returns
    -------
    bytes or None
        A FITS file with the header of the whole file and shifted CRPIX. None if no pixel of the part is on the image.

    Raises
    ------
    ImageReadError
        If the file is missing, was changed, or cannot be read.
    """
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    ny, nx = image.shape
    x0, y0 = math.floor(x + 0.5) - width // 2, math.floor(y + 0.5) - height // 2
    rows, columns = slice(max(y0, 0), min(y0 + height, ny)), slice(max(x0, 0), min(x0 + width, nx))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    with open_pixels(image, facts) as pixels:
        data = pixels.read(rows, columns)
    return _written(data, _header(image, facts), columns.start, rows.start)


def _header(image: StoredPixels, facts: FileFacts) -> fits.Header:
    if is_remote(facts.path):
        return fits.Header((image.cards or {}).get(facts.role, {}).items())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            return fits.getheader(facts.path, facts.hdu)
    except OSError as exc:
        raise ImageReadError(facts.path, str(exc)) from exc


def _written(data: NDArray[Any], header: fits.Header, x0: int, y0: int) -> bytes:
    for keyword in _OF_THE_WHOLE:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    for keyword, first in (("CRPIX1", x0), ("CRPIX2", y0)):
        if keyword in header:
            header[keyword] = float(header[keyword]) - first
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        hdu = fits.PrimaryHDU(np.ascontiguousarray(data, data.dtype.newbyteorder("=")), header)
        hdu.writeto(content, output_verify="silentfix")
    return content.getvalue()
