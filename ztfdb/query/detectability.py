"""The probability that stars at positions on images were found, from the archive's models of artificial stars."""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import Columns, Float64Array, FloatArray, IntArray
from ztfdb.derive.calibrators import PIXEL_SCALE
from ztfdb.frame.background import background_at
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.completeness import LIGHT_REACH, LIGHT_SIGMA, DetectionModel
from ztfdb.phot.magnitudes import microjansky_to_mag
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import AnySession
from ztfdb.store.completeness import DetectionModels
from ztfdb.store.detections import OURS, light_curve_rows
from ztfdb.store.image_rows import background_meshes

OWN_PIX = 1.5
"""A source within this distance is the star itself, pixels."""

ARCSEC_PER_PIXEL = 1.1
"""Upper bound of the pixel scale of ZTF images."""

LIMITS = {"limit50": 0.5, "limit90": 0.9}
NAMES = (*LIMITS, "p_detect", "bias", "scatter", "light", "rms")


def detectability(
    session: AnySession,
    image_id: IntArray,
    places: tuple[FloatArray, FloatArray],
    pixels: tuple[FloatArray, FloatArray],
    mag: FloatArray,
    models: DetectionModels,
) -> Columns:
    """Return limits and detection probabilities at positions on images, from the models of artificial stars.

    Parameters
    ----------
    session : Session or Reading
    image_id : ndarray of int64, shape (n,)
        The image of each position; repeats are allowed.
    places : tuple of ndarray (ra, dec)
        deg, ICRS.
    pixels : tuple of ndarray (x, y)
        Zero-based, on the image.
    mag : ndarray, shape (n,)
        Total AB magnitude of each star; NaN where no probability is wanted.
    models : dict
        Of the images that have one, as `ztfdb.store.completeness.detection_models` returns them.

    Returns
    -------
    dict of ndarray, each of shape (n,)
        `NAMES`: the magnitudes at which 50 % and 90 % of the stars at this position are found, the probability for
        `mag`, bias and scatter (mag) of magnitudes measured there, the light of other sources (DN per pixel) and the
        noise (DN) of the background. NaN on images without a model. A limit is also NaN where even the brightest
        artificial stars are found less often; bias and scatter are NaN outside of the magnitudes of the model.
    """
    found = {name: np.full(len(image_id), np.nan) for name in NAMES}
    rows = np.flatnonzero(np.isin(image_id, list(models)))
    if not len(rows):
        return found
    found["light"][rows] = _light(session, image_id[rows], places[0][rows], places[1][rows])
    rows = rows[np.argsort(image_id[rows], kind="stable")]
    for one, mesh in background_meshes(session, np.unique(image_id[rows])):
        own = rows[slice(*np.searchsorted(image_id[rows], (one, one + 1)))]
        facts, bins = models[one]
        model = DetectionModel(**facts)
        rms = background_at(mesh, pixels[0][own], pixels[1][own])[1].astype(np.float64)
        light = found["light"][own]
        found["rms"][own] = rms
        for name, share in LIMITS.items():
            found[name][own] = model.limit(share, rms, light)
        found["p_detect"][own] = model.probability(mag[own], rms, light)
        for name in ("bias", "scatter"):
            found[name][own] = _at(bins["mag"], bins[name], mag[own])
    return found


def _light(session: AnySession, image_id: IntArray, ra: FloatArray, dec: FloatArray) -> Float64Array:
    """Return the light of other sources in the pixel at each position, DN.

    Pixel offsets follow from the nominal scale of a quadrant and a flat sky: good to 0.1 px at these distances.
    """
    targets, which = np.unique(np.stack([ra, dec]), axis=1, return_inverse=True)
    which = which.ravel()
    k, lo, hi = cone_ranges(targets[0], targets[1], np.full(targets.shape[1], LIGHT_REACH * ARCSEC_PER_PIXEL))
    sources = light_curve_rows(session, OURS, k=k, lo=lo, hi=hi)
    ids, code = np.unique(image_id, return_inverse=True)
    of = sources["source_id"] >> SOURCE_ID_SHIFT
    at = np.minimum(np.searchsorted(ids, of), len(ids) - 1)
    here = np.flatnonzero((ids[at] == of) & (sources["flux_aper4"] > 0.0))
    k = sources["k"][here].astype(np.int64)
    east = (sources["ra"][here] - targets[0][k] + 180.0) % 360.0 - 180.0
    dx = east * np.cos(np.radians(targets[1][k])) * 3600.0 / PIXEL_SCALE
    dy = (sources["dec"][here] - targets[1][k]) * 3600.0 / PIXEL_SCALE
    square = dx**2 + dy**2
    shape = np.exp(-0.5 * square / LIGHT_SIGMA**2) / (2.0 * np.pi * LIGHT_SIGMA**2)
    counts = (square > OWN_PIX**2) & (square <= LIGHT_REACH**2)
    # one bin per pair of target and image; sources on other images than the pair's do not contribute
    key = k * len(ids) + at[here]
    total = np.bincount(key, np.where(counts, sources["flux_aper4"][here] * shape, 0.0), targets.shape[1] * len(ids))
    return np.asarray(total[which * len(ids) + code], np.float64)


def _at(mags: list[float], values: list[float | None], mag: FloatArray) -> Float64Array:
    """Interpolate a column of the bins at magnitudes, NaN outside of them."""
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    known = np.isfinite(numbers)
    if not known.any():
        return np.full(len(mag), np.nan)
    return np.asarray(np.interp(mag, np.array(mags)[known], numbers[known], left=np.nan, right=np.nan))


def own_magnitudes(star: IntArray, group: IntArray, flux_ujy: FloatArray) -> Float64Array:
    """Return the magnitude of each epoch's star in its filter: that of the median flux of its epochs.

    Epochs without a detection count: a median of detections alone would be too bright near the limit.

    Parameters
    ----------
    star, group : ndarray of int64, shape (n,)
        Star and filter of each epoch.
    flux_ujy : ndarray, shape (n,)
        µJy; NaN where nothing was measured.

    Returns
    -------
    ndarray, shape (n,)
        AB mag; NaN where the median is not positive, or nothing was measured.
    """
    _, which = np.unique(np.stack([star, group]), axis=1, return_inverse=True)
    which = which.ravel()
    order = np.lexsort((flux_ujy, which))  # NaN last in each
    count = np.bincount(which[np.isfinite(flux_ujy)], minlength=int(which.max(initial=-1)) + 1)
    first = np.searchsorted(which[order], np.arange(len(count)))
    ordered = np.append(flux_ujy[order], np.nan)
    low, high = (ordered[np.where(count > 0, first + middle, -1)] for middle in ((count - 1) // 2, count // 2))
    median = 0.5 * (low + high)
    return microjansky_to_mag(median)[which]
