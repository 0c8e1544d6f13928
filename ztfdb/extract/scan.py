"""Scan the whole image for pixels above the threshold, their local maxima, and connected components.

The scan works in blocks of rows that stay in the cache, without arrays of the size of the image: only the few per cent
of pixels above the threshold are kept.
"""

from __future__ import annotations

import mmap
import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Float32Array, IntArray
from ztfdb.frame.background import surface_blocks
from ztfdb.records import BackgroundMesh

KERNEL_SUM = 16.0
"""Sum of the weights (1, 2, 1) × (1, 2, 1)."""

BLOCK = 128
"""Rows per block."""

SCIPY_BYTES = 128 << 20
"""Memory that must be free before `scipy.sparse.csgraph` is imported, which takes 93 MB: its OpenBLAS, if it gets none,
tries again for ever and heeds no signal."""

LIMIT_ROWS = 8
"""Rows with the same threshold: the rms changes by less than 0.1 % over them."""


def scan(
    data: Float32Array, mesh: BackgroundMesh, threshold: float
) -> tuple[IntArray, Float32Array, NDArray[np.uint8]]:
    """Smooth the image with the 3 × 3 binomial kernel and collect the pixels above the threshold.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted, finite pixels, DN. Pixels beyond the edge count as 0.
    mesh : BackgroundMesh
        The background, for the local pixel rms.
    threshold : float
        In units of the pixel rms (of the unsmoothed image, as in SExtractor).

    Returns
    -------
    index : ndarray of int64, shape (n_pixel,)
        Flat indices of the pixels above the threshold, ascending.
    value : ndarray of float32, shape (n_pixel,)
        Their smoothed values in units of the pixel rms.
    peak : ndarray of uint8, shape (n_pixel,)
        1 for a local maximum among its eight neighbours (of a plateau at least one pixel), 2 for a pixel on the
        image's edge, whose neighbourhood is unknown; else 0.
    """
    nx = data.shape[1]
    limits = replace(mesh, rms=np.maximum(np.float32(KERNEL_SUM * threshold) * mesh.rms, np.float32(1e-30)))
    found: list[tuple[IntArray, Float32Array, NDArray[np.uint8]]] = []
    for rows, coarse in surface_blocks(limits, rms=True, step=BLOCK, every=LIMIT_ROWS):
        smoothed, before = _smoothed(data, rows)
        inner = smoothed[before : before + rows.stop - rows.start]
        limit = np.repeat(coarse, LIMIT_ROWS, axis=0)[: len(inner)]
        local = np.flatnonzero(inner > limit)
        value = inner.ravel().take(local)
        peak = _local_maxima(smoothed.ravel(), local + before * nx, value, nx)
        value /= limit.ravel().take(local) / np.float32(threshold)
        found.append((local + rows.start * nx, value, peak))
    index, value, peak = (np.concatenate(parts) for parts in zip(*found, strict=True))
    column = index % nx
    peak[(index < nx) | (index >= data.size - nx) | (column == 0) | (column == nx - 1)] = 2
    return index, value, peak


def _smoothed(data: Float32Array, rows: slice) -> tuple[Float32Array, int]:
    """Smooth these rows and the adjacent ones; also return the number of rows before the first requested one."""
    ny, nx = data.shape
    low, high = max(rows.start - 1, 0), min(rows.stop + 1, ny)
    across = np.zeros((high - low + 2, nx), dtype=np.float32)
    first, last = max(low - 1, 0), min(high + 1, ny)
    block, inner = data[first:last], across[first - low + 1 : last - low + 1]
    np.add(block[:, 2:], block[:, :-2], out=inner[:, 1:-1])
    inner[:, 0], inner[:, -1] = block[:, 1], block[:, -2]
    inner += block
    inner += block
    smoothed = across[2:] + across[:-2]
    smoothed += across[1:-1]
    smoothed += across[1:-1]
    return smoothed, rows.start - low


def _local_maxima(flat: Float32Array, place: IntArray, value: Float32Array, nx: int) -> NDArray[np.uint8]:
    peak = np.zeros(len(place), dtype=np.uint8)
    rows = np.arange(len(place))
    for step in (1, nx, nx - 1, nx + 1):
        # "clip" also avoids the bounds check; the caller marks pixels on the edge
        after, before = flat.take(place + step, mode="clip"), flat.take(place - step, mode="clip")
        highest = (value >= after) & (value > before)
        rows, place, value = rows[highest], place[highest], value[highest]
    peak[rows] = 1
    return peak


def connected(index: IntArray, nx: int) -> tuple[IntArray, int]:
    """Label pixels that touch, corners included.

    Parameters
    ----------
    index : ndarray of int64, shape (n_pixel,)
        Flat indices of the pixels, ascending.
    nx : int
        Width of the image.

    Returns
    -------
    label : ndarray of int64, shape (n_pixel,)
        Component of each pixel, numbered from 0 in the order of their first pixels.
    n : int
        Number of components.
    """
    _check_room()
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(index):
        return np.zeros(0, dtype=np.int64), 0
    new = np.ones(len(index), dtype=bool)
    new[1:] = (np.diff(index) != 1) | (index[1:] % nx == 0)
    first = np.flatnonzero(new)
    length = np.diff(np.append(first, len(index)))
    start, end = index[first], index[first] + length - 1
    # the runs of the next row that touch a run are consecutive in the list of runs
    next_row = (start // nx + 1) * nx
    low = np.searchsorted(end, np.maximum(start + nx - 1, next_row))
    high = np.searchsorted(start, np.minimum(end + nx + 1, next_row + nx - 1), side="right")
    count = np.maximum(high - low, 0)
    run = np.repeat(np.arange(len(first)), count)
    other = np.arange(len(run)) - np.repeat(np.cumsum(count) - count - low, count)
    graph = coo_array((np.ones(len(run), dtype=np.int8), (run, other)), shape=(len(first), len(first)))
    n, label = connected_components(graph, directed=False)
    return np.repeat(label.astype(np.int64), length), int(n)


def _check_room() -> None:
    if "scipy.linalg" in sys.modules or sys.platform == "win32":
        return
    try:
        mmap.mmap(-1, SCIPY_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as exc:
        raise MemoryError(f"{SCIPY_BYTES >> 20} MB") from exc
