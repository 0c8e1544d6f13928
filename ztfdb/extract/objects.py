"""Objects found on an image, and the pixels that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import BoolArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True)
class Pixels:
    """The pixels above the threshold, each with its component or object.

    Pixels of components are in raster order; pixels of the objects of `detect` are ordered by object.

    Attributes
    ----------
    index : ndarray of int64, shape (n_pixel,)
        Flat index into the image.
    owner : ndarray of int64
        Object (or component) number, from 0.
    value : ndarray of float32
        Smoothed value in units of the local pixel rms.
    """

    index: IntArray
    owner: IntArray
    value: Float32Array

    def largest(self, values: FloatArray, n: int) -> FloatArray:
        """Return the largest value of the pixels of each of `n` objects; pixels must be ordered by object."""
        result = np.full(n, -np.inf)
        first = np.flatnonzero(np.diff(self.owner, prepend=-1))
        if first.size:
            result[self.owner[first]] = np.maximum.reduceat(values, first)
        return result


@dataclass(frozen=True)
class Objects:
    """Isophotal parameters of objects: equal-length columns.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Barycentre of the smoothed light above the threshold, zero-based pixels.
    a, b, theta : ndarray of float64
        Rms half axes, pixels, and position angle of the major axis from +x towards +y, rad.
    cxx, cyy, cxy : ndarray of float64
        The same ellipse as coefficients.
    npix : ndarray of int64
        Pixels above the threshold.
    blended, limited : ndarray of bool
        Split from a neighbour; split while the deblending was limited.
    """

    x: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray
    theta: FloatArray
    cxx: FloatArray
    cyy: FloatArray
    cxy: FloatArray
    npix: IntArray
    blended: BoolArray
    limited: BoolArray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: IntArray) -> Objects:
        """Return the objects in these rows, in this order."""
        return Objects(**{name: column[rows] for name, column in vars(self).items()})
