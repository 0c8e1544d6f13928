"""Make the epochs of light curves from the sources inside cones: select, order, calibrate.

The rows of many positions are processed together. ``k`` is the position of a row. Images are kept in the order of a
light curve (mjd, image_id). So one integer per row, ``k * n_image + image``, both groups the rows of one image and
puts the epochs in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.bits import APERTURE_BROKEN, BAD_BITS, CATFLAG_UNUSABLE, INFOBITS_USABLE_BELOW, SourceFlag
from ztfdb.codes import FILTERS
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.magnitudes import flux_to_mag, microjansky_per_dn, total_mag_err
from ztfdb.phot.surface import quadrant_places, surface_at
from ztfdb.phot.zeropoint import color_correction
from ztfdb.query.columns import masked_integers, words
from ztfdb.query.request import LightCurveRequest
from ztfdb.sky.times import hjd
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import NO_MASK
from ztfdb.store.detections import aperture_fluxes
from ztfdb.store.image_table import (
    COLOR_TERM,
    EPOCH_ROWS,
    REFERENCE_RANK,
    ZEROPOINT,
    ImageTable,
    epoch_images,
    used_images,
    version_ranks,
)
from ztfdb.store.self_terms import self_terms, source_places
from ztfdb.store.zero_points import zeropoints

KINDS = ("detection", "forced", "limit", "unavailable")
FILTERCODES = tuple(FILTERS.values())
CALIBRATIONS = ("header", "header+colour", "none", "ps1", "ps1+colour", "self", "self+colour")
CALIBRATION_CODES = {"header": 0, "ps1": 3, "self": 5}
"""Index in `CALIBRATIONS` of a calibration without its colour term; the next one is with it."""
NO_CALIBRATION = 2

ROWS_AT_ONCE = 20_000
"""Most epochs whose columns are computed at once: 6 MB, which stay near the processor."""

LARGE_APERTURE = 5
"""From this aperture (10 px) on, ``good`` also requires that the large apertures are not truncated."""


_COPIED = (
    "mjd", "mjd_mid", "exptime", "limitmag", "magzp", "magzprms", "clrcoeff", "clrcounc", "airmass", "magerr_sys",
)  # fmt: skip
_COPIED_ROWS = [EPOCH_ROWS[name] for name in _COPIED]
_COUNTED = ("field", "fid", "ccdid", "qid", "image_id")
_NULLABLE = ("expid", "filefracday", "programid")
_COUNTED_ROWS = [EPOCH_ROWS[name] for name in (*_COUNTED, *_NULLABLE)]
_OID_PLACES = np.array([10**12, 10**11, 10**9, 10**8])
"""Factors of field, fid, ccdid and qid, the first of `_COUNTED`, in an ``oid``."""

_SUN = [EPOCH_ROWS[name] for name in ("sun_x", "sun_y", "sun_z")]
_FILTER_CODES = np.array([-1, 0, 1, 2, -1], np.int8)
"""Index in `FILTERCODES` by ``fid``; -1 for a filter that ZTF does not have."""


@dataclass(frozen=True)
class Positions:
    """Positions (deg) and, where a colour term applies, the PS1 colour of each.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,)
    color : ndarray, shape (n,), or None
    oid : ndarray of int64, shape (n,)
        The 8 digits that IRSA gives to a source of its reference catalogue; see `oid_digits`.
    """

    ra: FloatArray
    dec: FloatArray
    color: FloatArray | None
    oid: IntArray


def oid_digits(hpx29: IntArray) -> IntArray:
    """Return our 8 digits of an ``oid``, from the cell of the position.

    They are the lowest 26 bits of the order-18 cell (0.8 arcsec). These repeat every 1.8 degrees, more than the width
    of a quadrant, so two positions on a quadrant share them only if they share the cell.
    """
    return (hpx29 >> 22) & ((1 << 26) - 1)


def epochs(session: AnySession, rows: Columns, positions: Positions, request: LightCurveRequest) -> dict[str, Any]:
    """Return the light curves of positions as columns, ordered by (position, mjd, image_id).

    Parameters
    ----------
    session : Session or Reading
    rows : dict of ndarray
        Sources inside the cones: ``k``, ``separation`` and `ztfdb.store.detections.SourceKind.light_curve`.
    positions : Positions
        Indexed by ``k``.
    request : LightCurveRequest
    """
    which, images, at = _chosen(session, rows, request)
    return epoch_columns(session, _taken(rows, which), images.take(at), positions, request)


def epoch_parts(
    session: AnySession, rows: Columns, positions: Positions, request: LightCurveRequest
) -> Iterator[dict[str, Any]]:
    """Yield the columns of `epochs` in parts of `ROWS_AT_ONCE` rows, at least one."""
    which, images, at = _chosen(session, rows, request)
    n_row = len(which)
    at_once = max(1, n_row) if request.calibration == "self" else ROWS_AT_ONCE  # its terms are read once for all rows
    if n_row > at_once:
        rows["flux"], rows["flux_err"] = fluxes_of(session, rows, request.aperture)
    for start in range(0, max(1, n_row), at_once):
        some = slice(start, start + at_once)
        yield epoch_columns(session, _taken(rows, which[some]), images.take(at[some]), positions, request)


def _chosen(session: AnySession, rows: Columns, request: LightCurveRequest) -> tuple[IntArray, ImageTable, IntArray]:
    """Return which rows are epochs, in their order, a table of images, and the index in it of each epoch's image.

    Also add the column ``n_within`` to the rows.
    """
    images, at = images_of(session, rows["source_id"] >> SOURCE_ID_SHIFT, request)
    if (at < 0).any():
        known = np.flatnonzero(at >= 0)
        rows |= _taken(rows, known)
        at = at[known]
    key = rows["k"].astype(np.int64) * max(1, len(images)) + at
    which, rows["n_within"] = first_of_each(key, rows["separation"], rows["source_id"])
    at = at[which]
    if not request.all_versions:
        kept, at = one_version(session, {"k": rows["k"][which], "which": which}, images, at)
        which = kept["which"]
    if request.good:
        seen = {name: rows[name][which] for name in ("mask_bits", "flags")}
        good = np.flatnonzero(good_epochs(seen, usable_images(images)[at], request.aperture))
        which, at = which[good], at[good]
    return which, images, at


def _taken(rows: Columns, which: IntArray) -> Columns:
    return {name: values[which] for name, values in rows.items()}


def images_of(session: AnySession, image_id: IntArray, request: LightCurveRequest) -> tuple[ImageTable, IntArray]:
    """Return a table of images ordered by (mjd, image_id), and each row's index in it, -1 where cuts exclude it."""
    images, at = epoch_images(session, image_id, request.aperture)
    if request.whole_stars:
        images = images.of_whole_stars
    if request.calibration != "header":
        images, at = used_images(images, at)
        images = recalibrated(session, images, request)  # per image: gradients are applied per epoch
    wanted = _wanted(images, request)
    if not wanted.all() and len(at):
        at = np.where((at >= 0) & wanted[at], at, -1)
    return images, at


