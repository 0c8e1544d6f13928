"""Stamps as PNG: eight bits of grey and of opacity, pixels without a value transparent."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import FloatArray

PERCENTILES = (1.0, 99.5)
"""Percentiles of the finite pixels that become white and black."""

LEVEL = 1
"""Compression level: pixels are noise, so higher levels do not reduce the size."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_ALPHA = 4


def picture(data: FloatArray, vmin: float | None = None, vmax: float | None = None) -> NDArray[np.uint8]:
    """Return pixels as grey and opacity, shape (ny, nx, 2), the last row of `data` on top; dark is bright.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        DN; NaN becomes transparent.
    vmin, vmax : float, optional
        DN of white and of black; `PERCENTILES` by default.
    """
    seen = np.isfinite(data)
    values = data[seen]
    low, high = _percentiles(values) if len(values) else (0.0, 1.0)
    low, high = low if vmin is None else vmin, high if vmax is None else vmax
    grey = np.clip((np.where(seen, data, low) - low) / max(high - low, 1e-30), 0.0, 1.0)
    made = np.empty((*data.shape, 2), np.uint8)
    made[..., 0] = np.rint(255.0 * (1.0 - grey))
    made[..., 1] = np.where(seen, 255, 0)
    return made[::-1]


def _percentiles(values: FloatArray) -> list[float]:
    """Return `PERCENTILES`, equal to `numpy.percentile`, whose overhead exceeds the time to sort a stamp."""
    ascending = np.sort(values)
    found = []
    for percent in PERCENTILES:
        below, share = divmod(percent / 100.0 * (len(values) - 1), 1.0)
        a, b = (float(ascending[min(int(below) + step, len(values) - 1)]) for step in (0, 1))
        found.append(a + share * (b - a))
    return found


def sheet(pictures: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Return pictures of one size in rows of `columns`, from the upper left."""
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    whole = np.zeros((-(-len(pictures) // columns) * height, columns * width, 2), np.uint8)
    for number, one in enumerate(pictures):
        row, column = divmod(number, columns)
        whole[row * height : (row + 1) * height, column * width : (column + 1) * width] = one
    return whole


def png(pixels: NDArray[np.uint8], scale: int = 1) -> bytes:
    """Return grey and opacity, shape (ny, nx, 2), as a PNG file, each pixel `scale` times wider and higher."""
    if scale > 1:
        pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + 2 * width), np.uint8)  # each line begins with its filter type: none
    lines[:, 1:] = pixels.reshape(height, 2 * width)
    head = struct.pack(">IIBBBBB", width, height, 8, _GREY_ALPHA, 0, 0, 0)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(lines.tobytes(), LEVEL))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
