"""Light curves from ZTF's data releases, read in place from IRSA's HATS catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, IntArray
from ztfdb.bits import BAD_BITS, CATFLAG_UNUSABLE
from ztfdb.errors import UnknownCatalogueError
from ztfdb.phot.magnitudes import POGSON, microjansky_per_dn
from ztfdb.phot.zeropoint import color_correction
from ztfdb.query.answer import PSF_COLUMNS
from ztfdb.query.columns import masked_integers, stacked, words
from ztfdb.query.detections import check_size, detected
from ztfdb.query.epochs import CALIBRATIONS, FILTERCODES, KINDS, Positions
from ztfdb.query.psf_catalogues import APERTURE, IRSA, PHOT_WORDS, with_phot
from ztfdb.query.request import LightCurveRequest
from ztfdb.sky.cells import cone_ranges
from ztfdb.sky.times import MJD_ZERO, mjd_mid_of
from ztfdb.store.catalogues import LIGHT_CURVES, CatalogueInfo, find_catalogue
from ztfdb.surveys.curves import Near, epochs_of, objects_near

UNIT = 10**8
"""An ``oid`` divided by this is field, filter and quadrant."""

_NO_IDS = ("expid", "filefracday", "programid", "aperture", "image_id", "source_id")
_NO_NUMBERS = ("mjd", "chi", "sharp", "limitmag", "magzp", "magzprms", "clrcounc", "exptime", "airmass")
"""Columns that these light curves lack."""


def published(session: Session, positions: Positions, request: LightCurveRequest) -> Iterator[dict[str, Any]]:
    """Yield, all at once, the light curves of positions from ZTF's data releases, the catalogue ``irsa``.

    A star has one ``objectid`` per field, filter and quadrant. The curve joins, for each of these, the nearest object
    within the radius. ``phot="irsa-both"`` adds our own epochs.

    In rows with ``phot`` = ``irsa``, ``oid`` is IRSA's, ``hjd`` is the catalogue's ``hmjd`` as a Julian date,
    ``mjd_mid`` is computed from it, and the option ``mjd`` cuts by ``mjd_mid``. These light curves do not include the
    start of the exposure: ``mjd`` is NaN, and so is all else that belongs to an image (ids are missing). ``magerr`` is
    IRSA's. ``good`` means no bad bit in ``catflags``. ``ra`` and ``dec`` are those of the object.

    Yields
    ------
    dict
        `ztfdb.query.answer.PSF_COLUMNS` and ``position``, ordered by position and time.

    Raises
    ------
    UnknownCatalogueError
        If no catalogue ``irsa`` was added to the archive.
    CatalogueFileError
        If it cannot be read, or has no light curves.
    """
    names = (*PSF_COLUMNS, "position")
    columns = _published(_catalogue(session), positions, request)
    check_size(len(columns["mjd"]))
    parts = [columns]
    if request.phot == "irsa-both":
        for ours in detected(session, positions, request.of_our_sources()):
            parts.append(with_phot(ours, APERTURE))
            check_size(sum(len(one["mjd"]) for one in parts))
    joined: dict[str, Any] = stacked(parts, names)
    time = np.where(np.isnan(joined["mjd"]), joined["mjd_mid"], joined["mjd"])
    order = np.lexsort([joined["phot"].codes, joined["oid"], time, joined["position"]])
    yield {name: values[order] for name, values in joined.items()}


def _catalogue(session: Session) -> CatalogueInfo:
    found = find_catalogue(session, LIGHT_CURVES)
    if found is None:
        raise UnknownCatalogueError(
            "no light curves of IRSA in this archive: add them with `ztfdb catalog add irsa hats:PATH`"
        )
    return found


def _published(info: CatalogueInfo, positions: Positions, request: LightCurveRequest) -> dict[str, Any]:
    """Return the epochs of the nearest object of each field, filter and quadrant."""
    catalogue = info.opened()
    _, lo, hi = cone_ranges(positions.ra, positions.dec, request.radius)
    near = objects_near(catalogue, positions.ra, positions.dec, request.radius, *_merged(lo, hi))
    near, n_within = _nearest(near, request)
    pair, found = epochs_of(catalogue, near)
    return _cut(_columns(near, n_within, positions, pair, found), request)


def _merged(lo: IntArray, hi: IntArray) -> tuple[IntArray, IntArray]:
    """Merge the ranges of many cones into ascending ones that do not overlap."""
    if not len(lo):
        return lo, hi
    by = np.argsort(lo, kind="stable")
    lo, reached = lo[by], np.maximum.accumulate(hi[by])
    first = np.concatenate([[True], lo[1:] > reached[:-1]])
    return lo[first], reached[np.append(np.flatnonzero(first)[1:] - 1, len(lo) - 1)]


def _nearest(near: Near, request: LightCurveRequest) -> tuple[Near, IntArray]:
    """Keep the nearest object of each field, filter and quadrant; also return how many there were."""
    field, fid = near.objectid // 10**12, near.objectid // 10**11 % 10
    wanted = np.ones(len(field), bool)
    if request.fids is not None:
        wanted &= np.isin(fid, list(request.fids))
    if request.fields is not None:
        wanted &= np.isin(field, list(request.fields))
    near = near.chosen(np.flatnonzero(wanted))
    unit = near.objectid // UNIT
    order = np.lexsort([near.objectid, near.separation, unit, near.k])
    new = np.flatnonzero((np.diff(unit[order], prepend=-1) != 0) | (np.diff(near.k[order], prepend=-1) != 0))
    return near.chosen(order[new]), np.diff(new, append=len(order))


def _columns(
    near: Near, n_within: IntArray, positions: Positions, pair: IntArray, found: dict[str, Any]
) -> dict[str, Any]:
    n, k, oid = len(pair), near.k[pair], near.objectid[pair]
    nothing, nan = masked_integers(np.zeros(n, np.int64), np.ones(n, bool)), np.full(n, np.nan)
    color = nan if positions.color is None else positions.color[k]
    mag = found["mag"] + color_correction(found["clrcoeff"], None if positions.color is None else color)
    flux = microjansky_per_dn(mag)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(found["magerr"] > 0, POGSON / found["magerr"], np.nan)
    bits = found["catflags"].astype(np.int64)
    unknown = bits < 0
    bits = np.where(unknown, 0, bits)
    ra, dec = np.mod(near.ra[pair], 360.0), near.dec[pair]
    code = int(positions.color is not None)
    return {
        "oid": oid,
        "hjd": found["hmjd"] + MJD_ZERO,
        "mjd_mid": mjd_mid_of(found["hmjd"], ra, dec),
        "mag": mag,
        "magerr": found["magerr"],
        "catflags": masked_integers(bits, unknown),
        "filtercode": words(oid // 10**11 % 10 - 1, FILTERCODES),
        "ra": ra,
        "dec": dec,
        "field": oid // 10**12,
        "ccdid": oid // 10**9 % 100,
        "qid": oid // UNIT % 10,
        "clrcoeff": found["clrcoeff"],
        "kind": words(np.zeros(n, np.int8), KINDS),
        "flux_ujy": flux,
        "flux_ujy_err": flux / snr,
        "snr": snr,
        "magerr_sys": np.zeros(n),
        "calibration": words(np.where(np.isnan(mag), -1, code), CALIBRATIONS),
        "color": color,
        "mask_bits": masked_integers(bits & ~int(CATFLAG_UNUSABLE), unknown),
        "flags": np.zeros(n, np.int64),
        "separation": near.separation[pair],
        "n_within": n_within[pair],
        "good": (bits & (int(BAD_BITS) | int(CATFLAG_UNUSABLE))) == 0,
        "simulated": np.zeros(n, bool),
        "phot": words(np.full(n, IRSA), PHOT_WORDS),
        "position": k,
        **dict.fromkeys(_NO_IDS, nothing),
        **dict.fromkeys(_NO_NUMBERS, nan),
    }


def _cut(columns: dict[str, Any], request: LightCurveRequest) -> dict[str, Any]:
    keep: BoolArray = (columns["mjd_mid"] >= request.mjd[0]) & (columns["mjd_mid"] < request.mjd[1])
    if request.good:
        keep = keep & columns["good"]
    return {name: values[keep] for name, values in columns.items()}
