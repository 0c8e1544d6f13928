"""Cut stamps from the files of ingested images, whose pixels `ztfdb.frame.window` reads."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.arrays import FloatArray, MaskArray
from ztfdb.bits import BAD_BITS
from ztfdb.errors import ImageError, StampError
from ztfdb.frame.wcs import astropy_wcs, parameters_to_header
from ztfdb.frame.window import PixelFile, file_status, open_pixels
from ztfdb.records import StoredPixels
from ztfdb.stamps.cutout import stamp_origin
from ztfdb.wcs import WcsParameters

OK = "ok"
OFF = "off the image"


@dataclass(frozen=True, eq=False, repr=False)
class ImageStamp:
    """A stamp of an ingested image.

    Attributes
    ----------
    image_id : int
    ra, dec : float
        The requested position, deg.
    x, y : float
        Its zero-based pixel on the image.
    x0, y0 : int
        Image pixel of the stamp's first pixel.
    data : ndarray of float32, shape (ny, nx)
        Pixels as in the file, sky included, DN; NaN outside the image, and everywhere without a file.
    mask : ndarray of uint16, shape (ny, nx), or None
        `ztfdb.bits.MaskBit`; 0 outside the image. None without a mask.
    parameters : WcsParameters
        The stamp's own WCS.
    radius : float
        Radius of the aperture, pixels.
    status : str
        ``ok``; ``file missing``, ``file changed`` or ``file unreadable``; or ``off the image``.
    problem : ImageError or None
        The problem in full.
    facts : dict
        Properties of the image (``mjd``, ``filtercode`` and others) for titles and headers.
    north_up : bool
        The stamp was flipped so that north is up and east is left, as far as flips allow.
    """

    image_id: int
    ra: float
    dec: float
    x: float
    y: float
    x0: int
    y0: int
    data: FloatArray
    mask: MaskArray | None
    parameters: WcsParameters
    radius: float
    status: str = OK
    problem: ImageError | None = None
    facts: dict[str, Any] | None = None
    north_up: bool = False

    def __repr__(self) -> str:
        ny, nx = self.shape
        where = f"({self.ra:.6f}, {self.dec:+.6f}) deg on image {self.image_id}"
        return f"<ImageStamp of {where}: {nx} x {ny} px, {self.status}>"

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.data.shape[0], self.data.shape[1]

    @property
    def wcs(self) -> Any:
        """The stamp's own WCS as an astropy WCS, made on demand (2 ms)."""
        return astropy_wcs(self.parameters)

    @property
    def xref(self) -> float:
        """The position's x in pixels of the stamp."""
        return self.x - self.x0

    @property
    def yref(self) -> float:
        """The position's y in pixels of the stamp."""
        y = self.y - self.y0
        return self.shape[0] - 1 - y if self.north_up else y

    @property
    def bad(self) -> NDArray[np.bool_]:
        """True where a pixel is bad, not finite, or outside the image."""
        bad = ~np.isfinite(self.data)
        return bad if self.mask is None else bad | ((self.mask & np.uint16(BAD_BITS)) != 0)

    def turned_north(self) -> ImageStamp:
        """Return the stamp with north up and east left, by reversing its rows, without resampling.

        North is up to within the camera's rotation, a few degrees. On a ZTF image x grows to the west and y to the
        south.

        Raises
        ------
        StampError
            If the image is oriented otherwise.
        """
        if self.north_up:
            return self
        cd = self.parameters.cd
        if not (cd[0, 0] < -abs(cd[0, 1]) and cd[1, 1] < -abs(cd[1, 0])):
            raise StampError(str(self.image_id), "not oriented as ZTF's images are: flips do not turn it north")
        crpix = np.array([self.parameters.crpix[0], self.shape[0] + 1 - self.parameters.crpix[1]])
        turned = replace(self.parameters, crpix=crpix, cd=cd * np.array([1.0, -1.0]))
        mask = None if self.mask is None else self.mask[::-1]
        return replace(self, data=self.data[::-1], mask=mask, parameters=turned, north_up=True)

    def to_hdus(self, number: int = 1) -> list[fits.ImageHDU]:
        """Return the stamp as FITS extensions ``SCI`` and, with a mask, ``MSK``; `number` is their EXTVER."""
        header = parameters_to_header(self.parameters)
        for keyword, value, comment in self._cards():
            header[keyword] = (value, comment)
        hdus = [fits.ImageHDU(np.ascontiguousarray(self.data), header, name="SCI", ver=number)]
        if self.mask is not None:
            hdus.append(fits.ImageHDU(np.ascontiguousarray(self.mask), header, name="MSK", ver=number))
        return hdus

    def show(self, ax: Any = None, **options: Any) -> Any:
        """Draw the stamp with its aperture; see `ztfdb.plot.draw_stamp`. Returns the Axes."""
        from ztfdb.plot import draw_stamp

        return draw_stamp(self, ax, **{"aperture": self.radius, **options})

    def _cards(self) -> list[tuple[str, Any, str]]:
        cards: list[tuple[str, Any, str]] = [
            ("IMAGEID", self.image_id, "ztfdb image_id"),
            ("STATUS", self.status, "of the file the stamp was cut from"),
            ("TARGRA", self.ra, "[deg] position asked for"),
            ("TARGDEC", self.dec, "[deg] position asked for"),
            ("TARGX", self.xref, "[pix] zero-based position on this stamp"),
            ("TARGY", self.yref, "[pix] zero-based position on this stamp"),
            ("STAMPX0", self.x0, "[pix] zero-based first column on the image"),
            ("STAMPY0", self.y0, "[pix] zero-based first row on the image"),
            ("APERRAD", self.radius, "[pix] radius of the aperture"),
            ("NORTHUP", self.north_up, "rows in the opposite order"),
        ]
        known = (
            ("mjd", "OBSMJD", "[d] exposure start, UTC"),
            ("filtercode", "FILTER", ""),
            ("path", "FILENAME", ""),
            ("position", "POSITION", "row of the table of positions, from 0"),
        )
        for name, keyword, comment in known:
            value = (self.facts or {}).get(name)
            if value is not None and value == value:
                cards.append((keyword, Path(value).name if name == "path" else value, comment))
        return cards


