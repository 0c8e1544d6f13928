"""Every source within a radius of a position, on whichever image it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import Columns, FloatArray
from ztfdb.query.answer import Answer
from ztfdb.query.columns import Texts, nullable
from ztfdb.query.request import check_radius
from ztfdb.query.targets import Targets, targets_of
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import NO_MASK
from ztfdb.store.image_rows import image_dates, observed_span
from ztfdb.store.image_table import SOURCE_DTYPES, sources_in_cone

if TYPE_CHECKING:
    import pandas as pd

MAX_CONE_RADIUS = 36_000.0
"""Largest radius of a cone, arcsec: 10 degrees, more than the camera's field."""


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
    centre = targets_of({"ra": ra, "dec": dec}, pmra=pmra, pmdec=pmdec, epoch=epoch)
    check_radius(radius, MAX_CONE_RADIUS)
    wanted = tuple(columns) if columns is not None else tuple(SOURCE_DTYPES)
    _, lo, hi = cone_ranges(*search_cone(session, centre, radius))
    rows = sources_in_cone(session, lo, hi, tuple(dict.fromkeys((*wanted, "source_id", "image_id", "ra", "dec"))))
    rows = nearest_first(rows, centre, radius, None if centre.pmra is None else _of_images(session, rows)["mjd_mid"])
    return _answer(rows, wanted, _of_images(session, rows))


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


def nearest_first(rows: Columns, centre: Targets, radius: float, mjd: FloatArray | None = None) -> Columns:
    """Return the rows within a radius of the star's place at their times (MJD), nearest first, with ``separation``."""
    k = np.zeros(len(rows["ra"]), np.int64)
    where = centre.at(k, np.zeros(len(k)) if mjd is None else mjd)
    rows["separation"] = separation(*where, rows["ra"], rows["dec"])
    inside = np.flatnonzero(rows["separation"] <= radius)
    inside = inside[np.lexsort((rows["source_id"][inside], rows["separation"][inside]))]
    return {name: values[inside] for name, values in rows.items()}


def _of_images(session: AnySession, rows: Columns) -> Columns:
    ids, at = np.unique(rows["image_id"], return_inverse=True)
    found = image_dates(session, ids)
    return {name: values[at] for name, values in found.items() if name != "image_id"}


def _answer(rows: Columns, wanted: tuple[str, ...], of_images: Columns) -> Answer:
    columns: dict[str, Any] = {name: rows[name] for name in (*wanted, "separation")}
    columns["obsmjd"] = of_images["obsmjd"]
    if "mask_bits" in columns:
        columns["mask_bits"] = nullable(rows["mask_bits"], NO_MASK)
    columns["filtercode"] = Texts(of_images["filtercode"])
    return Answer(columns, {})
