"""The same questions asked of ZTF's own PSF catalogues, alone or beside our own photometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Columns, IntArray
from ztfdb.query.choice import Choice, choice
from ztfdb.query.complete import COMPLETE_COLUMNS, REASON_WORDS, How, complete_light_curves
from ztfdb.query.cone import MAX_CONE_RADIUS, check_radius, nearest_first, search_cone
from ztfdb.query.epochs import Positions, epochs
from ztfdb.query.frames import columns_of, data_frame, masked_integers, stacked, words
from ztfdb.query.lightcurve import (
    COLUMNS,
    MAX_RADIUS,
    POSITIONS_PER_CHUNK,
    LightCurve,
    check_size,
    cone_rows,
    light_curve_attrs,
)
from ztfdb.query.positions import Color, chunk, position_of, positions_of
from ztfdb.query.targets import targets_of
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.psf_sources import (
    PSF_DTYPES,
    psf_catalogue_dates,
    psf_light_curve_sources,
    psf_sources_in_cone,
)

PHOTS = ("aperture", "psfcat", "both")
"""What a light curve may be made of: our apertures, ZTF's catalogues, or both beside each other."""

PHOT_WORDS = pd.CategoricalDtype(["psfcat", "psf", "aperture", "irsa"])
"""Whose photometry a row is, in the order in which rows of one image come: ZTF's, our PSF fit, our aperture.

``irsa`` are the light curves of ZTF's data releases, whose rows belong to no image.
"""

PSFCAT, PSF, APERTURE, IRSA = range(4)  # as in PHOT_WORDS

PSF_COLUMNS = (*COLUMNS, "phot")
"""Columns of a light curve that has ZTF's photometry."""

BITS = 0xFFFF
"""``flags`` is a signed 16-bit number of unsigned bits."""


def psf_light_curve(
    session: Session,
    ra: float,
    dec: float,
    radius: float = 1.5,
    *,
    phot: str = "psfcat",
    color: float | None = None,
    **options: Any,
) -> LightCurve:
    """Return the light curve of a position from ZTF's PSF catalogues: per image the nearest row within a radius.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Position, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_RADIUS`.
    phot : str
        ``psfcat``, or ``both``: also the epochs of `ztfdb.query.lightcurve.light_curve`, each image's rows one after
        the other.
    color : float, optional
        As in `ztfdb.query.lightcurve.light_curve`.
    **options
        Of `ztfdb.query.lightcurve.light_curve`; ``aperture`` concerns our own epochs only.

    Returns
    -------
    LightCurve
        `PSF_COLUMNS`, ordered by (mjd, image_id, phot). In rows whose ``phot`` is ``psfcat``: ``mag`` is the
        instrumental magnitude plus MAGZP (no aperture correction), ``magerr`` its ``sigmag`` with the archive's
        systematic floor in quadrature, ``flux_ujy`` the PSF flux; ``chi`` and ``sharp`` are ZTF's; ``mask_bits`` are
        its ``flags``, ``catflags`` the same plus 32768 on an unusable image; ``good`` asks for infobits and those
        bits; ``aperture`` is <NA>, ``flags`` 0, and ``source_id`` that of ``psf_source``.

    Raises
    ------
    ValueError
        If a position, radius or option is not one.
    QueryError
        If the radius is beyond the maximum.
    """
    positions = position_of(ra, dec, color)
    asked = _asked(phot, radius, options)
    columns = _light_curves(session, positions, radius, phot, asked)
    attrs = light_curve_attrs(asked, radius) | {"phot": phot}
    place = {"ra": float(positions.ra[0]), "dec": float(positions.dec[0]), "color": color}
    return LightCurve(data_frame({name: columns[name] for name in PSF_COLUMNS}, place | attrs))


def psf_light_curves(
    session: Session,
    positions: Any,
    radius: float = 1.5,
    *,
    phot: str = "psfcat",
    color: Color = None,
    **options: Any,
) -> pd.DataFrame:
    """Return the light curves of many positions from ZTF's PSF catalogues.

    Parameters
    ----------
    session : Session
    positions : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
        As in `ztfdb.query.lightcurve.light_curves`.
    radius, phot, **options
        As in `psf_light_curve`.
    color : float, array_like of shape (n,), str, optional
        As in `ztfdb.query.lightcurve.light_curves`.

    Returns
    -------
    DataFrame
        `PSF_COLUMNS` and ``position``, ordered by (position, mjd, image_id, phot).
    """
    asked = _asked(phot, radius, options)
    columns = _light_curves(session, positions_of(positions, color), radius, phot, asked)
    return data_frame(columns, light_curve_attrs(asked, radius) | {"phot": phot})


