"""From the sources inside cones to the epochs of light curves: which ones, in which order, with which numbers.

The rows of many positions are worked on together. ``k`` numbers the position of a row; its image is a row of the
image columns, which are kept in the order of a light curve (mjd, image_id), so that one integer per row,
``k * n_image + image``, both groups the rows of one image and puts the epochs in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.bits import APERTURE_BROKEN, BAD_BITS, CATFLAG_UNUSABLE, INFOBITS_USABLE_BELOW, SourceFlag
from ztfdb.phot.magnitudes import flux_to_mag, flux_to_microjansky
from ztfdb.query.choice import FILTERS, Choice
from ztfdb.query.frames import masked_integers, nullable, words
from ztfdb.records import BoolArray, FloatArray, IntArray
from ztfdb.schema import SOURCE_ID_SHIFT
from ztfdb.sky.times import hjd
from ztfdb.store.lookup import (
    MISSING,
    NO_MASK,
    REFERENCE_RANK,
    Columns,
    aperture_fluxes,
    epoch_images,
    image_versions,
)

IRSA_COLUMNS = (
    "oid", "expid", "hjd", "mjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec", "chi", "sharp", "filefracday",
    "field", "ccdid", "qid", "limitmag", "magzp", "magzprms", "clrcoeff", "clrcounc", "exptime", "airmass", "programid",
)  # fmt: skip
"""IRSA's columns of a light curve, in IRSA's order; they come first."""

KINDS = pd.CategoricalDtype(["detection", "forced", "limit", "unavailable"])
FILTERCODES = pd.CategoricalDtype(list(FILTERS.values()))
CALIBRATIONS = pd.CategoricalDtype(["header", "header+colour", "none"])

LARGE_APERTURE = 5
"""From this aperture (10 px) on, its own truncation counts for ``good``, too."""


@dataclass(frozen=True)
class Positions:
    """What was asked: positions (deg) and, where a colour term applies, the PS1 colour of each.

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
    """Return our 8 digits of an ``oid``, from the cell of the position that was asked for.

    The lowest 26 bits of the order-18 cell (0.8 arcsec): they repeat only every 1.8 degrees, farther than a quadrant is
    wide, so that two positions on a quadrant share them only where they share the cell.
    """
    return (hpx29 >> 22) & ((1 << 26) - 1)


def epochs(session: Session, rows: Columns, positions: Positions, asked: Choice) -> dict[str, Any]:
    """Return the light curves of positions as columns, ordered by (position, mjd, image_id).

    Parameters
    ----------
    session : Session
    rows : dict of ndarray
        Sources inside the cones: ``k``, ``separation`` and `ztfdb.store.lookup.LIGHT_CURVE_DTYPES`.
    positions : Positions
        Indexed by ``k``.
    asked : Choice
    """
    images, at = _images(session, rows["source_id"] >> SOURCE_ID_SHIFT, asked)
    known = np.flatnonzero(at >= 0)
    rows, at = _taken(rows, known), at[known]
    key = rows["k"].astype(np.int64) * max(1, len(images["image_id"])) + at
    chosen, n_within = _first_of_each(key, rows["separation"], rows["source_id"])
    if not asked.all_versions:
        kept = _one_version(session, images, rows["k"][chosen], at[chosen])
        chosen, n_within = chosen[kept], n_within[kept]
    rows, at = _taken(rows, chosen), at[chosen]
    rows["n_within"] = n_within
    if asked.good:
        good = np.flatnonzero(_good(rows, images["usable"][at], asked.aperture))
        rows, at = _taken(rows, good), at[good]
    return _columns(session, rows, images, at, positions, asked)


def _images(session: Session, image_id: IntArray, asked: Choice) -> tuple[Columns, IntArray]:
    """Return the images asked for, ordered by (mjd, image_id), and each row's place in them, -1 where cut."""
    codes, ids = pd.factorize(image_id)
    images = epoch_images(session, np.sort(ids), asked.aperture)
    wanted = np.flatnonzero(_wanted(images, asked))
    wanted = wanted[np.lexsort((images["image_id"][wanted], images["mjd"][wanted]))]
    images = _taken(images, wanted)
    infobits = images["infobits"]
    images["usable"] = (infobits == MISSING) | (infobits < INFOBITS_USABLE_BELOW)
    return images, _places(images["image_id"], ids)[codes]


