"""The part of the sky that an image covers: its outer corners and the HEALPix cells that it touches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.sky.cells import HPX_ORDER, cell_boundary, sky_to_cell, with_neighbours
from ztfdb.sky.projection import pixel_to_sky, sky_to_pixel
from ztfdb.wcs import WcsParameters

FOOTPRINT_ORDER = 9
"""Order of the cells for searching images: 6.9 arcmin, 72 to 86 cells for a quadrant."""

CELL_DIVISOR = 4 ** (HPX_ORDER - FOOTPRINT_ORDER)
"""``hpx29 // CELL_DIVISOR`` is the cell, in Python and in SQL."""

MARGIN_PIX = 2.0
"""Widening of the image in the cell test, for the sag of a cell's curved side between its sampled points."""

STEPS_PER_SIDE = 16
"""Sampled points per side of a cell."""

MAX_SAMPLES = 4096
"""Most sample points per axis of the image; limits the work for orders far too fine for the image."""


def corners(wcs: WcsParameters, nx: int, ny: int) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the outer corners of the corner pixels.

    Parameters
    ----------
    wcs : WcsParameters
        A TPV or TAN projection.
    nx, ny : int
        Size of the image, pixels.

    Returns
    -------
    ra1, dec1, ra2, dec2, ra3, dec3, ra4, dec4 : float
        Lower left, lower right, upper right, upper left of the stored array, deg, ICRS: the order and the meaning of
        IRSA's columns of these names (on ZTF images the lower left is the north-east).
    """
    right, top = nx - 0.5, ny - 0.5
    ra, dec = pixel_to_sky(wcs, np.array([-0.5, right, right, -0.5]), np.array([-0.5, -0.5, top, top]))
    ra1, dec1, ra2, dec2, ra3, dec3, ra4, dec4 = np.column_stack([ra, dec]).ravel().tolist()
    return ra1, dec1, ra2, dec2, ra3, dec3, ra4, dec4


def image_cells(wcs: WcsParameters, nx: int, ny: int, order: int = FOOTPRINT_ORDER) -> NDArray[np.int64]:
    """Return every HEALPix cell that an image touches.

    The image is sampled four times per cell. The candidates are these cells and their neighbours; a candidate counts if
    its outline, projected to the pixel plane, meets the image widened by two pixels.

    Parameters
    ----------
    wcs : WcsParameters
        A TPV or TAN projection.
    nx, ny : int
        Size of the image, pixels.
    order : int
        HEALPix order of the cells.

    Returns
    -------
    ndarray of int64
        NESTED cells, ascending. All cells that the image touches are included. Cells that it misses by less than two
        pixels may be included, so an exact test must follow.
    """
    inside = _sampled_cells(wcs, nx, ny, order)
    candidates = with_neighbours(inside, order)
    ra, dec = cell_boundary(candidates, order, STEPS_PER_SIDE)
    x, y = sky_to_pixel(wcs, ra, dec)
    touched = _outline_meets(x, y, nx, ny)
    return np.union1d(candidates[touched], inside)  # the union: an image can be completely inside one cell


def _sampled_cells(wcs: WcsParameters, nx: int, ny: int, order: int) -> NDArray[np.int64]:
    """Return the cells at points of the image, including its edges, that are at most 25 % of a cell apart."""
    cell_size = np.degrees(np.sqrt(np.pi / 3.0) / (1 << order))
    step = 0.25 * cell_size / np.sqrt(abs(np.linalg.det(wcs.cd)))
    x, y = (np.linspace(-0.5, n - 0.5, int(np.clip(np.ceil(n / step), 2, MAX_SAMPLES - 1)) + 1) for n in (nx, ny))
    return np.unique(sky_to_cell(*pixel_to_sky(wcs, x[None, :], y[:, None]), order)).astype(np.int64)


def _outline_meets(x: NDArray[np.float64], y: NDArray[np.float64], nx: int, ny: int) -> NDArray[np.bool_]:
    """Return which closed polygons (one per row) have a side that meets the widened image (Liang-Barsky clipping)."""
    dx, dy = np.roll(x, -1, axis=1) - x, np.roll(y, -1, axis=1) - y
    enter, leave = np.zeros_like(x), np.ones_like(x)
    low, right, top = -0.5 - MARGIN_PIX, nx - 0.5 + MARGIN_PIX, ny - 0.5 + MARGIN_PIX
    with np.errstate(divide="ignore", invalid="ignore"):
        for start, slope, upper in ((x, dx, right), (y, dy, top)):
            to_low, to_high = (low - start) / slope, (upper - start) / slope
            enter = np.fmax(enter, np.fmin(to_low, to_high))
            leave = np.fmin(leave, np.fmax(to_low, to_high))
            leave = np.where((slope == 0.0) & ((start < low) | (start > upper)), -1.0, leave)
    return np.asarray(((enter <= leave) & np.isfinite(dx) & np.isfinite(dy)).any(axis=1))