def recalibrated(session: AnySession, images: ImageTable, request: LightCurveRequest) -> ImageTable:
    """Return the images with zero points and colour terms of another calibration than the header's; NaN if none."""
    values = images.values.copy()
    ids = images.integers("image_id")
    if request.calibration == "self":
        terms = self_terms(session, ids, request.aperture)
        values[ZEROPOINT], values[COLOR_TERM] = terms["zeropoint"], terms["color_term"]
        values[EPOCH_ROWS["magerr_sys"]] = terms["magerr_sys"]
        return ImageTable(values)
    found = zeropoints(session, ids, aperture=request.aperture, calibration=request.calibration)
    values[ZEROPOINT], values[COLOR_TERM] = found["zeropoint"], found["color_term"]
    return ImageTable(values)


def zeropoints_at(
    session: AnySession, images: ImageTable, x: FloatArray, y: FloatArray, request: LightCurveRequest
) -> FloatArray:
    """Return the zero point (AB mag of 1 DN in the aperture) of each image at a pixel; NaN without one."""
    images = recalibrated(session, images, request) if request.calibration != "header" else images
    if request.calibration == "self":
        images = _over_quadrants(session, {"x": x, "y": y}, images, request, colored=False)
    return images["zeropoint"]


def _over_quadrants(
    session: AnySession, rows: Columns, images: ImageTable, request: LightCurveRequest, *, colored: bool
) -> ImageTable:
    """Return the image of each row with the zero point at the row's own pixel.

    Without a colour the zero point is that for a star of the survey's median colour, in the survey's mean system.
    """
    terms = self_terms(session, images.integers("image_id"), request.aperture)
    x, y = (rows["x"], rows["y"]) if "x" in rows else source_places(session, rows["source_id"])
    u, v = quadrant_places(x, y, terms["nx"], terms["ny"])
    values = images.values.copy()
    values[ZEROPOINT] = terms["zeropoint" if colored else "plain"] + surface_at(u, v, terms)
    return ImageTable(values)