def _places(image_id: IntArray, wanted: IntArray) -> IntArray:
    """Return where each wanted id stands in `image_id`, -1 where it does not."""
    order = np.argsort(image_id)
    found = np.searchsorted(image_id, wanted, sorter=order)
    at = order[np.minimum(found, len(order) - 1)] if len(order) else np.zeros(len(wanted), np.intp)
    return np.where(image_id[at] == wanted, at, -1) if len(order) else at - 1


def _wanted(images: Columns, asked: Choice) -> BoolArray:
    keep: BoolArray = images["rank"] != REFERENCE_RANK
    if asked.fids is not None:
        keep &= np.isin(images["fid"], list(asked.fids))
    if asked.fields is not None:
        keep &= np.isin(images["field"], list(asked.fields))
    first, last = asked.mjd
    if np.isfinite(first):
        keep &= images["mjd"] >= first
    if np.isfinite(last):
        keep &= images["mjd"] < last
    return keep


def _first_of_each(key: IntArray, *by: Any) -> tuple[IntArray, IntArray]:
    """Return the row of each key that is smallest in `by` (first entry first), by key, and how many share the key."""
    order = np.argsort(key)
    same = np.diff(key[order]) == 0
    if same.any():
        shared = np.flatnonzero(np.r_[same, False] | np.r_[False, same])
        rows = order[shared]
        order[shared] = rows[np.lexsort((*(column[rows] for column in reversed(by)), key[rows]))]
    first = np.flatnonzero(np.r_[True, ~same]) if len(order) else np.empty(0, np.intp)
    return order[first], np.diff(np.r_[first, len(order)])


def _one_version(session: Session, images: Columns, k: IntArray, at: IntArray) -> IntArray:
    """Return the rows that stay when each exposure × quadrant gives one epoch per position, in their order.

    The whole quadrant goes before a cutout of it, then the newest processing (PROCVSN, CREATED), then the smaller id.
    """
    exposure, n_image = np.unique(_exposures(images), return_inverse=True, return_counts=True)[1:]
    if (n_image == 1).all():
        return np.arange(len(at))
    rank = _preference(session, images, n_image[exposure] > 1)
    key = k.astype(np.int64) * len(n_image) + exposure[at]
    return np.sort(_first_of_each(key, rank[at])[0])


def _exposures(images: Columns) -> IntArray:
    """Return one integer per exposure × quadrant of each image; an image of an unknown exposure has its own."""
    known = (images["expid"] * 64 + images["rcid"]) * 2 + images["simulated"]
    return np.where(images["expid"] == MISSING, -1 - images["image_id"], known)


def _preference(session: Session, images: Columns, shared: BoolArray) -> IntArray:
    """Rank images that share an exposure × quadrant with others; the smaller the better."""
    rank = np.zeros(len(shared), np.int64)
    which = np.flatnonzero(shared)
    ids = images["image_id"][which]
    versions = image_versions(session, np.sort(ids))
    at = np.searchsorted(versions["image_id"], ids)
    _, created = np.unique(versions["created"].astype(str), return_inverse=True)
    order = np.lexsort((ids, -created[at], -versions["procvsn"][at], images["rank"][which]))
    rank[which[order]] = np.arange(len(order))
    return rank


def _good(rows: Columns, usable: BoolArray, aperture: int) -> BoolArray:
    """Tell the epochs without known trouble (DESIGN section 3); without a mask nothing is known against a pixel."""
    truncated = APERTURE_BROKEN
    if aperture >= LARGE_APERTURE:
        truncated |= SourceFlag.LARGE_APERTURE_TRUNCATED
    mask_bits = np.where(rows["mask_bits"] == NO_MASK, 0, rows["mask_bits"])
    return np.asarray(usable & (mask_bits & int(BAD_BITS) == 0) & (rows["flags"] & int(truncated) == 0))


