"""The background surface: evaluate a mesh of box values on windows, blocks of rows, or at points, with equal results.

An evaluation consists of two small matrix products: the natural cubic spline through the box centres (as in
SExtractor), continued linearly outside them, is linear in the box values along each axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Float32Array, FloatArray
from ztfdb.records import BackgroundMesh

SMALL_PRODUCT = 300_000
"""Maximum multiplications in one call of the matrix library."""


def background_surface(
    mesh: BackgroundMesh, rows: slice = slice(None), cols: slice = slice(None), *, rms: bool = False
) -> Float32Array:
    """Evaluate the background (or its rms) on a window of pixels.

    Parameters
    ----------
    mesh : BackgroundMesh
        The stored mesh.
    rows, cols : slice
        The window, pixels (step 1).
    rms : bool
        Give the pixel rms instead of the level.

    Returns
    -------
    ndarray of float32
        The surface, DN. It is the natural cubic spline through the box centres (as in SExtractor), continued
        linearly outside them; the rms stays between the mesh's extremes. The same numbers, to single precision, as
        `background_at`.
    """
    along_y, along_x = _axes(mesh)
    values = mesh.rms if rms else mesh.level
    surface = _product(_product(along_y[rows], values.astype(float)).astype(np.float32), along_x[:, cols])
    return _within(mesh, surface) if rms else surface


def surface_blocks(
    mesh: BackgroundMesh, *, rms: bool = False, step: int = 64, every: int = 1
) -> Iterator[tuple[slice, Float32Array]]:
    """Evaluate the whole surface in blocks of rows that stay in the cache.

    Parameters
    ----------
    mesh : BackgroundMesh
        The stored mesh.
    rms : bool
        Give the pixel rms instead of the level.
    step : int
        Rows per block.
    every : int
        Evaluate one of this many rows, the middle one; a divisor of `step`.

    Yields
    ------
    rows : slice
        The rows of the block.
    surface : ndarray of float32, shape (rows / every, nx)
        As `background_surface`, DN; valid until the next block.
    """
    ny, nx = mesh.shape
    along_y, along_x = _axes(mesh)
    middle = np.minimum(np.arange(0, ny, every) + (every - 1) // 2, ny - 1)
    columns = _product(along_y[middle], (mesh.rms if rms else mesh.level).astype(float)).astype(np.float32)
    buffer = np.empty((-(-min(step, ny) // every), nx), dtype=np.float32)
    for start in range(0, ny, step):
        part = columns[start // every : (start + step) // every]
        surface = _product(part, along_x, buffer[: len(part)])
        yield slice(start, min(start + step, ny)), _within(mesh, surface) if rms else surface


def background_at(mesh: BackgroundMesh, x: FloatArray, y: FloatArray) -> tuple[Float32Array, Float32Array]:
    """Evaluate the background and its rms at positions.

    Parameters
    ----------
    mesh : BackgroundMesh
        The stored mesh.
    x, y : ndarray, shape (n,)
        Positions, zero-based pixels; positions outside the image get the value of the nearest pixel.

    Returns
    -------
    level, rms : ndarray of float32, shape (n,)
        Background level and pixel rms, DN.
    """
    (ny, nx), (n_y, n_x) = mesh.shape, mesh.level.shape
    places = _near(y, ny, mesh.box[0], n_y), _near(x, nx, mesh.box[1], n_x)
    bends = _with_bends(ny, mesh.box[0], n_y), _with_bends(nx, mesh.box[1], n_x)
    level, rms = (_at(bends[0] @ values.astype(float) @ bends[1].T, *places) for values in (mesh.level, mesh.rms))
    return level.astype(np.float32), _within(mesh, rms.astype(np.float32))


def surface_at_bins(mesh: BackgroundMesh, bin_side: int, *, rms: bool = False) -> Float32Array:
    """Evaluate the surface at the centres of whole bins of pixels.

    Parameters
    ----------
    mesh : BackgroundMesh
        The mesh.
    bin_side : int
        Side of a bin, pixels.
    rms : bool
        Give the pixel rms instead of the level.

    Returns
    -------
    ndarray of float32, shape (ny // bin_side, nx // bin_side)
        The surface, DN.
    """
    (ny, nx), values = mesh.shape, mesh.rms if rms else mesh.level
    along_y = _bin_weights(ny, mesh.box[0], values.shape[0], bin_side)
    along_x = _bin_weights(nx, mesh.box[1], values.shape[1], bin_side).T.astype(np.float32, order="C")
    surface = _product(_product(along_y, values.astype(float)).astype(np.float32), along_x)
    return _within(mesh, surface) if rms else surface


def _at(nodes: FloatArray, along_y: _Near, along_x: _Near) -> FloatArray:
    """Sum the terms of values and second derivatives at the nodes around each position."""
    total = np.zeros(len(along_y[0][0]))
    for row, weight_y in along_y:
        across = np.zeros(len(total))
        for column, weight_x in along_x:
            across += weight_x * nodes[row, column]
        total += weight_y * across
    return total


def _product(left: NDArray[Any], right: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Multiply matrices a few rows at a time.

    Such small products stay in the cache and below the size at which the library starts threads, whose waiting takes
    longer than the work if other processes use the cores.
    """
    if out is None:
        out = np.empty((left.shape[0], right.shape[1]), dtype=left.dtype)
    step = max(1, SMALL_PRODUCT // right.size)
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        np.matmul(left[part], right, out=out[part])
    return out


def _within(mesh: BackgroundMesh, rms: Float32Array) -> Float32Array:
    """Clip an rms to the mesh's extremes, in place: an overshooting spline could make the noise negative."""
    return np.clip(rms, mesh.rms.min(), mesh.rms.max(), out=rms)


def _axes(mesh: BackgroundMesh) -> tuple[FloatArray, Float32Array]:
    """Return the weights of every row (ny, n_box_y) and of every column (n_box_x, nx)."""
    (ny, nx), (n_y, n_x) = mesh.shape, mesh.level.shape
    return _all_weights(ny, mesh.box[0], n_y), _all_weights(nx, mesh.box[1], n_x).T.astype(np.float32, order="C")


@lru_cache(maxsize=16)
def _all_weights(length: int, box: int, n_box: int) -> FloatArray:
    return _weights(np.arange(length), length, box, n_box)


@lru_cache(maxsize=16)
def _bin_weights(length: int, box: int, n_box: int, bin_side: int) -> FloatArray:
    return _weights(np.arange(length // bin_side) * bin_side + (bin_side - 1) / 2, length, box, n_box)


def _weights(positions: NDArray[Any], length: int, box: int, n_box: int) -> FloatArray:
    """Return weights (n, n_box) that convert the box values along one axis into values at pixel positions.

    The natural cubic spline is linear in its values. Between two centres it needs the 2 values and the 2 second
    derivatives there, which are a fixed matrix times the values.
    """
    weights = np.zeros((len(positions), n_box))
    bends = _with_bends(length, box, n_box)
    for node, weight in _near(positions, length, box, n_box):
        weights += weight[:, None] * bends[node]
    return weights


_Near = list[tuple[NDArray[np.intp], FloatArray]]
"""Four nodes and weights for each position: two values, then two second derivatives (numbered after all values)."""


def _near(positions: NDArray[Any], length: int, box: int, n_box: int) -> _Near:
    """Return the nodes of the spline that contribute at positions along one axis, and their weights."""
    u = np.clip(np.asarray(positions, dtype=float), 0, length - 1)
    if n_box == 1:
        return [(np.zeros(len(u), np.intp), np.ones(len(u)))]
    centre, _ = _spline(length, box, n_box)
    k = np.clip(np.searchsorted(centre, u) - 1, 0, n_box - 2)
    h = centre[k + 1] - centre[k]
    right = (u - centre[k]) / h
    t = np.clip(right, 0.0, 1.0)
    # outside the centres the cubic terms vanish, but their slope remains
    beyond = (right - t) * h**2 / 6
    left_bend = ((1 - t) ** 3 - (1 - t)) * h**2 / 6 + beyond * np.where(t < 0.5, -2.0, 1.0)
    right_bend = (t**3 - t) * h**2 / 6 + beyond * np.where(t < 0.5, -1.0, 2.0)
    return [(k, 1 - right), (k + 1, right), (k + n_box, left_bend), (k + n_box + 1, right_bend)]


def _with_bends(length: int, box: int, n_box: int) -> FloatArray:
    """Return the matrix (2 n_box, n_box) from box values to values and second derivatives at the centres."""
    bends = np.zeros((1, 1)) if n_box == 1 else _spline(length, box, n_box)[1]
    return np.vstack([np.eye(n_box), bends])


@lru_cache(maxsize=64)
def _spline(length: int, box: int, n_box: int) -> tuple[FloatArray, FloatArray]:
    """Return the box centres along an axis, and the matrix for the spline's second derivatives there."""
    edges = np.minimum(np.arange(n_box + 1) * box, length) - 0.5
    centre = (edges[:-1] + edges[1:]) / 2
    h = np.diff(centre)
    system, slopes = np.eye(n_box), np.zeros((n_box, n_box))
    for i in range(1, n_box - 1):
        system[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        slopes[i, i - 1 : i + 2] = 1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]
    return centre, np.linalg.solve(system, slopes)
