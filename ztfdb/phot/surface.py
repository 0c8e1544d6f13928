"""Positions on a quadrant, and the correction of a calibration at them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import Float64Array


def quadrant_places(x: ArrayLike, y: ArrayLike, nx: ArrayLike, ny: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return positions on images, -1 to 1 from edge to edge.

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
    """Return the terms of a map at positions on a quadrant, shape (n, 3): P2(u), u v, P2(v) of Legendre."""
    return np.stack([1.5 * u**2 - 0.5, u * v, 1.5 * v**2 - 0.5], axis=-1)


def surface_at(u: Float64Array, v: Float64Array, terms: Mapping[str, Float64Array]) -> Float64Array:
    """Return the correction of a calibration by the images' own stars to its zero point at positions, mag.

    Parameters
    ----------
    u, v : ndarray, shape (n,)
        Positions, -1 to 1; see `quadrant_places`.
    terms : mapping
        ``x_gradient`` and ``y_gradient`` (mag per half side); ``map_xx``, ``map_xy`` and ``map_yy`` (mag), factors of
        `map_basis`, NaN for no map. Of one image, or of the image of each position.
    """
    maps = np.stack([np.nan_to_num(terms[name]) for name in ("map_xx", "map_xy", "map_yy")], axis=-1)
    return np.asarray(terms["x_gradient"] * u + terms["y_gradient"] * v + (map_basis(u, v) * maps).sum(axis=-1))
