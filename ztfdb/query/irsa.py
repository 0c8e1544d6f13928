"""Light curves from ZTF's data releases, read where IRSA's HATS catalogue of them lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, IntArray
from ztfdb.bits import BAD_BITS, CATFLAG_UNUSABLE
from ztfdb.errors import UnknownCatalogueError
from ztfdb.phot.magnitudes import POGSON, microjansky_per_dn
from ztfdb.phot.zeropoint import color_correction
from ztfdb.query.choice import IRSA_PHOTS, Choice, choice
from ztfdb.query.cone import check_radius
from ztfdb.query.epochs import CALIBRATIONS, FILTERCODES, KINDS, Positions, epochs
from ztfdb.query.frames import data_frame, masked_integers, stacked, words
from ztfdb.query.lightcurve import (
    MAX_RADIUS,
    POSITIONS_PER_CHUNK,
    LightCurve,
    check_size,
    cone_rows,
    light_curve_attrs,
)
from ztfdb.query.positions import Color, chunk, position_of, positions_of
from ztfdb.query.psfcat import APERTURE, IRSA, PHOT_WORDS, PSF_COLUMNS
from ztfdb.sky.cells import cone_ranges
from ztfdb.sky.times import MJD_ZERO, mjd_mid_of
from ztfdb.store.catalogues import LIGHT_CURVES, CatalogueInfo, find_catalogue
from ztfdb.surveys.curves import Near, epochs_of, objects_near

UNIT = 10**8
"""An ``oid`` without its last eight digits is field, filter and quadrant."""

_NO_IDS = ("expid", "filefracday", "programid", "aperture", "image_id", "source_id")
_NO_NUMBERS = ("mjd", "chi", "sharp", "limitmag", "magzp", "magzprms", "clrcounc", "exptime", "airmass")
"""What these light curves do not hold."""


def irsa_light_curve(
    session: Session,
    ra: float,
    dec: float,
    radius: float = 1.5,
    *,
    phot: str = "irsa",
    color: float | None = None,
    **options: Any,
) -> LightCurve:
    """Return the light curve of a position from ZTF's data releases; see `irsa_light_curves`.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Position, deg, ICRS.
    radius, phot, **options
        As in `irsa_light_curves`.
    color : float, optional
        As in `ztfdb.query.lightcurve.light_curve`.
    """
    positions = position_of(ra, dec, color)
    asked = _asked(phot, radius, options)
    columns = _light_curves(session, positions, radius, phot, asked)
    attrs = light_curve_attrs(asked, radius) | {"phot": phot}
    place = {"ra": float(positions.ra[0]), "dec": float(positions.dec[0]), "color": color}
    return LightCurve(data_frame({name: columns[name] for name in PSF_COLUMNS}, place | attrs))


def irsa_light_curves(
    session: Session,
    positions: Any,
    radius: float = 1.5,
    *,
    phot: str = "irsa",
    color: Color = None,
    **options: Any,
) -> pd.DataFrame:
    """Return the light curves of many positions from ZTF's data releases, the catalogue ``irsa``.

    A star has an ``objectid`` for each field, filter and quadrant. Of each of these the nearest object within the
    radius is taken, and all of them make one curve.

    Parameters
    ----------
    session : Session
    positions : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
        As in `ztfdb.query.lightcurve.light_curves`.
    radius : float
        arcsec, 0 to `MAX_RADIUS`.
    phot : str
        ``irsa``, or ``irsa-both``: also the epochs of `ztfdb.query.lightcurve.light_curves`.
    color : float, array_like of shape (n,), str, optional
        As in `ztfdb.query.lightcurve.light_curves`: adds CLRCOEFF · color.
    **options
        Of `ztfdb.query.lightcurve.light_curves`. ``mjd`` cuts IRSA's epochs by mid-exposure.

    Returns
    -------
    DataFrame
        `PSF_COLUMNS` and ``position``, ordered by position and time. In rows whose ``phot`` is ``irsa``: ``oid`` is
        IRSA's; ``hjd`` is the catalogue's ``hmjd`` as a Julian date, and ``mjd_mid`` is computed from it. The start of
        the exposure is not published with these light curves: ``mjd`` is NaN, and so is all else that belongs to an
        image (<NA> for ids). ``magerr`` is IRSA's. ``good`` means no bad bit in ``catflags``. ``ra`` and ``dec`` are
        those of the object.

    Raises
    ------
    UnknownCatalogueError
        If no catalogue ``irsa`` was added to the archive.
    CatalogueFileError
        If it cannot be read, or has no light curves.
    ValueError, QueryError
        As `ztfdb.query.lightcurve.light_curves`.
    """
    asked = _asked(phot, radius, options)
    columns = _light_curves(session, positions_of(positions, color), radius, phot, asked)
    return data_frame(columns, light_curve_attrs(asked, radius) | {"phot": phot})


def iter_irsa_light_curves(
    session: Session, positions: Any, radius: float = 1.5, *, color: Color = None, **options: Any
) -> Iterator[pd.DataFrame]:
    """Yield the light curves of many positions, `POSITIONS_PER_CHUNK` at a time; see `irsa_light_curves`."""
    every = positions_of(positions, color)
    for start in range(0, max(1, len(every.ra)), POSITIONS_PER_CHUNK):
        part = chunk(every, start, start + POSITIONS_PER_CHUNK)
        frame = irsa_light_curves(session, {"ra": part.ra, "dec": part.dec}, radius, color=part.color, **options)
        frame["position"] += start
        yield frame


def _asked(phot: str, radius: float, options: dict[str, Any]) -> Choice:
    if phot not in IRSA_PHOTS:
        raise ValueError(f"phot {phot!r}: expected one of {', '.join(IRSA_PHOTS)}")
    unfit = {"measure", "pmra", "pmdec", "epoch", "bjd", "how"} & options.keys()
    if unfit:
        raise ValueError(f"{', '.join(sorted(unfit))}: not with phot={phot!r}")
    if options.get("calibration", "header") != "header":
        own = options["calibration"]
        raise ValueError(f"the zero points of calibration {own!r} are those of our apertures, not of IRSA's magnitudes")
    check_radius(radius, MAX_RADIUS)
    return choice(**options)


def _catalogue(session: Session) -> CatalogueInfo:
    found = find_catalogue(session, LIGHT_CURVES)
    if found is None:
        raise UnknownCatalogueError(
            "no light curves of IRSA in this archive: `ztfdb catalog add irsa hats:PATH` says where they are"
        )
    return found


def _light_curves(session: Session, positions: Positions, radius: float, phot: str, asked: Choice) -> dict[str, Any]:
    names = (*PSF_COLUMNS, "position")
    columns = _published(_catalogue(session), positions, radius, asked)
    check_size(len(columns["mjd"]))
    parts = [columns]
    if phot == "irsa-both":
        for start, part, rows in cone_rows(session, positions, radius):
            ours = epochs(session, rows, part, replace(asked, whole_stars=False))
            ours["position"] += start
            ours["phot"] = words(np.full(len(ours["mjd"]), APERTURE), PHOT_WORDS)
            parts.append(ours)
            check_size(sum(len(one["mjd"]) for one in parts))
    joined = stacked(parts, names)
    time = np.where(np.isnan(joined["mjd"]), joined["mjd_mid"], joined["mjd"])
    order = np.lexsort([joined["phot"].codes, joined["oid"], time, joined["position"]])
    return {name: values[order] for name, values in joined.items()}


def _published(info: CatalogueInfo, positions: Positions, radius: float, asked: Choice) -> dict[str, Any]:
    """Return the epochs of the nearest object of each field, filter and quadrant."""
    catalogue = info.opened()
    _, lo, hi = cone_ranges(positions.ra, positions.dec, radius)
    near = objects_near(catalogue, positions.ra, positions.dec, radius, *_merged(lo, hi))
    near, n_within = _nearest(near, asked)
    pair, found = epochs_of(catalogue, near)
    return _cut(_columns(near, n_within, positions, pair, found), asked)


def _merged(lo: IntArray, hi: IntArray) -> tuple[IntArray, IntArray]:
    """Return ranges of many cones as ascending ones that do not overlap."""
    if not len(lo):
        return lo, hi
    by = np.argsort(lo, kind="stable")
    lo, reached = lo[by], np.maximum.accumulate(hi[by])
    first = np.concatenate([[True], lo[1:] > reached[:-1]])
    return lo[first], reached[np.append(np.flatnonzero(first)[1:] - 1, len(lo) - 1)]


def _nearest(near: Near, asked: Choice) -> tuple[Near, IntArray]:
    """Keep the nearest object of each field, filter and quadrant, and return how many there were."""
    field, fid = near.objectid // 10**12, near.objectid // 10**11 % 10
    wanted = np.ones(len(field), bool)
    if asked.fids is not None:
        wanted &= np.isin(fid, list(asked.fids))
    if asked.fields is not None:
        wanted &= np.isin(field, list(asked.fields))
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


def _cut(columns: dict[str, Any], asked: Choice) -> dict[str, Any]:
    keep: BoolArray = (columns["mjd_mid"] >= asked.mjd[0]) & (columns["mjd_mid"] < asked.mjd[1])
    if asked.good:
        keep = keep & columns["good"]
    return {name: values[keep] for name, values in columns.items()}
