"""Sources next to the rows of a reference catalogue that they match: the table of matched entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.codes import MATCH_MODES
from ztfdb.derive.calibrators import BANDS
from ztfdb.derive.crossmatch import find_matches, near_sources, rank_matches
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.magnitudes import flux_to_mag
from ztfdb.query.within import rows_within
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.sky.motion import julian_year, move
from ztfdb.sky.projection import sky_to_pixel_many
from ztfdb.store.calibrations import image_to_calibrate
from ztfdb.store.catalogue_rows import rows_by_id
from ztfdb.store.catalogues import CatalogueInfo, get_catalogue, list_catalogues
from ztfdb.store.columns import MISSING_INT32, NO_MASK, table_dtypes
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.image_choice import chosen_images, image_mjd
from ztfdb.store.image_rows import image_wcs
from ztfdb.store.matches import MatchTable, find_image_match, matches_of_image, matches_of_sources
from ztfdb.store.select import sorted_rows
from ztfdb.store.zero_points import zeropoints

SOURCES = "sources"
"""Name of an image's own sources in `catin` and `catref`."""


def matched_entries(
    session: Session,
    columns: Sequence[str],
    catin: str,
    catref: str,
    *,
    image_id: int | Iterable[int] | None = None,
    region: tuple[float, float, float] | None = None,
    mode: str | None = None,
    radius: float | None = None,
    aperture: int = 4,
    calibration: str = "header",
) -> pd.DataFrame:
    """Return sources of images with the rows of a catalogue that they match, side by side.

    Parameters
    ----------
    session : Session
    columns : sequence of str
        Columns to return of both: ``ra``, ``dec`` (deg; the catalogue's at the image's epoch), ``x``, ``y`` (zero-based
        pixels), ``mag``, ``mag_err`` (AB in the image's filter: the sources' calibrated ones, the catalogue's in the
        band of the same name), or any numeric column that both tables have.
    catin, catref : str
        One is ``sources``, the other a catalogue of the archive, by its name with or without the suffix ``cat``
        (``ps1cat``).
    image_id : int or iterable of int
        One image, or several; with several, ``image_id`` is a column.
    region : tuple of float, optional
        Instead of images: (ra, dec, radius) in deg, deg and arcsec; the sources within it on every image there.
    mode, radius : optional
        Match again in this way (see `ztfdb.derive.crossmatch.crossmatch`; arcsec). By default the stored matches are
        used; for an image without any, those that a cross-match would store.
    aperture : int
        Aperture of the sources' ``mag``, 1 to 6.
    calibration : str
        Calibration of the sources' ``mag``: ``header`` or ``ps1``; repeated in ``attrs["calibration"]``.

    Returns
    -------
    DataFrame
        ``{catref}_index``, ``{catin}_index`` (64-bit ids), ``angsep_arcsec``, then for each of `columns` that of
        `catref` and that of `catin`; rows by image, then by the catalogue's id, then by separation. Sources with bad
        pixels are included.

    Raises
    ------
    UnknownCatalogueError, UnknownImageError
        If a catalogue or image is not in the archive.
    ValueError
        If a column does not exist for both, or neither or both of the names are ``sources``.
    """
    if (catin == SOURCES) == (catref == SOURCES):
        raise ValueError(f"one of the two is {SOURCES!r} and the other a catalogue, not {catin!r} and {catref!r}")
    single = isinstance(image_id, int | np.integer)
    if (image_id is None) == (region is None):
        raise ValueError("give either image_id or region")
    named = catref if catin == SOURCES else catin
    catalogue = _catalogue(session, named)
    _check_columns(columns, catalogue)
    how = mode or catalogue.match_mode, catalogue.match_radius if radius is None else radius
    if how[0] not in MATCH_MODES:
        raise ValueError(f"mode {mode!r} is none of {', '.join(MATCH_MODES)}")
    anew = mode is not None or radius is not None
    wanted = list(dict.fromkeys([*columns, "ra", "dec"]))
    of = dict(_sources(session, image_id, region, how[1]))
    parts = [
        _of_image(session, one, catalogue, wanted, how, anew, aperture, calibration, given) for one, given in of.items()
    ]
    if region is not None:
        parts = [_inside(part, *region) for part in parts]
    frame = _frame(parts, list(of), columns, catin, catref, single)
    frame.attrs["calibration"] = f"{calibration}, aperture {aperture}"
    return frame


