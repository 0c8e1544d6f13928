"""Mean level of annuli around positions: a local background."""

from __future__ import annotations

import numpy as np
import sep

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.frame.arrays import plain_array


def annulus_means(
    data: FloatArray, x: FloatArray, y: FloatArray, inner: float, outer: float, excluded: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Average the pixels of an annulus, weighted by exact overlap.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Pixels, DN; finite where not excluded.
    x, y : ndarray, shape (n,)
        Centres, zero-based pixels; finite.
    inner, outer : float
        Radii, pixels.
    excluded : ndarray of bool, shape (ny, nx)
        Pixels to omit.

    Returns
    -------
    mean : ndarray, shape (n,)
        DN per pixel; NaN if no pixel of the annulus remains (`sep` itself fails for the whole call).
    area : ndarray, shape (n,)
        Area used, pixels; 0 if no pixel remains.

    Raises
    ------
    ValueError
        If the radii are not 0 <= inner < outer.
    """
    if not 0 <= inner < outer:
        raise ValueError(f"an annulus from {inner} to {outer} pixels: expected 0 <= inner < outer")
    # dividing the sum of good flux by the sum of good area handles edges and excluded pixels
    excluded, x, y = plain_array(excluded, bool), plain_array(x, float), plain_array(y, float)
    good = plain_array(~excluded)
    light = np.where(excluded, np.float32(0.0), plain_array(data))
    total = sep.sum_circann(light, x, y, inner, outer, subpix=0)[0]
    area = sep.sum_circann(good, x, y, inner, outer, subpix=0)[0]
    some = area > 1e-3
    return np.where(some, total / np.where(some, area, 1.0), np.nan), np.where(some, area, 0.0)
