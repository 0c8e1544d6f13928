"""The first two-dimensional image of a FITS file, read without trusting the file.

ztfdb reads plain images itself: astropy parses the header, the sizes in it are compared with the size of the file
before memory is allocated, and the pixels need only a byte swap. Gzip streams are unpacked only up to the end of the
image; astropy unpacks tile-compressed images (``.fz``) after the same checks.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import stat
import warnings
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.errors import HeaderError, ImageReadError
from ztfdb.frame.cards import card_value
from ztfdb.frame.plaincards import Cards, parse_cards
from ztfdb.frame.tiles import check_tiles, unpack_tiles

BLOCK = 2880
"""Size of a FITS block, bytes."""

MAX_FILE_BYTES = 2**31
"""Largest file that is read, bytes; a ZTF image has 38 million."""

MAX_SIDE = 20_000
"""Largest side of an image, pixels."""

MAX_PIXELS = 100_000_000
"""Most pixels of an image; a ZTF quadrant has 9.5 million."""

MAX_HEADER_BLOCKS = 400
"""Longest header that is read: 14,400 cards."""

MAX_HDU = 100
"""Most HDUs that are searched for an image."""

MAX_DEFLATE_RATIO = 1040
"""Deflate packs at most 1032 bytes into one, so that a claimed size can be checked before unpacking."""

MAX_REST = 1 << 26
"""Most bytes behind an image or a table that are unpacked to reach the checksum of a gzip stream."""

_TRAILING = "Not a gzipped file"
"""How Python's error begins for bytes behind a complete gzip stream, which gzip itself ignores."""

DTYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""Stored pixel types by BITPIX."""

PRINTABLE = bytes(c if 32 <= c < 127 else 32 for c in range(256))
"""Translation of header bytes: bytes that FITS forbids become blanks, otherwise astropy refuses the whole card."""

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class RawFile:
    """The bytes of a file and its file-system attributes."""

    path: str
    content: memoryview
    mtime_ns: int


@dataclass(frozen=True)
class FitsImage:
    """One two-dimensional image as stored.

    Attributes
    ----------
    header : astropy.io.fits.Header
        The image's header; for an extension completed by the cards of the primary header.
    pixels : ndarray, shape (ny, nx)
        Stored values: unscaled and big-endian, a view of the file's bytes, for plain and gzip files; scaled by
        astropy for tile-compressed ones.
    hdu : int
        Index of the HDU.
    byte_offset : int or None
        Where the pixels start in a plain file.
    bitpix : int
        BITPIX of the image.
    bscale, bzero : float
        Scaling of the stored values that is still to be applied for plain and gzip files.
    blank : int or None
        Stored value that means "no value".
    compression : str
        ``none``, ``gzip`` or the tile compression type.
    text : str
        The cards of the header in the file; empty if the header is not that of one HDU.
    """

    header: fits.Header
    pixels: NDArray[Any]
    hdu: int
    byte_offset: int | None
    bitpix: int
    bscale: float
    bzero: float
    blank: int | None
    compression: str
    text: str = ""

    @cached_property
    def cards(self) -> Cards:
        """The cards of the header, parsed once."""
        return parse_cards(self.header, self.text)


@dataclass(frozen=True)
class FitsTable:
    """One binary table as stored.

    Attributes
    ----------
    header, primary : astropy.io.fits.Header
        The table's own header and the file's first.
    content : memoryview
        ``n_row`` rows of ``width`` bytes.
    n_row, width : int
    hdu : int
    byte_offset : int or None
        Where the rows start in a plain file.
    compression : str
        ``none`` or ``gzip``.
    """

    header: fits.Header
    primary: fits.Header
    content: memoryview
    n_row: int
    width: int
    hdu: int
    byte_offset: int | None
    compression: str


def read_bytes(path: str | Path) -> RawFile:
    """Read a whole file into memory.

    Raises
    ------
    ImageReadError
        If it is missing, not a regular file, unreadable, empty, or larger than 2 GiB.
    """
    try:
        # O_NONBLOCK: opening a named pipe would wait for its other end forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageReadError(path, "not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise ImageReadError(path, f"{status.st_size} bytes, more than an image can have ({MAX_FILE_BYTES})")
            content = _fill(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise ImageReadError(path, f"cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    if not content:
        raise ImageReadError(path, "the file is empty")
    # Not Path.resolve: a link into the data folder keeps the name that the archive has for the file.
    return RawFile(os.path.abspath(path), content, status.st_mtime_ns)  # noqa: PTH100


def _fill(descriptor: int, size: int) -> memoryview:
    """Read a file into an array, which numpy's large pages make twice as fast as reading bytes."""
    content = np.empty(size, dtype=np.uint8).data
    filled = 0
    while filled < size and (n := os.readv(descriptor, [content[filled:]])):
        filled += n
    return content[:filled]


