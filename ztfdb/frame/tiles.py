"""Tile-compressed images (``.fz``): checked card by card, then unpacked by astropy.

The decoders are C code that trusts the header: an invalid pixel width or dither seed kills the process instead of
raising an error. Therefore each card that they use is checked first, and only Rice and gzip are allowed, which fpack
uses for ZTF images. The H-compress and PLIO decoders take sizes from the packed bytes themselves.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.errors import ImageReadError
from ztfdb.frame.cards import card_value

COMPRESSIONS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "NOCOMPRESS")
"""Supported tile compressions."""

PIXEL_TYPES = (8, 16, 32, -32, -64)
"""Supported values of ZBITPIX."""

SETTINGS: dict[str, tuple[int, ...]] = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4)}
"""Allowed values for settings of the Rice decoder."""

DITHERS = ("SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")
MAX_DITHER_SEED = 10_000
MAX_TILES = 100_000
"""Maximum tiles of an image; fpack makes one per row."""


def check_tiles(header: fits.Header, path: str) -> tuple[int, int]:
    """Check the cards of a tile-compressed image and return its size.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the binary table that holds the tiles.
    path : str
        The file, for the error.

    Returns
    -------
    nx, ny : int
        Size of the image, pixels; not yet compared with any limit.

    Raises
    ------
    ImageReadError
        If the image is not two-dimensional, its compression is not supported, or a card that the decoder needs is
        invalid.
    """
    nx, ny = (card_value(header, f"ZNAXIS{i}") for i in (1, 2))
    if card_value(header, "ZNAXIS") != 2 or not (_is_positive(nx) and _is_positive(ny)):
        raise ImageReadError(path, f"the tile-compressed image of axes {[nx, ny]} is not two-dimensional")
    kind = card_value(header, "ZCMPTYPE")
    if kind not in COMPRESSIONS:
        raise ImageReadError(
            path, f"tiles compressed by {kind!r} are not read (only {', '.join(COMPRESSIONS)}): funpack it"
        )
    defaults = {"ZTILE1": nx, "ZTILE2": 1}  # a row of the image
    tile_x, tile_y = (card_value(header, k) if k in header else default for k, default in defaults.items())
    if not (_is_positive(tile_x) and _is_positive(tile_y)):
        raise ImageReadError(path, f"tiles of {tile_x}x{tile_y} pixels")
    n_tile = math.ceil(nx / tile_x) * math.ceil(ny / tile_y)
    if n_tile > MAX_TILES or card_value(header, "NAXIS2") != n_tile:
        raise ImageReadError(path, f"{card_value(header, 'NAXIS2')} rows for {n_tile} tiles (at most {MAX_TILES})")
    _check_decoder(header, path)
    return nx, ny


def unpack_tiles(content: Any, hdu: int, path: str) -> tuple[fits.Header, fits.Header, NDArray[Any]]:
    """Unpack the image of an HDU that `check_tiles` has accepted.

    Parameters
    ----------
    content : bytes-like
        The file.
    hdu : int
        Index of the HDU.
    path : str
        Its path, for the error.

    Returns
    -------
    header, primary : astropy.io.fits.Header
        Header of the image as if it were not compressed, and of the primary HDU.
    pixels : ndarray, shape (ny, nx)
        Scaled pixels.

    Raises
    ------
    ImageReadError
        If the tiles cannot be unpacked.
    """
    try:
        with fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=True) as hdus:
            return hdus[hdu].header, hdus[0].header, np.asarray(hdus[hdu].data)
    except Exception as exc:  # a damaged stream can make astropy raise nearly anything
        raise ImageReadError(path, f"the tile-compressed image cannot be unpacked: {exc}") from exc


def _check_decoder(header: fits.Header, path: str) -> None:
    """Refuse pixel types, settings and dither seeds that crash the decoders."""
    found: dict[str, tuple[Any, tuple[int, ...] | range]] = {"ZBITPIX": (card_value(header, "ZBITPIX"), PIXEL_TYPES)}
    if card_value(header, "ZQUANTIZ") in DITHERS:
        found["ZDITHER0"] = card_value(header, "ZDITHER0"), range(1, MAX_DITHER_SEED + 1)
    i = 1
    while f"ZNAME{i}" in header:
        name = card_value(header, f"ZNAME{i}")
        if name in SETTINGS:
            found[name] = card_value(header, f"ZVAL{i}"), SETTINGS[name]
        i += 1
    for keyword, (value, allowed) in found.items():
        if type(value) is not int or value not in allowed:
            raise ImageReadError(path, f"the tile compression's {keyword} is {value!r}")


def _is_positive(value: Any) -> bool:
    return type(value) is int and value > 0