def iter_psf_light_curves(
    session: Session, positions: Any, radius: float = 1.5, *, color: Color = None, **options: Any
) -> Iterator[pd.DataFrame]:
    """Yield the light curves of many positions, `POSITIONS_PER_CHUNK` at a time; otherwise as `psf_light_curves`."""
    for start, table, colors in _pieces(positions, color):
        frame = psf_light_curves(session, table, radius, color=colors, **options)
        frame["position"] += start
        yield frame


def complete_psf_light_curve(
    sessions: sessionmaker[Session],
    ra: float,
    dec: float,
    radius: float = 1.5,
    *,
    phot: str = "psfcat",
    color: float | None = None,
    **options: Any,
) -> LightCurve:
    """Return the complete light curve of a position, of ZTF's photometry as far as there is any.

    Parameters
    ----------
    sessions : sessionmaker
    ra, dec, radius, color
        As in `ztfdb.query.complete.complete_light_curve`.
    phot : str
        ``psfcat``: one epoch for every exposure × quadrant that covers the position. Where no catalogue has a row
        within the radius, it is our fit of the exposure's PSF at the position if its ``sciimgdao.psf`` lies beside the
        image, else our aperture's detection, forced measurement, limit or reason. ``both``: all of these beside each
        other, without the PSF fits that could not be made.
    **options
        Of `ztfdb.query.complete.complete_light_curve`, without ``measure`` and proper motion.

    Returns
    -------
    LightCurve
        `COMPLETE_COLUMNS` and ``phot``, ordered by (mjd, image_id, phot).
    """
    if isinstance(color, str):
        raise ValueError(f"color {color!r}: expected a number (many positions take the name of a column, too)")
    positions = positions_of({"ra": ra, "dec": dec}, color)
    frame = complete_psf_light_curves(sessions, {"ra": ra, "dec": dec}, radius, phot=phot, color=color, **options)
    place = {"ra": float(positions.ra[0]), "dec": float(positions.dec[0]), "color": color}
    attrs, frame.attrs = _attrs(frame), {}
    return LightCurve(data_frame(columns_of(frame.drop(columns="position")), place | attrs))