def catalogues(session: Session) -> pd.DataFrame:
    """Return the reference catalogues of the archive, one row per imported file; see `list_catalogues`."""
    types = {
        "catalogue": "str", "n_row": "int64", "coverage_deg2": "float64", "match_mode": "str",
        "match_radius": "float64", "file": "str", "file_rows": "int64", "n_known": "int64", "n_bad": "int64",
        "layout": "str", "imported": "str",
    }  # fmt: skip
    return pd.DataFrame(list_catalogues(session), columns=list(types)).astype(types)


def _sources(
    session: Session,
    image_id: int | Iterable[int] | None,
    region: tuple[float, float, float] | None,
    radius: float,
) -> Iterator[tuple[int, Columns | None]]:
    """Yield images in ascending order, each with its sources around a region; None without one, for all of them.

    They reach two radii beyond the region, because a match depends on the sources that far away.
    """
    if region is None:
        assert image_id is not None
        given = [int(image_id)] if isinstance(image_id, int | np.integer) else list(image_id)
        yield from ((one, None) for one in chosen_images(session, given))
        return
    cone_ranges(*region)  # raises where it is no cone; together with the margin it might be one
    _, lo, hi = cone_ranges(region[0], region[1], min(648000.0, region[2] + 2.0 * radius * (1.0 + 1e-9)))
    parts = list(rows_within(session, OURS, lo, hi, lambda found: found, list(OURS.dtypes)))
    around = sorted_rows({name: np.concatenate([part[name] for part in parts]) for name in OURS.dtypes}, ["source_id"])
    ids, first = np.unique(around["source_id"] >> SOURCE_ID_SHIFT, return_index=True)
    for one, start, stop in zip(ids.tolist(), first, np.append(first, len(around["source_id"]))[1:], strict=True):
        yield one, {name: values[start:stop] for name, values in around.items()}


def _inside(part: Columns, ra: float, dec: float, radius: float) -> Columns:
    """Keep the sources within a region."""
    near = separation(ra, dec, part["source:ra"], part["source:dec"]) <= radius
    return {name: values[near] for name, values in part.items()}


def _catalogue(session: Session, name: str) -> CatalogueInfo:
    """Return the catalogue of a name; ``ps1cat`` is ``ps1``."""
    short = name.removesuffix("cat")
    return get_catalogue(session, short if short in ("ps1", "gaia") else name)


def _check_columns(columns: Sequence[str], catalogue: CatalogueInfo) -> None:
    made = {"ra", "dec", "x", "y", "mag", "mag_err"}
    from_table = set(table_dtypes(catalogue.table))
    own = made | from_table
    unknown = [name for name in columns if name not in own]
    if unknown:
        raise ValueError(f"{catalogue.name} has no column {', '.join(unknown)}; there are {', '.join(sorted(own))}")
    if catalogue.kind == "gaia" and {"mag", "mag_err"} & set(columns):
        raise ValueError("gaia has no magnitude in ZTF's filters; ask for g_mag, bp_mag or rp_mag by SQL")


def _of_image(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    columns: Sequence[str],
    how: tuple[str, float],
    anew: bool,
    aperture: int,
    calibration: str,
    given: Columns | None,
) -> Columns:
    table = _matches(session, image_id, catalogue, how, anew, given)
    order = np.lexsort((table.source_id, table.separation, table.reference_id))
    sources = rows_of_image(session, OURS, image_id) if given is None else given
    at = np.searchsorted(sources["source_id"], table.source_id[order])
    ours = {name: values[at] for name, values in sources.items()}
    near = near_sources(catalogue, image_mjd(session, image_id), np.unique(ours["hpx29"]), table.separation)
    theirs = _reference_rows(session, image_id, catalogue, table.reference_id[order], columns, near)
    answer = {
        "reference": table.reference_id[order],
        "source": table.source_id[order],
        "separation": table.separation[order],
    }
    image = image_to_calibrate(session, image_id)
    for name in columns:
        answer[f"reference:{name}"] = theirs[name]
        answer[f"source:{name}"] = _source_column(session, image_id, ours, name, aperture, calibration)
        if name in ("mag", "mag_err") and catalogue.kind == "ps1":
            answer[f"reference:{name}"] = theirs[f"{BANDS[image['fid']]}_{name}"]
    return answer