def _wanted(images: ImageTable, request: LightCurveRequest) -> BoolArray:
    keep: BoolArray = images["rank"] != REFERENCE_RANK
    if request.fids is not None:
        keep &= np.isin(images["fid"], list(request.fids))
    if request.fields is not None:
        keep &= np.isin(images["field"], list(request.fields))
    if request.images is not None:
        keep &= np.isin(images.integers("image_id"), list(request.images))
    first, last = request.mjd
    if np.isfinite(first):
        keep &= images["mjd"] >= first
    if np.isfinite(last):
        keep &= images["mjd"] < last
    return keep


def first_of_each(key: IntArray, *by: Any) -> tuple[IntArray, IntArray]:
    """Return, ordered by key, the row of each key that is smallest in `by` (the first array counts first).

    Also return, for every row, how many rows share its key.
    """
    order = np.argsort(key)
    same = np.diff(key[order]) == 0
    if not same.any():
        return order, np.ones(len(key), np.int64)
    shared = np.flatnonzero(np.r_[same, False] | np.r_[False, same])
    rows = order[shared]
    order[shared] = rows[np.lexsort((*(column[rows] for column in reversed(by)), key[rows]))]
    first = np.flatnonzero(np.r_[True, ~same])
    n_sharing = np.empty(len(key), np.int64)
    n_group = np.diff(np.r_[first, len(order)])
    n_sharing[order] = np.repeat(n_group, n_group)
    return order[first], n_sharing


def one_version(session: AnySession, rows: Columns, images: ImageTable, at: IntArray) -> tuple[Columns, IntArray]:
    """Keep the preferred version of each exposure × quadrant, one epoch per position; rows stay in order."""
    shared = at[images.shared[at]]
    if not len(shared):
        return rows, at
    which = np.unique(shared)
    rank = np.zeros(len(images), np.int64)
    rank[which] = version_ranks(session, images.take(which))
    key = rows["k"].astype(np.int64) * len(images) + images.exposure_code[at]
    return kept_rows(rows, at, np.sort(first_of_each(key, rank[at])[0]))


def usable_images(images: ImageTable) -> BoolArray:
    """Return which images have usable photometry, as far as INFOBITS is known."""
    return ~(images["infobits"] >= INFOBITS_USABLE_BELOW)


def good_epochs(rows: Columns, usable: BoolArray, aperture: int) -> BoolArray:
    """Return which epochs have no known trouble (DESIGN section 3); without a mask every pixel counts as good."""
    truncated = APERTURE_BROKEN
    if aperture >= LARGE_APERTURE:
        truncated |= SourceFlag.LARGE_APERTURE_TRUNCATED
    clean = (rows["mask_bits"] == NO_MASK) | (rows["mask_bits"] & int(BAD_BITS) == 0)
    return np.asarray(usable & clean & (rows["flags"] & int(truncated) == 0))


def epoch_columns(
    session: AnySession, rows: Columns, images: ImageTable, positions: Positions, request: LightCurveRequest
) -> dict[str, Any]:
    """Compute every column; row and image of an epoch have the same index."""
    n, k, usable = len(images), rows["k"], usable_images(images)
    if request.calibration == "self":
        images = _over_quadrants(session, rows, images, request, colored=positions.color is not None)
    flux, flux_err = fluxes_of(session, rows, request.aperture)
    columns = _photometry(
        flux.astype(np.float64), flux_err.astype(np.float64), images, positions, k, request.calibration
    )
    columns |= zip(_COPIED, images.values[_COPIED_ROWS], strict=True)
    columns |= _image_counts(images)
    columns |= {name: rows[name] for name in ("ra", "dec", "separation", "source_id", "n_within")}
    columns["hjd"] = hjd(images["mjd_mid"], images.values[_SUN].T, rows["ra"], rows["dec"])
    columns["oid"] -= positions.oid[k]
    filters = _FILTER_CODES.take(columns.pop("fid"), mode="clip")
    columns["filtercode"] = words(filters, FILTERCODES)
    columns["kind"] = words(np.zeros(n, np.int8), KINDS)
    columns |= {name: rows[name] if name in rows else np.full(n, np.nan) for name in ("chi", "sharp")}
    if "mag_inst" in rows:
        columns |= _catalogued(rows, images, positions, k)
    columns["catflags"], columns["mask_bits"] = _mask_columns(rows["mask_bits"], usable)
    columns["flags"] = rows["flags"].astype(np.int64)
    columns["aperture"] = np.full(n, request.aperture)
    columns["good"] = good_epochs(rows, usable, request.aperture)
    columns["simulated"] = images["simulated"] == 1
    columns["position"] = k.astype(np.int64)
    return columns