def cut_stamps(
    image: StoredPixels,
    ra: Sequence[float],
    dec: Sequence[float],
    x: Sequence[float],
    y: Sequence[float],
    *,
    size: int,
    radius: float,
    facts: dict[str, Any] | None = None,
) -> list[ImageStamp]:
    """Cut stamps from one image; each of its files is opened once.

    Parameters
    ----------
    image : StoredPixels
    ra, dec : sequence of float
        Positions, deg.
    x, y : sequence of float
        Their zero-based pixels on the image.
    size : int
        Width and height, pixels; the pixel that contains the position is the central one.
    radius : float
        Radius of the aperture to show, pixels.
    facts : dict, optional
        Properties of the image.

    Returns
    -------
    list of ImageStamp
        One for each position, with its `status`; problems of files do not raise.
    """
    places = list(zip(ra, dec, x, y, strict=True))
    try:
        with ExitStack() as stack:
            pixels = stack.enter_context(open_pixels(image, image.own))
            mask = stack.enter_context(open_pixels(image, image.mask)) if image.mask is not None else None
            return [_cut(image, place, size, radius, facts, pixels, mask) for place in places]
    except ImageError as exc:
        return [_blank(image, place, size, radius, facts, exc) for place in places]


def write_stamps(path: str | Path, stamps: Iterable[ImageStamp]) -> None:
    """Write stamps into one FITS file: an empty primary HDU, then ``SCI`` and ``MSK`` of each.

    The file is written atomically.
    """
    hdus = _hdus(stamps)
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        hdus.writeto(part, overwrite=True)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def stamps_file(stamps: Iterable[ImageStamp]) -> bytes:
    """Return the content of the file of `write_stamps`."""
    content = io.BytesIO()
    _hdus(stamps).writeto(content)
    return content.getvalue()


def _hdus(stamps: Iterable[ImageStamp]) -> fits.HDUList:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    n = 0
    for n, stamp in enumerate(stamps, start=1):
        hdus.extend(stamp.to_hdus(n))
    hdus[0].header["NSTAMP"] = (n, "stamps in this file")
    return hdus


def _cut(
    image: StoredPixels,
    place: tuple[float, float, float, float],
    size: int,
    radius: float,
    facts: dict[str, Any] | None,
    pixels: PixelFile,
    mask: PixelFile | None,
) -> ImageStamp:
    ra, dec, x, y = place
    if not (math.isfinite(x) and math.isfinite(y)):
        return _blank(image, place, size, radius, facts, None)
    x0, y0 = stamp_origin(x, y, size, size)
    ny, nx = image.shape
    rows, cols = slice(max(y0, 0), min(y0 + size, ny)), slice(max(x0, 0), min(x0 + size, nx))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return _blank(image, place, size, radius, facts, None)
    data, bits = pixels.read(rows, cols), None if mask is None else mask.read(rows, cols)
    if data.shape != (size, size):
        inner = (slice(rows.start - y0, rows.stop - y0), slice(cols.start - x0, cols.stop - x0))
        data = _padded(data, inner, size, np.nan)
        bits = None if bits is None else _padded(bits, inner, size, 0)
    return ImageStamp(
        image.image_id, ra, dec, x, y, x0, y0, data, bits, _shifted(image.wcs, x0, y0), radius, OK, None, facts
    )


def _padded(window: NDArray[Any], inner: tuple[slice, slice], size: int, value: float) -> NDArray[Any]:
    whole = np.full((size, size), value, window.dtype)
    whole[inner] = window
    return whole


def _blank(
    image: StoredPixels,
    place: tuple[float, float, float, float],
    size: int,
    radius: float,
    facts: dict[str, Any] | None,
    problem: ImageError | None,
) -> ImageStamp:
    ra, dec, x, y = place
    known = math.isfinite(x) and math.isfinite(y)
    x0, y0 = stamp_origin(x, y, size, size) if known else (0, 0)
    status = OFF if problem is None else file_status(problem)
    data = np.full((size, size), np.nan, np.float32)
    wcs = _shifted(image.wcs, x0, y0)
    return ImageStamp(image.image_id, ra, dec, x, y, x0, y0, data, None, wcs, radius, status, problem, facts)


def _shifted(wcs: WcsParameters, x0: int, y0: int) -> WcsParameters:
    return WcsParameters(wcs.projection, wcs.crval, wcs.crpix - (x0, y0), wcs.cd, wcs.pv)