def complete_psf_light_curves(
    sessions: sessionmaker[Session],
    positions: Any,
    radius: float = 1.5,
    *,
    phot: str = "psfcat",
    color: Color = None,
    bjd: bool = False,
    how: How | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Return the complete light curves of many positions; see `complete_psf_light_curve`."""
    good = options.pop("good", False)
    asked = _asked(phot, radius, options)
    shared: dict[str, Any] = {"color": color, "bjd": bjd, "how": how, **options}
    ours = complete_light_curves(sessions, positions, radius, **shared)
    ours["phot"] = words(np.full(len(ours), APERTURE), PHOT_WORDS)
    with sessions() as session:
        theirs = data_frame(_light_curves(session, positions_of(positions, color), radius, "psfcat", asked))
    theirs = _labelled(theirs, ours, asked)
    rest = ours if phot == "both" else ours[~_among(ours, theirs, asked)]
    fitted = _fitted(sessions, positions, radius, rest, shared)
    if phot == "psfcat":
        rest = rest[~_among(rest, fitted, asked)]
    names = (*COMPLETE_COLUMNS, *(["bjd_tdb"] if bjd else []), "phot", "position")
    attrs = _attrs(ours) | {"phot": phot, "good": good}
    del attrs["measure"]
    if len(fitted):
        attrs["n_measured"] += fitted.attrs["n_measured"]
    joined = _ordered([columns_of(part) for part in (theirs, fitted, rest)], names)
    if good:
        joined = {name: values[joined["good"]] for name, values in joined.items()}
    return data_frame(joined, attrs)


def iter_complete_psf_light_curves(
    sessions: sessionmaker[Session], positions: Any, radius: float = 1.5, *, color: Color = None, **options: Any
) -> Iterator[pd.DataFrame]:
    """Yield complete light curves, `POSITIONS_PER_CHUNK` at a time; otherwise as `complete_psf_light_curves`."""
    for start, table, colors in _pieces(positions, color):
        frame = complete_psf_light_curves(sessions, table, radius, color=colors, **options)
        frame["position"] += start
        yield frame


def psf_cone(
    session: Session,
    ra: float,
    dec: float,
    radius: float,
    *,
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> pd.DataFrame:
    """Return all rows of ZTF's PSF catalogues within a radius, those of references among them, nearest first.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Centre, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_CONE_RADIUS`; the rim belongs to the cone.
    columns : sequence of str, optional
        Columns of the table ``psf_source`` to return; all of them by default.
    pmra, pmdec, epoch : float, optional
        As in `ztfdb.query.cone.cone`; places are those at the exposure's start.

    Returns
    -------
    DataFrame
        The columns in the table's units, then ``separation`` (arcsec), ``obsmjd`` (NaN for references),
        ``filtercode``, ``role`` (``psfcat`` or ``refpsfcat``) and ``mag`` (AB: ``mag_inst`` + MAGZP); ordered by
        separation, then ``source_id``.

    Raises
    ------
    ValueError, QueryError
        As `ztfdb.query.cone.cone`.
    """
    centre = targets_of({"ra": ra, "dec": dec}, pmra=pmra, pmdec=pmdec, epoch=epoch)
    check_radius(radius, MAX_CONE_RADIUS)
    wanted = tuple(columns) if columns is not None else tuple(PSF_DTYPES)
    _, lo, hi = cone_ranges(*search_cone(session, centre, radius))
    needed = tuple(dict.fromkeys((*wanted, "source_id", "image_id", "ra", "dec", "mag_inst")))
    rows = psf_sources_in_cone(session, lo, hi, needed)
    dates = None
    if centre.pmra is not None:
        ids, at = np.unique(rows["image_id"], return_inverse=True)
        dates = psf_catalogue_dates(session, ids)["obsmjd"][at]
    rows = nearest_first(rows, centre, radius, dates)
    ids, at = np.unique(rows["image_id"], return_inverse=True)
    known = psf_catalogue_dates(session, ids)
    out: dict[str, Any] = {name: rows[name] for name in (*wanted, "separation")}
    out["obsmjd"] = known["obsmjd"][at]
    for name in ("filtercode", "role"):
        out[name] = pd.array(known[name][at], dtype="str")
    out["mag"] = rows["mag_inst"].astype(np.float64) + known["magzp"][at]
    return data_frame(out)


def _pieces(positions: Any, color: Color) -> Iterator[tuple[int, dict[str, Any], Any]]:
    """Divide positions: the place of the first, a table and the colours of each part."""
    every = positions_of(positions, color)
    for start in range(0, max(1, len(every.ra)), POSITIONS_PER_CHUNK):
        part = chunk(every, start, start + POSITIONS_PER_CHUNK)
        yield start, {"ra": part.ra, "dec": part.dec}, part.color


def _asked(phot: str, radius: float, options: dict[str, Any]) -> Choice:
    """Check the options and return them for ZTF's rows, whose fluxes are those of whole stars.

    Raises
    ------
    ValueError
        If one is not one, or not one for ZTF's photometry.
    """
    if phot not in PHOTS[1:]:
        raise ValueError(f"phot {phot!r}: expected one of {', '.join(PHOTS)}")
    unfit = {"measure", "pmra", "pmdec", "epoch"} & options.keys()
    if unfit:
        raise ValueError(f"{', '.join(sorted(unfit))}: not with phot={phot!r}")
    if options.get("calibration", "header") != "header":
        own = options["calibration"]
        raise ValueError(f"the zero points of calibration {own!r} are those of apertures; psfcat has the header's")
    check_radius(radius, MAX_RADIUS)
    return replace(choice(**options), whole_stars=True)


def _light_curves(session: Session, positions: Positions, radius: float, phot: str, asked: Choice) -> dict[str, Any]:
    """Return the columns of light curves: `PSF_COLUMNS` and ``position``."""
    names = (*PSF_COLUMNS, "position")
    parts, n_row = [], 0
    with ExitStack() as readers:
        theirs = readers.enter_context(closing(cone_rows(session, positions, radius, psf_light_curve_sources)))
        ours = readers.enter_context(closing(cone_rows(session, positions, radius)))  # reads only what is asked for
        for start, part, rows in theirs:
            check_size(n_row := n_row + len(rows["k"]))
            columns = _catalogued(session, rows, part, asked)
            if phot == "both":
                _, _, own = next(ours)
                check_size(n_row := n_row + len(own["k"]))
                measured = epochs(session, own, part, replace(asked, whole_stars=False))
                measured["phot"] = words(np.full(len(measured["mjd"]), APERTURE), PHOT_WORDS)
                columns = _ordered([columns, measured], names)
            columns["position"] += start
            parts.append({name: columns[name] for name in names})
    return stacked(parts, names)


def _catalogued(session: Session, rows: Columns, positions: Positions, asked: Choice) -> dict[str, Any]:
    """Return the epochs of ZTF's rows."""
    rows["mask_bits"] = rows["flags"].astype(np.int64) & BITS
    rows["flags"] = np.zeros(len(rows["flags"]), np.int64)
    columns = epochs(session, rows, positions, asked)
    n = len(columns["mjd"])
    columns["aperture"] = masked_integers(np.zeros(n, np.int64), np.ones(n, bool))
    columns["phot"] = words(np.full(n, PSFCAT), PHOT_WORDS)
    return columns | {name: columns[name].astype(np.float64) for name in ("chi", "sharp")}


def _labelled(theirs: pd.DataFrame, ours: pd.DataFrame, asked: Choice) -> pd.DataFrame:
    """Return those of ZTF's epochs whose image covers the position, with the labels of a complete light curve."""
    place = pd.Series(np.arange(len(ours)), index=_keys(ours, asked))
    at = place.reindex(_keys(theirs, asked)).to_numpy(np.float64)
    theirs = pd.DataFrame(theirs[np.isfinite(at)].reset_index(drop=True))
    same = ours.iloc[at[np.isfinite(at)].astype(np.int64)].reset_index(drop=True)
    n = len(theirs)
    theirs["reason"] = words(np.full(n, -1), REASON_WORDS)
    theirs["upper_limit_mag"] = theirs["upper_limit_nsigma"] = np.nan
    theirs["blended"] = (theirs["n_within"] > 1).to_numpy(bool)
    for name in ("contaminated", "x", "y", *(["bjd_tdb"] if "bjd_tdb" in ours else [])):
        theirs[name] = same[name]
    theirs["source_id"] = theirs["source_id"].astype("Int64")
    return theirs


def _fitted(
    sessions: sessionmaker[Session], positions: Any, radius: float, rest: pd.DataFrame, options: dict[str, Any]
) -> pd.DataFrame:
    """Return our PSF fits for the epochs of `rest`, those that could be made."""
    if not len(rest):
        return rest
    images = frozenset(rest["image_id"].tolist())
    fitted = complete_light_curves(sessions, positions, radius, measure="psf", images=images, **options)
    fitted["phot"] = words(np.full(len(fitted), PSF), PHOT_WORDS)
    attrs = fitted.attrs
    wanted = (fitted["kind"] != "unavailable") & _among(fitted, rest, None)
    fitted = pd.DataFrame(fitted[wanted].reset_index(drop=True))
    fitted.attrs = attrs
    return fitted


def _among(frame: pd.DataFrame, others: pd.DataFrame, asked: Choice | None) -> Any:
    """Tell the rows whose epoch is among those of another light curve."""
    return _keys(frame, asked).isin(_keys(others, asked))


def _keys(frame: pd.DataFrame, asked: Choice | None) -> pd.MultiIndex:
    """Return what makes rows the same epoch: position and exposure × quadrant, or position and image."""
    image = frame["image_id"].to_numpy(np.int64)
    if asked is None or asked.all_versions:
        return pd.MultiIndex.from_arrays([frame["position"].to_numpy(), image])
    rcid = 4 * (frame["ccdid"].to_numpy(np.int64) - 1) + frame["qid"].to_numpy(np.int64) - 1
    expid = frame["expid"].to_numpy(np.int64, na_value=-1)
    exposure: IntArray = (expid * 64 + rcid) * 2 + frame["simulated"].to_numpy(bool)
    return pd.MultiIndex.from_arrays([frame["position"].to_numpy(), np.where(expid < 0, -1 - image, exposure)])


def _ordered(parts: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Any]:
    """Join light curves, ordered by (position, mjd, image_id, phot)."""
    joined = stacked(parts, names)
    order = np.lexsort([joined["phot"].codes, joined["image_id"], joined["mjd"], joined["position"]])
    return {name: values[order] for name, values in joined.items()}


def _attrs(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): value for name, value in frame.attrs.items()}
