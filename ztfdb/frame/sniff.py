"""Check from its first header blocks whether a file is a ZTF image; fast enough for every file of a folder."""

from __future__ import annotations

import os
import stat
import warnings
import zlib
from pathlib import Path

from astropy.io import fits

from ztfdb.errors import ImageError
from ztfdb.frame.cards import card_value, number, text
from ztfdb.frame.filename import parse_name
from ztfdb.frame.fitsfile import BLOCK, GZIP_MAGIC, PRINTABLE
from ztfdb.frame.identity import is_reference, read_exposure, read_place
from ztfdb.product import other_product

HEAD_BYTES = 60 * BLOCK
"""Bytes read from a file: ZTF headers have 5 to 12 blocks."""

NOT_FITS = "not FITS"
NOT_AN_IMAGE = "FITS without an image in front"
NOT_ZTF = "not an image of ZTF"
NOT_REGULAR = "not a regular file"
UNREADABLE = "not readable"
EMPTY = "empty"


def why_no_image(path: str | Path) -> str | None:
    """Return why a file is not a ZTF science or reference image, from its header and its name.

    Parameters
    ----------
    path : str or Path
        Plain FITS, a gzip stream of it, or a tile-compressed image.

    Returns
    -------
    str or None
        A short reason that many files share. None for a ZTF image, which has field, quadrant, filter and zero point
        and, unless it is a reference, a time.
    """
    try:
        head = _head(path)
    except OSError:
        return UNREADABLE
    if head is None:
        return NOT_REGULAR
    if not head:
        return EMPTY
    if not head.startswith(b"SIMPLE  ="):
        return NOT_FITS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd cards are judged when the image is read
        header = _image_header(head)
        return NOT_AN_IMAGE if header is None else _why_not(header, path)


def _why_not(header: fits.Header, path: str | Path) -> str | None:
    other = other_product(path, header, text(header, "FILENAME"))
    if other is not None:
        return other
    name = parse_name(path)
    try:
        place = read_place(header, name, path)
        if not is_reference(header, name):
            read_exposure(header, name, place.rcid, path)
    except ImageError:
        return NOT_ZTF
    return None if number(header, "MAGZP") is not None else "an image of ZTF without a zero point"


def _head(path: str | Path) -> bytes | None:
    """Return a file's first bytes, unpacked; None if it is not a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        head = os.read(descriptor, HEAD_BYTES)
    finally:
        os.close(descriptor)
    if not head.startswith(GZIP_MAGIC):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES) or b"?"
    except zlib.error:
        return b"?"


def _image_header(head: bytes) -> fits.Header | None:
    """Return the header of an image in the first HDU, or in the second after an empty first one."""
    primary, end = _header(head, 0)
    if primary is None or _is_image(primary):
        return primary
    if card_value(primary, "NAXIS") != 0 or head[end : end + 8] != b"XTENSION":
        return None
    header, _ = _header(head, end)
    if header is None or not (_is_image(header) or card_value(header, "ZIMAGE") is True):
        return None
    merged = header.copy()
    merged.extend(primary.cards, strip=True, unique=True)
    return merged


def _is_image(header: fits.Header) -> bool:
    return card_value(header, "NAXIS") == 2 and card_value(header, "XTENSION") in (None, "IMAGE")


def _header(head: bytes, start: int) -> tuple[fits.Header | None, int]:
    """Return the header that starts at a byte, and its end; None if it does not end within these bytes."""
    for block in range(start, len(head), BLOCK):
        for card in range(block, min(block + BLOCK, len(head)), 80):
            if head[card : card + 8] == b"END     ":
                return fits.Header.fromstring(head[start:card].translate(PRINTABLE)), block + BLOCK
    return None, len(head)