def fluxes_of(session: AnySession, rows: Columns, aperture: int) -> tuple[Any, Any]:
    """Return flux and error (DN) of sources: ``flux`` and ``flux_err`` of the rows, else those of the aperture."""
    if "flux" in rows:
        return rows["flux"], rows["flux_err"]
    if aperture == 4:
        return rows["flux_aper4"], rows["flux_aper4_err"]
    return aperture_fluxes(session, rows["source_id"], aperture)


def _photometry(
    flux: FloatArray,
    flux_err: FloatArray,
    images: ImageTable,
    positions: Positions,
    k: IntArray,
    calibration: str,
) -> dict[str, Any]:
    """Calibrate fluxes (DN); NaN where the calibration lacks a zero point, or the colour term for a given colour."""
    zeropoint = images["zeropoint"]
    calibrated = CALIBRATION_CODES[calibration]
    if positions.color is None:
        color = np.full(len(k), np.nan)
    else:
        color, calibrated = positions.color[k], calibrated + 1
        zeropoint = zeropoint + color_correction(images["color_term"], color)
    mag, mag_err = flux_to_mag(flux, flux_err, zeropoint)
    microjansky = microjansky_per_dn(zeropoint)
    return {
        "mag": mag,
        "magerr": total_mag_err(mag_err, images["magerr_sys"]),
        "flux_ujy": flux * microjansky,
        "flux_ujy_err": flux_err * microjansky,
        "snr": np.divide(flux, flux_err, out=np.full(len(k), np.nan), where=flux_err > 0),
        "calibration": words(np.where(np.isnan(zeropoint), NO_CALIBRATION, calibrated), CALIBRATIONS),
        "color": color,
    }


def _catalogued(rows: Columns, images: ImageTable, positions: Positions, k: IntArray) -> dict[str, Any]:
    """Return the calibrated magnitudes of the rows of a catalogue, with our systematic floor in the errors."""
    zeropoint = images["zeropoint"]
    if positions.color is not None:
        zeropoint = zeropoint + color_correction(images["color_term"], positions.color[k])
    mag = rows["mag_inst"].astype(np.float64) + zeropoint
    magerr = total_mag_err(rows["sigmag"], images["magerr_sys"])
    return {"mag": mag, "magerr": np.where(np.isnan(mag), np.nan, magerr)}


def _mask_columns(mask_bits: IntArray, usable: BoolArray) -> tuple[Any, Any]:
    """Return ``catflags`` and ``mask_bits``, missing without a mask; ``catflags`` is set on unusable images."""
    no_mask = mask_bits == NO_MASK
    bits = np.where(no_mask, 0, mask_bits).astype(np.int64)
    catflags = bits + np.where(usable, 0, int(CATFLAG_UNUSABLE))
    return masked_integers(catflags, no_mask & usable), masked_integers(bits, no_mask)


def _image_counts(images: ImageTable) -> dict[str, Any]:
    """Return the integer columns of images, and ``oid`` without the digits of the position."""
    values = images.values[_COUNTED_ROWS]
    missing = np.isnan(values)
    values[missing] = 0.0
    counts = values.astype(np.int64)
    columns: dict[str, Any] = dict(zip(_COUNTED, counts[: len(_COUNTED)], strict=True))
    columns["oid"] = -(_OID_PLACES @ counts[: len(_OID_PLACES)])
    for row, name in enumerate(_NULLABLE, len(_COUNTED)):
        columns[name] = masked_integers(counts[row], missing[row])
    return columns


def kept_rows(rows: Columns, at: IntArray, which: IntArray) -> tuple[Columns, IntArray]:
    """Select rows, each with the index of its image."""
    return {name: values[which] for name, values in rows.items()}, at[which]
