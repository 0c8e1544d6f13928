"""Places on a quadrant, and what a calibration adds at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array


def quadrant_places(x: ArrayLike, y: ArrayLike, nx: ArrayLike, ny: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return places on images, -1 to 1 from edge to edge.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Zero-based pixels.
    nx, ny : array_like
        Size of the image, pixels.
    """
    u = 2.0 * (np.asarray(x, np.float64) + 0.5) / np.asarray(nx, np.float64) - 1.0
    v = 2.0 * (np.asarray(y, np.float64) + 0.5) / np.asarray(ny, np.float64) - 1.0
    return np.asarray(u), np.asarray(v)


def map_basis(u: Float64Array, v: Float64Array) -> Float64Array:
    """Return the terms of a map at places on a quadrant, shape (n, 3): P2(u), u v, P2(v) of Legendre."""
    return np.stack([1.5 * u**2 - 0.5, u * v, 1.5 * v**2 - 0.5], axis=-1)
