"""Plain `sep`: its background, its table of objects, its ellipse masks, as `ztfdb.image` shows them.

Archives are measured by `ztfdb.extract.measure`, with its own background and detection. This module provides
SExtractor's algorithms as implemented in `sep`, with every column, for image objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sep

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.frame.arrays import plain_array

DEFAULT_BOX = 64
"""Side of a background box in `sep`, pixels."""

_PIXSTACK_GROWTH = 4
_MAX_PIXSTACK = 40_000_000


def sep_background(data: FloatArray, bad: BoolArray | None = None, *, box: int = DEFAULT_BOX) -> sep.Background:
    """Estimate the background as SExtractor does.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Pixels, DN; non-finite ones are omitted.
    bad : ndarray of bool, shape (ny, nx), optional
        True for pixels to omit.
    box : int
        Side of a mesh box, pixels.

    Returns
    -------
    sep.Background
        With ``back()``, ``rms()``, ``globalback``, ``globalrms``.

    Raises
    ------
    ValueError
        If no pixel remains.
    """
    data = plain_array(data)
    left_out = ~np.isfinite(data)
    if bad is not None:
        left_out |= plain_array(bad, bool)
    if left_out.all():
        raise ValueError("no pixel remains for the background: all are masked or not finite")
    pixels = np.where(left_out, np.float32(0.0), data)
    return sep.Background(pixels, mask=left_out, bw=box, bh=box)


def sep_objects(
    data: FloatArray, thresh: float, *, err: float | FloatArray | None, bad: BoolArray | None = None, **options: Any
) -> dict[str, FloatArray]:
    """Run ``sep.extract``.

    Parameters
    ----------
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN; non-finite ones are masked.
    thresh : float
        Threshold in units of `err`, or in DN if `err` is None.
    err : float, ndarray or None
        Pixel noise, DN.
    bad : ndarray of bool, optional
        True for pixels to omit.
    **options
        Passed to ``sep.extract`` (``minarea``, ``deblend_cont``, …).

    Returns
    -------
    dict of ndarray
        Every column of ``sep.extract``, in its order; ``flag`` as in `sep`.

    Raises
    ------
    ValueError
        If an option is invalid or the image is too crowded for `sep`'s buffers.
    """
    data = plain_array(data)
    left_out = ~np.isfinite(data)
    if bad is not None:
        left_out |= plain_array(bad, bool)
    noise = plain_array(err) if np.ndim(err) else err  # type: ignore[arg-type]  # None has no dimension
    pixels = np.where(left_out, np.float32(0.0), data)
    stack = sep.get_extract_pixstack()
    try:
        while True:
            try:
                found = sep.extract(pixels, thresh, err=noise, mask=left_out, **options)
                break
            except Exception as exc:  # sep raises a plain Exception
                if "internal pixel buffer full" not in str(exc) or sep.get_extract_pixstack() > _MAX_PIXSTACK:
                    raise ValueError(f"sep.extract: {exc}") from exc
                sep.set_extract_pixstack(sep.get_extract_pixstack() * _PIXSTACK_GROWTH)
    finally:
        sep.set_extract_pixstack(stack)
    return {name: np.ascontiguousarray(found[name]) for name in found.dtype.names}


def ellipse_mask(
    shape: tuple[int, int], x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, theta: FloatArray, r: float
) -> BoolArray:
    """Mark the pixels inside ellipses of `r` times the rms half axes.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    x, y, a, b, theta : ndarray, shape (n,)
        Centres and rms half axes (pixels), position angle (rad). Rows that are not finite are skipped.
    r : float
        Scale of the ellipses.

    Returns
    -------
    ndarray of bool, shape `shape`
    """
    mask = np.zeros(shape, dtype=bool)
    columns = [np.atleast_1d(np.asarray(v, dtype=float)) for v in (x, y, a, b, theta)]
    fine = np.all(np.isfinite(columns), axis=0) & (columns[2] > 0) & (columns[3] > 0)
    if fine.any():
        sep.mask_ellipse(mask, *(c[fine] for c in columns), r=r)
    return mask
