"""Every detection within a radius of a position, on whichever image: our sources, or the rows of PSF catalogues."""

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
"""Largest radius of a cone, arcsec: 10 degrees, more than the camera's field."""

FINEST_COVER, NARROW = 6, 30.0
"""Refinements of a wide cone's cover (97 ranges of 1.1 times its area), and the radius (arcsec) from which on there are
more of them than 2: a range costs as much as some rows of the index, and a narrow cone has few of these to save."""

KINDS = {"aperture": OURS, "psfcat": ZTF_PSF}
"""Whose detections a cone or an area holds."""


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
        arcsec, 0 to `MAX_CONE_RADIUS`; the rim belongs to the cone. Radius 0 finds what lies exactly at the centre.
    phot : str
        ``aperture``, our sources (table ``source``); ``psfcat``, the rows of ZTF's own PSF catalogues (``psf_source``),
        those of references among them.
    columns : sequence of str, optional
        Columns of the table to return; all of them by default.
    pmra, pmdec, epoch : float, optional
        Proper motion (mas / yr, `pmra` with cos dec) and Julian year of the centre (2016.0 by default): each image's
        cone is around the star's place at mid-exposure (``psfcat``: at the exposure's start), and ``separation`` is
        from there. A reference has no date: its cone is around the given place.

    Returns
    -------
    DataFrame
        The columns in the table's units, then ``separation`` (arcsec), ``obsmjd`` (MJD, UTC, exposure start) and
        ``filtercode``; ordered by separation, then ``source_id``. Sources of references are among them (``obsmjd``
        is NaN). ``mask_bits`` is <NA> where the image had no mask. Rows of PSF catalogues also have ``role``
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
    """Return what `cone` does as columns, which need no pandas."""
    centre = cone_centre(ra, dec, radius, pmra=pmra, pmdec=pmdec, epoch=epoch)
    kind, wanted = asked_of(phot, columns)
    parts = cone_parts(session, kind, centre, radius, needed(kind, wanted))
    return with_images(session, kind, nearest_first(list(parts)), (*wanted, "separation"))


def asked_of(phot: str, columns: Sequence[str] | None) -> tuple[SourceKind, tuple[str, ...]]:
    """Return the table of detections that is asked for, and its columns, by default all."""
    if phot not in KINDS:
        raise ValueError(f"phot {phot!r}: detections are our sources ('aperture') or ZTF's ('psfcat')")
    kind = KINDS[phot]
    return kind, tuple(kind.dtypes if columns is None else dict.fromkeys(columns))


def needed(kind: SourceKind, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that `with_images` takes to give those that are wanted."""
    return (*wanted, "mag_inst") if kind is ZTF_PSF else tuple(wanted)


def cone_centre(ra: float, dec: float, radius: float, **motion: float | None) -> Targets:
    """Return the star that is the centre of a cone; errors as those of `cone`."""
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
    """Yield the detections within a radius of a star's place at their times, as `ztfdb.query.within.rows_within` does.

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
            known, at = of_images(session, kind, rows["source_id"])
            mjd = known["mjd_mid" if "mjd_mid" in known else "obsmjd"][at]
        apart = separation(*centre.at(k, mjd), rows["ra"], rows["dec"])
        inside = np.flatnonzero(apart <= radius)
        return {name: values[inside] for name, values in rows.items()} | {"separation": apart[inside]}

    extra = int(np.clip(2 + np.ceil(np.log2(max(radius, NARROW) / NARROW)), 2, FINEST_COVER))
    _, lo, hi = cone_ranges(*search_cone(session, centre, radius), extra=extra)
    return rows_within(session, kind, lo, hi, cut, columns)


def search_cone(session: AnySession, centre: Targets, radius: float) -> tuple[float, float, float]:
    """Return a cone (deg, deg, arcsec) that holds those around a star's places at all times of the archive."""
    given = float(centre.positions.ra[0]), float(centre.positions.dec[0])
    first, last = observed_span(session) if centre.pmra is not None else (np.nan, np.nan)
    if np.isnan(first):
        return *given, radius
    middle = 0.5 * (first + last)
    ra, dec = centre.at(np.zeros(1, np.int64), np.array([middle]))
    stray = max(centre.drift(middle, first, last + 1.0)[0], separation(ra, dec, *given)[0])
    return float(ra[0]), float(dec[0]), radius + float(stray)


def nearest_first(parts: list[Columns]) -> Columns:
    """Return the rows of all parts, which are emptied, nearest first: ordered by ``separation``, then ``source_id``."""
    ids, apart = (np.concatenate([part[name] for part in parts]) for name in ("source_id", "separation"))
    order = np.lexsort((ids, apart))
    return {name: np.concatenate([part.pop(name) for part in parts])[order] for name in list(parts[0])}


def of_images(session: AnySession, kind: SourceKind, source_id: IntArray) -> tuple[Columns, IntArray]:
    """Return what is known of the images of detections, and the place of each detection's image among them."""
    ids, at = np.unique(source_id >> SOURCE_ID_SHIFT, return_inverse=True)
    return (psf_catalogue_dates if kind is ZTF_PSF else image_dates)(session, ids), at


def with_images(session: AnySession, kind: SourceKind, rows: Columns, wanted: Sequence[str]) -> Answer:
    """Return columns of detections with those of their images: date and filter, of ZTF's rows also role and magnitude.

    `rows` hold what `needed` says.
    """
    columns: dict[str, Any] = {name: rows[name] for name in wanted}
    known, at = of_images(session, kind, rows["source_id"])
    columns["obsmjd"] = known["obsmjd"][at]
    if "mask_bits" in columns:
        columns["mask_bits"] = nullable(rows["mask_bits"], NO_MASK)
    for name in ("filtercode", "role"):
        if name in known:
            columns[name] = Texts(known[name][at])
    if "magzp" in known:
        columns["mag"] = rows["mag_inst"].astype(np.float64) + known["magzp"][at]
    return Answer(columns, {})
