"""All detections within a radius of a position, on all images: our sources, or the rows of PSF catalogues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import Columns, IntArray
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.query.answer import Answer
from ztfdb.query.columns import Texts, nullable
from ztfdb.query.request import check_radius
from ztfdb.query.targets import Targets, targets_of
from ztfdb.query.within import rows_within
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import NO_MASK
from ztfdb.store.detections import OURS, ZTF_PSF, SourceKind
from ztfdb.store.image_rows import image_dates, observed_span
from ztfdb.store.psf_rows import psf_catalogue_dates

if TYPE_CHECKING:
    import pandas as pd

MAX_CONE_RADIUS = 36_000.0
"""Largest radius of a cone, arcsec: 10 degrees, more than the camera's field of view."""

FINEST_COVER, NARROW = 6, 30.0
"""Refinements of the cover of a wide cone (97 ranges with 1.1 times its area), and the radius (arcsec) from which more
than 2 are made. A range costs as much as some rows of the index, so a narrow cone gains nothing from more ranges."""

KINDS = {"aperture": OURS, "psfcat": ZTF_PSF}
"""Source of the detections in a cone or an area, by the option ``phot``."""


def cone(
    session: AnySession,
    ra: float,
    dec: float,
    radius: float,
    *,
    phot: str = "aperture",
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> pd.DataFrame:
    """Return all detections within a radius, nearest first.

    Parameters
    ----------
    session : Session or Reading
    ra, dec : float
        Centre, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_CONE_RADIUS`, inclusive. Radius 0 finds only detections exactly at the centre.
    phot : str
        ``aperture``, our sources (table ``source``); ``psfcat``, the rows of ZTF's own PSF catalogues
        (``psf_source``), including those of references.
    columns : sequence of str, optional
        Columns of the table to return; all of them by default.
    pmra, pmdec, epoch : float, optional
        Proper motion (mas / yr, `pmra` with cos dec) and Julian year of the centre (2016.0 by default). The cone of
        each image is centred on the star's position at mid-exposure (``psfcat``: at the exposure's start), and
        ``separation`` is measured from there. A reference has no date: its cone is centred on the given position.

    Returns
    -------
    DataFrame
        The columns in the table's units, then ``separation`` (arcsec), ``obsmjd`` (MJD, UTC, exposure start) and
        ``filtercode``; ordered by separation, then ``source_id``. Sources of references are included, with NaN as
        ``obsmjd``. ``mask_bits`` is <NA> where the image had no mask. Rows of PSF catalogues also have ``role``
        (``psfcat`` or ``refpsfcat``) and ``mag`` (AB: ``mag_inst`` + MAGZP).

    Raises
    ------
    ValueError
        If the position or the radius is not a number in range, or a column or `phot` is unknown.
    QueryError
        If the radius is beyond the maximum.
    """
    motion = {"pmra": pmra, "pmdec": pmdec, "epoch": epoch}
    return cone_answer(session, ra, dec, radius, phot=phot, columns=columns, **motion).to_pandas()


def cone_answer(
    session: AnySession,
    ra: float,
    dec: float,
    radius: float,
    *,
    phot: str = "aperture",
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> Answer:
    """Return the answer of `cone` as columns, without pandas."""
    centre = cone_centre(ra, dec, radius, pmra=pmra, pmdec=pmdec, epoch=epoch)
    kind, wanted = asked_of(phot, columns)
    parts = cone_parts(session, kind, centre, radius, needed(kind, wanted))
    return with_images(session, kind, nearest_first(list(parts)), (*wanted, "separation"))


def asked_of(phot: str, columns: Sequence[str] | None) -> tuple[SourceKind, tuple[str, ...]]:
    """Return the table of detections that `phot` names, and the columns to return, by default all."""
    if phot not in KINDS:
        raise ValueError(f"phot {phot!r}: detections are our sources ('aperture') or ZTF's ('psfcat')")
    kind = KINDS[phot]
    return kind, tuple(kind.dtypes if columns is None else dict.fromkeys(columns))


def needed(kind: SourceKind, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that `with_images` needs to give the wanted ones."""
    return (*wanted, "mag_inst") if kind is ZTF_PSF else tuple(wanted)


def cone_centre(ra: float, dec: float, radius: float, **motion: float | None) -> Targets:
    """Return the star at the centre of a cone; raises as `cone`."""
    centre = targets_of({"ra": ra, "dec": dec}, **motion)
    check_radius(radius, MAX_CONE_RADIUS)
    return centre


def cone_parts(
    session: AnySession,
    kind: SourceKind,
    centre: Targets,
    radius: float,
    columns: Sequence[str],
) -> Iterator[Columns]:
    """Yield the detections within a radius of a star's position at their times; see `ztfdb.query.within.rows_within`.

    Parameters
    ----------
    session : Session or Reading
    kind : SourceKind
    centre : Targets
        One star.
    radius : float
        arcsec.
    columns : sequence of str
        Of the table.

    Yields
    ------
    dict of ndarray
        The columns, ``source_id``, ``hpx29``, ``ra``, ``dec`` and ``separation`` (arcsec).
    """

    def cut(rows: Columns) -> Columns:
        k = np.zeros(len(rows["ra"]), np.int64)
        mjd = np.zeros(len(k))
        if centre.pmra is not None:
            dates, at = of_images(session, kind, rows["source_id"])
            mjd = dates["mjd_mid" if "mjd_mid" in dates else "obsmjd"][at]
        apart = separation(*centre.at(k, mjd), rows["ra"], rows["dec"])
        inside = np.flatnonzero(apart <= radius)
        return {name: values[inside] for name, values in rows.items()} | {"separation": apart[inside]}

    extra = int(np.clip(2 + np.ceil(np.log2(max(radius, NARROW) / NARROW)), 2, FINEST_COVER))
    _, lo, hi = cone_ranges(*search_cone(session, centre, radius), extra=extra)
    return rows_within(session, kind, lo, hi, cut, columns)


def search_cone(session: AnySession, centre: Targets, radius: float) -> tuple[float, float, float]:
    """Return a cone (deg, deg, arcsec) that contains those around a star's positions at all times of the archive."""
    given = float(centre.positions.ra[0]), float(centre.positions.dec[0])
    first, last = observed_span(session) if centre.pmra is not None else (np.nan, np.nan)
    if np.isnan(first):
        return *given, radius
    middle = 0.5 * (first + last)
    ra, dec = centre.at(np.zeros(1, np.int64), np.array([middle]))
    stray = max(centre.drift(middle, first, last + 1.0)[0], separation(ra, dec, *given)[0])
    return float(ra[0]), float(dec[0]), radius + float(stray)


def nearest_first(parts: list[Columns]) -> Columns:
    """Return the rows of all parts ordered by ``separation``, then ``source_id``; the parts are emptied."""
    ids, apart = (np.concatenate([part[name] for part in parts]) for name in ("source_id", "separation"))
    order = np.lexsort((ids, apart))
    return {name: np.concatenate([part.pop(name) for part in parts])[order] for name in list(parts[0])}


def of_images(session: AnySession, kind: SourceKind, source_id: IntArray) -> tuple[Columns, IntArray]:
    """Return the dates of the images of detections, and the index of each detection's image in them."""
    ids, at = np.unique(source_id >> SOURCE_ID_SHIFT, return_inverse=True)
    return (psf_catalogue_dates if kind is ZTF_PSF else image_dates)(session, ids), at


def with_images(session: AnySession, kind: SourceKind, rows: Columns, wanted: Sequence[str]) -> Answer:
    """Return columns of detections with date and filter of their images; for ZTF's rows also role and magnitude.

    `rows` must have the columns of `needed`.
    """
    columns: dict[str, Any] = {name: rows[name] for name in wanted}
    images, at = of_images(session, kind, rows["source_id"])
    columns["obsmjd"] = images["obsmjd"][at]
    if "mask_bits" in columns:
        columns["mask_bits"] = nullable(rows["mask_bits"], NO_MASK)
    for name in ("filtercode", "role"):
        if name in images:
            columns[name] = Texts(images[name][at])
    if "magzp" in images:
        columns["mag"] = rows["mag_inst"].astype(np.float64) + images["magzp"][at]
    return Answer(columns, {})