def _matches(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    how: tuple[str, float],
    anew: bool,
    given: Columns | None,
) -> MatchTable:
    """Return the matches of an image's sources, or of those given."""
    if not anew and find_image_match(session, image_id, catalogue.catalogue_id) is not None:
        if given is not None:
            return matches_of_sources(session, given["source_id"], catalogue.catalogue_id)
        return matches_of_image(session, image_id, catalogue.catalogue_id)
    sources, rows, match = find_matches(session, image_id, catalogue, mode=how[0], radius=how[1], sources=given)
    return rank_matches(sources["source_id"], rows["reference_id"], match)


def _reference_rows(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    ids: IntArray,
    columns: Sequence[str],
    near: tuple[NDArray[np.int64], float],
) -> Columns:
    """Return the catalogue's columns for each id, positions at the image's epoch and pixels on the image."""
    known = table_dtypes(catalogue.table)
    wanted = {"ra", "dec", *(name for name in columns if name in known)}
    if catalogue.kind == "ps1":
        wanted |= {f"{band}_{part}" for band in "gri" for part in ("mag", "mag_err")}
    if catalogue.n_moving:
        wanted |= {"epoch", "pmra", "pmdec"}
    rows = rows_by_id(session, catalogue, ids, sorted(wanted), near=near)
    at = np.searchsorted(rows["reference_id"], ids)
    rows = {name: values[at] for name, values in rows.items()}
    mjd = image_mjd(session, image_id)
    if catalogue.n_moving and mjd is not None:
        years = julian_year(mjd) - rows["epoch"]
        rows["ra"], rows["dec"] = move(rows["ra"], rows["dec"], rows["pmra"], rows["pmdec"], years)
    if {"x", "y"} & set(columns):
        _, wcs = image_wcs(session, np.array([image_id]))
        rows["x"], rows["y"] = sky_to_pixel_many(np.repeat(wcs, len(ids), axis=0), rows["ra"], rows["dec"])
    nothing = np.full(len(ids), np.nan)
    return {"mag": nothing, "mag_err": nothing, **rows}


def _source_column(
    session: Session, image_id: int, ours: Columns, name: str, aperture: int, calibration: str
) -> NDArray[Any]:
    if name in ("mag", "mag_err"):
        found = zeropoints(session, np.array([image_id]), aperture=aperture, calibration=calibration)
        zeropoint = found["zeropoint"][0]
        flux, flux_err = (ours[f"flux_aper{aperture}{part}"].astype(np.float64) for part in ("", "_err"))
        mag, mag_err = flux_to_mag(flux, flux_err, zeropoint)
        return mag if name == "mag" else mag_err
    if name not in ours:
        raise ValueError(f"sources have no column {name}; there are {', '.join(ours)}")
    return ours[name]


def _frame(
    parts: list[Columns], ids: list[int], columns: Sequence[str], catin: str, catref: str, single: bool
) -> pd.DataFrame:
    """Concatenate the images' parts, with columns in the documented order."""
    of = {catin: "source" if catin == SOURCES else "reference", catref: "source" if catref == SOURCES else "reference"}
    names = {f"{catref}_index": of[catref], f"{catin}_index": of[catin], "angsep_arcsec": "separation"}
    for name in columns:
        names |= {f"{label}_{name}": f"{of[label]}:{name}" for label in (catref, catin)}
    joined: dict[str, Any] = {}
    if not single:
        joined["image_id"] = _int64(np.repeat(np.array(ids, np.int64), [len(part["source"]) for part in parts]))
    for shown, name in names.items():
        values = np.concatenate([part[name] for part in parts]) if parts else np.empty(0)
        missing = MISSING_INT32 if name.startswith("reference:") else NO_MASK if name == "source:mask_bits" else None
        integer = values.dtype.kind == "i" or shown.endswith("_index")
        joined[shown] = _int64(values, missing) if integer else values
    return pd.DataFrame(joined)


def _int64(values: NDArray[Any], missing: int | None = None) -> pd.api.extensions.ExtensionArray:
    whole = values.astype(np.int64)
    return pd.arrays.IntegerArray(whole, np.zeros(len(whole), bool) if missing is None else whole == missing)
