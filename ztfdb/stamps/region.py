"""Cutouts of a part of the sky: the rows and columns of an image that contain it, as a streamed FITS file."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.frame.fitsfile import BLOCK
from ztfdb.frame.wcs import parameters_to_header
from ztfdb.frame.window import PixelFile, open_pixels
from ztfdb.records import StoredPixels
from ztfdb.sky.projection import pixel_to_sky, sky_to_pixel
from ztfdb.sky.shapes import SkyShape
from ztfdb.wcs import WcsParameters

ROWS = 64
"""Rows per piece: 790 kB of a whole quadrant."""

GRID = 65
"""Points along each axis of the image that are tested against the shape."""

_OWN = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|EXTEND|EXTNAME|EXTVER|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|END|"
    r"Z(?:IMAGE|SIMPLE|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0|BLANK|TENSION|PCOUNT|GCOUNT|EXTEND|"
    r"HECKSUM|DATASUM|SCALE|ZERO)|T(?:FIELDS|TYPE\d+|FORM\d+)|THEAP|"
    r"WCSAXES|RADE(?:C)?SYS|LONPOLE|LATPOLE|EQUINOX|C(?:TYPE|UNIT|RVAL|RPIX|DELT|ROTA)\d|(?:CD|PC|PV)\d_\d+|"
    r"[AB]P?_(?:ORDER|DMAX|\d_\d)"
)
"""Cards about the storage or the position of the pixels, of which a cutout has its own."""


def window_of(wcs: WcsParameters, shape: tuple[int, int], wanted: SkyShape) -> tuple[slice, slice] | None:
    """Return the smallest range of rows and columns that contains the part of a shape on an image.

    Tests points on the rim of the shape and a grid of the image. The error is less than the spacing of the points: 2
    pixels on the rim of a shape as large as a quadrant.

    Parameters
    ----------
    wcs : WcsParameters
    shape : tuple of int
        ``(ny, nx)``.
    wanted : SkyShape

    Returns
    -------
    rows, cols : slice
        None if no part of the shape lies on the image.
    """
    ny, nx = shape
    x, y = sky_to_pixel(wcs, *wanted.rim())
    on = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
    gx, gy = np.meshgrid(np.linspace(-0.5, nx - 0.5, GRID), np.linspace(-0.5, ny - 0.5, GRID))
    within = wanted.contains(*pixel_to_sky(wcs, gx.ravel(), gy.ravel()))
    xs, ys = np.concatenate([x[on], gx.ravel()[within]]), np.concatenate([y[on], gy.ravel()[within]])
    if not len(xs):
        return None
    return _pixels(ys, ny), _pixels(xs, nx)


def _pixels(at: NDArray[np.float64], n: int) -> slice:
    """Return the pixels that contain places between -0.5 and n - 0.5."""
    first, last = math.floor(at.min() + 0.5), math.floor(at.max() + 0.5)
    return slice(min(max(first, 0), n - 1), min(last, n - 1) + 1)


@dataclass(frozen=True)
class Cutout:
    """A part of an image with its files open; use it in a ``with`` block.

    Attributes
    ----------
    image : StoredPixels
    rows, cols : slice
    cards : dict
        Header cards of the image as stored in the archive; all are kept except those about the storage of pixels.
    mask : bool
        Whether to append the mask, if the image has one, as the extension ``MSK``.
    """

    image: StoredPixels
    rows: slice
    cols: slice
    cards: dict[str, Any]
    mask: bool = False
    _stack: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _files: list[PixelFile] = field(default_factory=list, init=False, repr=False)

    def __enter__(self) -> Cutout:
        facts = [self.image.own, *([self.image.mask] if self.mask and self.image.mask is not None else [])]
        try:
            self._files.extend(self._stack.enter_context(open_pixels(self.image, one)) for one in facts)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def n_bytes(self) -> int:
        """Size of the FITS file."""
        n_pixel = (self.rows.stop - self.rows.start) * (self.cols.stop - self.cols.start)
        size = len(_block(self._header(fits.PrimaryHDU(), -32))) + _whole(4 * n_pixel)
        if self.mask and self.image.mask is not None:
            size += len(_block(self._mask_header())) + _whole(2 * n_pixel)
        return size

    def pieces(self) -> Iterator[bytes]:
        """Yield the FITS file: float32 pixels as in the image's file, then the mask.

        The first pixels of both are read before anything is yielded, so that a damaged file is an error, not a half.
        """
        converters: list[Any] = [
            lambda data: data.astype(">f4"),
            lambda data: (data.astype(">i4") - 32768).astype(">i2"),
        ]
        pixels = [_pixels_of(one, self.rows, self.cols, how) for one, how in zip(self._files, converters, strict=False)]
        heads = [_block(self._header(fits.PrimaryHDU(), -32)), *[_block(self._mask_header()) for _ in self._files[1:]]]
        begun = [head + next(rest) for head, rest in zip(heads, pixels, strict=True)]
        for first, rest in zip(begun, pixels, strict=True):
            yield first
            yield from rest

    def _mask_header(self) -> fits.Header:
        header = self._header(fits.ImageHDU(name="MSK"), 16)
        header["BSCALE"], header["BZERO"] = 1, 32768  # unsigned
        return header

    def _header(self, hdu: Any, bitpix: int) -> fits.Header:
        header: fits.Header = hdu.header
        header["BITPIX"], header["NAXIS"] = bitpix, 2
        header.set("NAXIS1", self.cols.stop - self.cols.start, after="NAXIS")
        header.set("NAXIS2", self.rows.stop - self.rows.start, after="NAXIS1")
        old = self.image.wcs
        crpix = old.crpix - (self.cols.start, self.rows.start)
        header.extend(parameters_to_header(WcsParameters(old.projection, old.crval, crpix, old.cd, old.pv)).cards)
        header["IMAGEID"] = (self.image.image_id, "ztfdb image_id")
        header["STAMPX0"] = (self.cols.start, "[pix] zero-based first column on the image")
        header["STAMPY0"] = (self.rows.start, "[pix] zero-based first row on the image")
        header["FILENAME"] = (Path(self.image.own.path).name, "file of the image")
        if bitpix < 0:
            _keep(header, self.cards)
        return header


def _keep(header: fits.Header, cards: dict[str, Any]) -> None:
    """Add the cards of the image that the cutout does not have."""
    own = set(header)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in cards.items():
            if keyword in own or _OWN.fullmatch(keyword):
                continue
            for one in value if isinstance(value, list) else [value]:
                try:
                    if keyword in ("COMMENT", "HISTORY"):
                        header.add_history(str(one)) if keyword == "HISTORY" else header.add_comment(str(one))
                    else:
                        header.append(fits.Card(keyword, one), end=True)
                except (ValueError, fits.VerifyError):
                    continue  # a card that FITS does not allow


def _block(header: fits.Header) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text: str = header.tostring()
    return text.encode("ascii", "replace")


def _pixels_of(file: PixelFile, rows: slice, cols: slice, convert: Any) -> Iterator[bytes]:
    """Yield the pixels of a window in batches of rows, then the padding of the last block."""
    size = 0
    for first in range(rows.start, rows.stop, ROWS):
        piece = convert(file.read(slice(first, min(first + ROWS, rows.stop)), cols)).tobytes()
        size += len(piece)
        yield piece
    yield b"\0" * (_whole(size) - size)


def _whole(size: int) -> int:
    """Return the size of the blocks for this many bytes."""
    return size + -size % BLOCK