def _columns(
    session: Session, rows: Columns, images: Columns, at: IntArray, positions: Positions, asked: Choice
) -> dict[str, Any]:
    """Compute every column of the chosen rows."""
    n, k = len(at), rows["k"]
    of_image = {name: values[at] for name, values in images.items()}
    if asked.aperture == 4:
        flux, flux_err = rows["flux_aper4"], rows["flux_aper4_err"]
    else:
        flux, flux_err = aperture_fluxes(session, rows["source_id"], asked.aperture)
    columns = _photometry(flux.astype(np.float64), flux_err.astype(np.float64), of_image, positions, k)
    columns |= {name: of_image[name] for name in ("mjd", "mjd_mid", "exptime", "limitmag", "magzp", "magzprms",
                                                  "clrcoeff", "clrcounc", "airmass", "magerr_sys", "field", "ccdid",
                                                  "qid", "image_id")}  # fmt: skip
    columns |= {name: nullable(of_image[name]) for name in ("expid", "filefracday", "programid")}
    columns |= {name: rows[name] for name in ("ra", "dec", "separation", "source_id")}
    sun = np.stack([of_image["sun_x"], of_image["sun_y"], of_image["sun_z"]], axis=-1)
    columns["hjd"] = hjd(of_image["mjd_mid"], sun, rows["ra"], rows["dec"])
    columns["oid"] = -(
        of_image["field"] * 10**12 + of_image["fid"] * 10**11 + of_image["ccdid"] * 10**9 + of_image["qid"] * 10**8
        + positions.oid[k]
    )  # fmt: skip
    columns["filtercode"] = words(
        np.where(np.isin(of_image["fid"], list(FILTERS)), of_image["fid"] - 1, -1), FILTERCODES
    )
    columns["kind"] = words(np.zeros(n, np.int8), KINDS)
    columns["chi"], columns["sharp"] = np.full(n, np.nan), np.full(n, np.nan)
    columns["catflags"], columns["mask_bits"] = _mask_columns(rows["mask_bits"], of_image["usable"])
    columns["flags"] = rows["flags"].astype(np.int64)
    columns["aperture"] = np.full(n, asked.aperture)
    columns["n_within"] = rows["n_within"].astype(np.int64)
    columns["good"] = _good(rows, of_image["usable"], asked.aperture)
    columns["simulated"] = of_image["simulated"] == 1
    columns["position"] = k.astype(np.int64)
    return columns


def _photometry(
    flux: FloatArray, flux_err: FloatArray, of_image: Columns, positions: Positions, k: IntArray
) -> dict[str, Any]:
    """Calibrate fluxes (DN): nothing where the header has no aperture correction, or no colour term that was asked."""
    zeropoint = of_image["magzp"] + of_image["apcor"]
    color = np.full(len(k), np.nan)
    if positions.color is not None:
        color = positions.color[k]
        zeropoint = zeropoint + of_image["clrcoeff"] * color
    mag, mag_err = flux_to_mag(flux, flux_err, zeropoint)
    calibrated = 0 if positions.color is None else 1
    return {
        "mag": mag,
        "magerr": np.hypot(mag_err, of_image["magerr_sys"]),
        "flux_ujy": flux_to_microjansky(flux, zeropoint),
        "flux_ujy_err": flux_to_microjansky(flux_err, zeropoint),
        "snr": np.divide(flux, flux_err, out=np.full(len(k), np.nan), where=flux_err > 0),
        "calibration": words(np.where(np.isnan(zeropoint), 2, calibrated), CALIBRATIONS),
        "color": color,
    }


def _mask_columns(mask_bits: IntArray, usable: BoolArray) -> tuple[Any, Any]:
    """Return ``catflags`` and ``mask_bits``: both unknown without a mask, unless the image itself is known bad."""
    no_mask = mask_bits == NO_MASK
    bits = np.where(no_mask, 0, mask_bits).astype(np.int64)
    catflags = bits + np.where(usable, 0, int(CATFLAG_UNUSABLE))
    return masked_integers(catflags, no_mask & usable), masked_integers(bits, no_mask)


def _taken(columns: Columns, rows: IntArray) -> Columns:
    return {name: values[rows] for name, values in columns.items()}
