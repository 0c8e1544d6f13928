"""The extraction flags of sources, combined from the results of the steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.bits import MaskBit, SourceFlag
from ztfdb.extract.aperture import MASK_APERTURE, ApertureSums
from ztfdb.extract.kron import KronSums
from ztfdb.extract.objects import Objects, Pixels


def footprint_flags(
    objects: Objects,
    pixels: Pixels,
    data: FloatArray,
    level: FloatArray,
    mask: NDArray[np.uint16] | None,
    saturate: float | None,
) -> tuple[BoolArray, BoolArray, FloatArray]:
    """Examine the isophotal footprint of each source.

    Parameters
    ----------
    objects, pixels : Objects, Pixels
        The detections and their pixels.
    data : ndarray of float32, shape (ny, nx)
        Background-subtracted pixels, DN.
    level : ndarray, shape (n,)
        Background level at each source, DN.
    mask : ndarray of uint16, shape (ny, nx), or None
        `ztfdb.bits.MaskBit` per pixel.
    saturate : float or None
        Header SATURATE, DN (sky included).

    Returns
    -------
    edge, saturated : ndarray of bool, shape (n,)
        The footprint touches the image's edge; a pixel of it is saturated.
    peak : ndarray of float64, shape (n,)
        Its highest pixel above the background, DN.
    """
    n, (ny, nx) = len(objects), data.shape
    value = data.ravel()[pixels.index]
    peak = pixels.largest(value, n)
    saturated = peak + level >= saturate if saturate is not None else np.zeros(n, dtype=bool)
    if mask is not None:
        hot = (mask.ravel()[pixels.index] & np.uint16(MaskBit.SATURATED)) != 0
        saturated = saturated | (np.bincount(pixels.owner[hot], minlength=n) > 0)
    row, column = np.divmod(pixels.index, nx)
    at_edge = (row == 0) | (row == ny - 1) | (column == 0) | (column == nx - 1)
    edge = np.bincount(pixels.owner[at_edge], minlength=n) > 0
    return edge, saturated, peak


def aperture_flags(sums: ApertureSums) -> NDArray[np.int32]:
    """Return the flags of the apertures (truncated or incomplete, the 6 px one and the 2 larger ones).

    Parameters
    ----------
    sums : ApertureSums
        The six sums.

    Returns
    -------
    ndarray of int32, shape (n,)
        `ztfdb.bits.SourceFlag`.
    """
    flags = np.zeros(sums.flux.shape[1], dtype=np.int32)
    k = MASK_APERTURE
    for where, flag in (
        (sums.truncated[k], SourceFlag.APERTURE_TRUNCATED),
        (sums.incomplete[k], SourceFlag.APERTURE_INCOMPLETE),
        (sums.truncated[k + 1 :].any(axis=0), SourceFlag.LARGE_APERTURE_TRUNCATED),
        (sums.incomplete[k + 1 :].any(axis=0), SourceFlag.LARGE_APERTURE_INCOMPLETE),
    ):
        flags[where] |= np.int32(flag)
    return flags


def source_flags(
    objects: Objects,
    edge: BoolArray,
    saturated: BoolArray,
    sums: ApertureSums,
    kron: KronSums,
    window_failed: BoolArray,
    flux_radius: FloatArray,
) -> NDArray[np.int32]:
    """Combine all results for each source into its flags.

    Parameters
    ----------
    objects : Objects
        The detections.
    edge, saturated, window_failed : ndarray of bool, shape (n,)
        Results of `footprint_flags` and the windowed positions.
    sums, kron : ApertureSums, KronSums
        The photometry.
    flux_radius : ndarray, shape (n,)
        Half-light radius, NaN if there is none.

    Returns
    -------
    ndarray of int32, shape (n,)
        `ztfdb.bits.SourceFlag`.
    """
    flags = aperture_flags(sums)
    for where, flag in (
        (objects.blended, SourceFlag.BLENDED),
        (edge, SourceFlag.EDGE),
        (saturated, SourceFlag.SATURATED),
        (kron.default, SourceFlag.KRON_DEFAULT),
        (kron.truncated, SourceFlag.KRON_TRUNCATED),
        (window_failed, SourceFlag.WINDOW_FAILED),
        (np.isnan(flux_radius), SourceFlag.RADIUS_FAILED),
        (objects.limited, SourceFlag.DEBLEND_LIMITED),
    ):
        flags[where] |= np.int32(flag)
    return flags
