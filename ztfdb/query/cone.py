"""Every source within a radius of a position, on whichever image it was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from ztfdb.store.detections import OURS, SourceKind
from ztfdb.store.image_rows import image_dates, observed_span
from ztfdb.store.image_table import SOURCE_DTYPES

if TYPE_CHECKING:
    import pandas as pd

MAX_CONE_RADIUS = 36_000.0
"""Largest radius of a cone, arcsec: 10 degrees, more than the camera's field."""

FINEST_COVER, NARROW = 6, 30.0
"""Refinements of a wide cone's cover (97 ranges of 1.1 times its area), and the radius (arcsec) from which on there are
more of them than 2: a range costs as much as some rows of the index, and a narrow cone has few of these to save."""

Dates = Callable[[AnySession, IntArray], Columns]
"""Returns rows of images, or catalogues, by id, ordered by it."""


def cone(
    session: AnySession,
    ra: float,
    dec: float,
    radius: float,
    *,
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> pd.DataFrame:
    """Return all sources within a radius, nearest first.

    Parameters
    ----------
    session : Session or Reading
    ra, dec : float
        Centre, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_CONE_RADIUS`; the rim belongs to the cone. Radius 0 finds what lies exactly at the centre.
    columns : sequence of str, optional
        Columns of the table ``source`` to return; all of them by default.
    pmra, pmdec, epoch : float, optional
        Proper motion (mas / yr, `pmra` with cos dec) and Julian year of the centre (2016.0 by default): each image's
        cone is around the star's place at mid-exposure, and ``separation`` is from there. A reference has no date: its
        cone is around the given place.

    Returns
    -------
    DataFrame
        The columns in the table's units, then ``separation`` (arcsec), ``obsmjd`` (MJD, UTC, exposure start) and
        ``filtercode``; ordered by separation, then ``source_id``. Sources of references are among them (``obsmjd``
        is NaN). ``mask_bits`` is <NA> where the image had no mask.

    Raises
    ------
    ValueError
        If the position or the radius is not a number in range, or a column is unknown.
    QueryError
        If the radius is beyond the maximum.
    """
    return cone_answer(session, ra, dec, radius, columns=columns, pmra=pmra, pmdec=pmdec, epoch=epoch).to_pandas()


def cone_answer(
    session: AnySession,
    ra: float,
    dec: float,
    radius: float,
    *,
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> Answer:
    """Return what `cone` does as columns, which need no pandas."""
    centre = cone_centre(ra, dec, radius, pmra=pmra, pmdec=pmdec, epoch=epoch)
    wanted = tuple(columns) if columns is not None else tuple(SOURCE_DTYPES)
    rows = nearest_first(list(cone_parts(session, OURS, centre, radius, wanted, image_dates, "mjd_mid")))
    return our_answer(session, rows, (*wanted, "separation"))


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
    dates: Dates,
    time: str,
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
    dates : callable
        Finds when images were taken.
    time : str
        The column of `dates` with the time (MJD) of a moving star's place.

    Yields
    ------
    dict of ndarray
        The columns, ``source_id``, ``hpx29``, ``ra``, ``dec`` and ``separation`` (arcsec).
    """

    def cut(rows: Columns) -> Columns:
        k = np.zeros(len(rows["ra"]), np.int64)
        mjd = np.zeros(len(k))
        if centre.pmra is not None:
            known, at = of_images(session, rows["source_id"], dates)
            mjd = known[time][at]
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


def of_images(session: AnySession, source_id: IntArray, dates: Dates = image_dates) -> tuple[Columns, IntArray]:
    """Return what is known of the images of detections, and the place of each detection's image among them."""
    ids, at = np.unique(source_id >> SOURCE_ID_SHIFT, return_inverse=True)
    return dates(session, ids), at


def our_answer(session: AnySession, rows: Columns, wanted: Sequence[str]) -> Answer:
    """Return columns of our sources, with ``obsmjd`` and ``filtercode`` of their images."""
    columns: dict[str, Any] = {name: rows[name] for name in wanted}
    known, at = of_images(session, rows["source_id"])
    columns["obsmjd"] = known["obsmjd"][at]
    if "mask_bits" in columns:
        columns["mask_bits"] = nullable(rows["mask_bits"], NO_MASK)
    columns["filtercode"] = Texts(known["filtercode"][at])
    return Answer(columns, {})