def find_image(raw: RawFile) -> FitsImage:
    """Return the first two-dimensional image of a file.

    Parameters
    ----------
    raw : RawFile
        A plain FITS file, a gzip stream of one (under any name), or one with tile-compressed images.

    Returns
    -------
    FitsImage

    Raises
    ------
    ImageReadError
        If the bytes are not FITS, are truncated, or contain no two-dimensional image of a plausible size.
    HeaderError
        If BSCALE, BZERO or BLANK is not a number.
    """
    packed = bytes(raw.content[:2]) == GZIP_MAGIC
    source = _Source(raw, gzip.GzipFile(fileobj=io.BytesIO(raw.content)) if packed else None)
    if not source.peek(9).startswith(b"SIMPLE  ="):
        start = source.peek(16)
        what = " but a web page, as a failed download leaves" if start.lstrip().startswith(b"<") else ""
        raise ImageReadError(raw.path, f"not a FITS file{what}: it starts with {start!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ztfdb checks odd cards itself, one by one, when it needs them
        found = _search(source, packed)
    source.check_sum()
    return found


def find_table(raw: RawFile, *, max_rows: int, max_width: int) -> FitsTable:
    """Return the first binary table of a file.

    Raises
    ------
    ImageReadError
        If the file is truncated, damaged or not FITS, or has no table within the limits of rows and bytes per row.
    """
    packed = bytes(raw.content[:2]) == GZIP_MAGIC
    unpacked = gzip.GzipFile(fileobj=io.BytesIO(raw.content)) if packed else None
    source = _Source(raw, unpacked)
    if source.peek(9) != b"SIMPLE  =":
        raise ImageReadError(raw.path, "not a FITS file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _search_table(source, packed, max_rows, max_width)
    source.check_sum()
    return found


def _search_table(source: _Source, packed: bool, max_rows: int, max_width: int) -> FitsTable:
    primary: fits.Header | None = None
    for hdu in range(MAX_HDU):
        if hdu and source.peek(8) != b"XTENSION":
            break
        header = _read_header(source)
        primary = header if primary is None else primary
        axes, size = _sizes(header, source.path)
        if hdu and card_value(header, "XTENSION") == "BINTABLE" and len(axes) == 2:
            width, n_row = axes
            if n_row > max_rows or width > max_width:
                raise ImageReadError(
                    source.path, f"a table of {n_row} rows of {width} bytes: at most {max_rows} of {max_width}"
                )
            source.require(size, f"the table of {n_row} rows")
            offset = None if packed else source.position
            content = source.take(n_row * width)
            if len(content) < n_row * width:
                raise ImageReadError(source.path, f"cut short: {len(content)} of {n_row * width} bytes of rows")
            return FitsTable(header, primary, content, n_row, width, hdu, offset, "gzip" if packed else "none")
        source.require(size, f"HDU {hdu}")
        source.skip(-(-size // BLOCK) * BLOCK)
    raise ImageReadError(source.path, "no binary table in it")


class _Source:
    """A plain or gzip stream in memory, read forward; claimed sizes are checked against its actual size."""

    def __init__(self, raw: RawFile, unpacked: gzip.GzipFile | None) -> None:
        self.path = raw.path
        self.content = raw.content
        self.position = 0
        self._stream: BinaryIO | None = unpacked  # type: ignore[assignment]
        self._ahead = b""
        self._limit = len(raw.content) * (1 if unpacked is None else MAX_DEFLATE_RATIO)

    def peek(self, n: int) -> bytes:
        """Return the next bytes without advancing."""
        if self._stream is None:
            return bytes(self.content[self.position : self.position + n])
        if len(self._ahead) < n:
            self._ahead += self._unpack(n - len(self._ahead))
        return self._ahead[:n]

    def take(self, n: int) -> memoryview:
        """Return the next bytes and advance; fewer at the end of the file."""
        if self._stream is None:
            piece = self.content[self.position : self.position + n]
        else:
            ahead, self._ahead = self._ahead[:n], self._ahead[n:]
            rest = self._unpack(n - len(ahead))
            piece = memoryview(ahead + rest if ahead else rest)
        self.position += len(piece)
        return piece

    def skip(self, n: int) -> None:
        """Advance without returning the bytes."""
        if self._stream is None:
            self.position = min(self.position + n, len(self.content))
            return
        while n > 0 and (piece := self.take(min(n, 1 << 24))):
            n -= len(piece)

    def require(self, n: int, what: str) -> None:
        """Raise an error if the file cannot contain this many bytes."""
        if self.position + n > self._limit:
            have = "at most " if self._stream is not None else ""
            raise ImageReadError(
                self.path, f"cut short: {what} needs {n} bytes, {have}{self._limit - self.position} are there"
            )

    def check_sum(self) -> None:
        """Compare a gzip stream with its checksum, which is at its end.

        The rest of a file whose end was never written is zeros, which unpack to a pixel repeated without an error.
        """
        left = MAX_REST
        try:
            while left > 0 and self._stream is not None and (piece := self._unpack(min(left, 1 << 20))):
                left -= len(piece)
        except ImageReadError as exc:
            if not (isinstance(exc.__cause__, gzip.BadGzipFile) and str(exc.__cause__).startswith(_TRAILING)):
                raise

    def _unpack(self, n: int) -> bytes:
        if n <= 0 or self._stream is None:
            return b""
        try:
            return self._stream.read(n)
        except EOFError:
            raise ImageReadError(self.path, "cut short: the gzip stream ends early") from None
        except (OSError, zlib.error) as exc:
            raise ImageReadError(self.path, f"the gzip stream is damaged: {exc}") from exc


def _search(source: _Source, packed: bool) -> FitsImage:
    """Walk through the HDUs up to the first image."""
    primary: fits.Header | None = None
    seen: list[str] = []
    for hdu in range(MAX_HDU):
        start = source.position
        if hdu and source.peek(8) != b"XTENSION":
            break  # the end, or trailing bytes that are not an HDU
        text = _read_cards(source)
        header = fits.Header.fromstring(text)
        primary = header if primary is None else primary
        axes, size = _sizes(header, source.path)
        if card_value(header, "ZIMAGE") is True:
            return _tile_compressed(source, header, hdu, packed)
        if len(axes) == 2 and all(axes) and (hdu == 0 or card_value(header, "XTENSION") == "IMAGE"):
            image = _plain_image(source, header, primary, hdu, packed)
            return replace(image, text=text.decode("ascii")) if hdu == 0 else image
        seen.append(f"{card_value(header, 'XTENSION') or 'PRIMARY'} {'x'.join(map(str, axes)) or 'empty'}")
        source.require(size, f"HDU {hdu}")
        source.skip(-(-size // BLOCK) * BLOCK)
        if source.position == start:
            break
    raise ImageReadError(source.path, f"no two-dimensional image in it, only {', '.join(seen[:5])}")


def _read_header(source: _Source) -> fits.Header:
    return fits.Header.fromstring(_read_cards(source))


def _read_cards(source: _Source) -> bytes:
    """Read header blocks up to END, and return the cards before it in printable characters."""
    text = bytearray()
    for _ in range(MAX_HEADER_BLOCKS):
        block = source.take(BLOCK)
        text += block
        for card in range(len(text) - len(block), len(text), 80):
            if text[card : card + 8] == b"END     ":
                return bytes(text[:card].translate(PRINTABLE))
        if len(block) < BLOCK:
            raise ImageReadError(source.path, "cut short inside a header: there is no END card")
    raise ImageReadError(source.path, f"a header has no END card in {MAX_HEADER_BLOCKS} blocks")


def _sizes(header: fits.Header, path: str) -> tuple[list[int], int]:
    """Return the axes and the number of data bytes according to a header."""
    bitpix, naxis = card_value(header, "BITPIX"), card_value(header, "NAXIS")
    if bitpix not in DTYPES or not _is_size(naxis) or naxis > 999:
        raise ImageReadError(path, f"BITPIX {bitpix!r} and NAXIS {naxis!r} make no FITS header")
    axes = [card_value(header, f"NAXIS{i + 1}") for i in range(naxis)]
    counts = [card_value(header, "PCOUNT") or 0, 1 if card_value(header, "GCOUNT") is None else header["GCOUNT"]]
    if not all(map(_is_size, axes + counts)):
        raise ImageReadError(path, f"the axes {axes} (PCOUNT, GCOUNT {counts}) are not sizes")
    # Random groups have data although their first axis is 0.
    groups = bool(axes) and axes[0] == 0 and card_value(header, "GROUPS") is True
    pixels = math.prod(axes[1:] if groups else axes) if axes else 0
    return axes, abs(bitpix) // 8 * counts[1] * (counts[0] + pixels) if axes else 0


def _plain_image(source: _Source, header: fits.Header, primary: fits.Header, hdu: int, packed: bool) -> FitsImage:
    """Read an uncompressed image as a view of its bytes; the final padding may be missing."""
    nx, ny = header["NAXIS1"], header["NAXIS2"]
    _check_size(nx, ny, source.path)
    dtype = np.dtype(DTYPES[header["BITPIX"]])
    size = nx * ny * dtype.itemsize
    source.require(size, f"the {nx}x{ny} image")
    offset = source.position
    data = source.take(size)
    if len(data) < size:
        raise ImageReadError(source.path, f"cut short: {len(data)} of {size} bytes of pixels")
    return FitsImage(
        header=_completed(header, primary, hdu),
        pixels=np.frombuffer(data, dtype).reshape(ny, nx),
        hdu=hdu,
        byte_offset=None if packed else offset,
        bitpix=header["BITPIX"],
        bscale=_scaling(header, "BSCALE", 1.0, source.path),
        bzero=_scaling(header, "BZERO", 0.0, source.path),
        blank=_blank(header) if dtype.kind in "iu" else None,
        compression="gzip" if packed else "none",
    )


def _tile_compressed(source: _Source, header: fits.Header, hdu: int, packed: bool) -> FitsImage:
    """Unpack a tile-compressed image through astropy."""
    nx, ny = check_tiles(header, source.path)
    _check_size(nx, ny, source.path)
    _, size = _sizes(header, source.path)
    source.require(size, "the tile-compressed image")
    content = _unpacked(source.path, source.content) if packed else source.content
    image_header, primary, pixels = unpack_tiles(content, hdu, source.path)
    if pixels.shape != (ny, nx):
        raise ImageReadError(source.path, f"unpacking gave {pixels.shape} instead of {(ny, nx)}")
    return FitsImage(
        header=_completed(image_header, primary, hdu),
        pixels=pixels,
        hdu=hdu,
        byte_offset=None,
        bitpix=int(header["ZBITPIX"]),
        bscale=1.0,
        bzero=0.0,
        blank=None,
        compression=str(header["ZCMPTYPE"]),
    )


def _unpacked(path: str, content: memoryview) -> bytes:
    """Gunzip a file of tile-compressed images, up to the maximum file size."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            unpacked = stream.read(MAX_FILE_BYTES + 1)
    except (EOFError, OSError, zlib.error) as exc:
        raise ImageReadError(path, f"the gzip stream is damaged: {exc}") from exc
    if len(unpacked) > MAX_FILE_BYTES:
        raise ImageReadError(path, f"more than {MAX_FILE_BYTES} bytes after unpacking")
    return unpacked


def _is_size(value: Any) -> bool:
    """Return whether a card's value is an integer >= 0 (T and F are integers in Python, but do not count)."""
    return type(value) is int and value >= 0


def _check_size(nx: int, ny: int, path: str) -> None:
    if max(nx, ny) > MAX_SIDE or nx * ny > MAX_PIXELS:
        raise ImageReadError(path, f"an image of {nx}x{ny} pixels: at most {MAX_SIDE} a side, {MAX_PIXELS} in all")


def _scaling(header: fits.Header, keyword: str, default: float, path: str) -> float:
    if keyword not in header:
        return default
    value = card_value(header, keyword)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise HeaderError(path, f"{keyword} is {value!r}, not a number", keyword)
    return float(value)


def blank_in(head: bytes, path: str) -> int | None:
    """Return BLANK, the stored value of an integer image that means "no value", from the bytes of the image's header.

    The header is parsed only if it contains the word.

    Parameters
    ----------
    head : bytes
        The blocks of the image's own header.
    path : str
        The file, for errors.
    """
    if b"BLANK" not in head.upper():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _blank(_read_header(_Source(RawFile(path, memoryview(head), 0), None)))


def _blank(header: fits.Header) -> int | None:
    value = card_value(header, "BLANK")
    return value if isinstance(value, int) else None


def _completed(header: fits.Header, primary: fits.Header, hdu: int) -> fits.Header:
    """Return an extension's header, extended by the cards that only the primary header has."""
    if hdu == 0:
        return header
    merged = header.copy()
    merged.extend(primary.cards, strip=True, unique=True)
    return merged
