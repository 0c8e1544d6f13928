"""Every source within a radius of a position, on whichever image it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.errors import QueryError
from ztfdb.query.frames import data_frame, nullable
from ztfdb.sky.angles import check_position, separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.lookup import NO_MASK, SOURCE_DTYPES, Columns, image_dates, sources_in_cone

MAX_CONE_RADIUS = 36_000.0
"""Largest radius of a cone, arcsec: 10 degrees, more than the camera's field."""


def cone(
    session: Session, ra: float, dec: float, radius: float, *, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return all sources within a radius, nearest first.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Centre, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_CONE_RADIUS`; the rim belongs to the cone. Radius 0 finds what lies exactly at the centre.
    columns : sequence of str, optional
        Columns of the table ``source`` to return; all of them by default.

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
    centre_ra, centre_dec = check_position(ra, dec)
    check_radius(radius, MAX_CONE_RADIUS)
    wanted = tuple(columns) if columns is not None else tuple(SOURCE_DTYPES)
    _, lo, hi = cone_ranges(centre_ra, centre_dec, radius)
    rows = sources_in_cone(session, lo, hi, tuple(dict.fromkeys((*wanted, "source_id", "image_id", "ra", "dec"))))
    rows["separation"] = separation(centre_ra, centre_dec, rows["ra"], rows["dec"])
    inside = np.flatnonzero(rows["separation"] <= radius)
    inside = inside[np.lexsort((rows["source_id"][inside], rows["separation"][inside]))]
    rows = {name: values[inside] for name, values in rows.items()}
    return _frame(rows, wanted, _of_images(session, rows))


def check_radius(radius: float, maximum: float) -> None:
    """Do nothing if a radius (arcsec) can be answered.

    Raises
    ------
    ValueError
        If it is not a number, or negative.
    QueryError
        If it is beyond `maximum`.
    """
    if not radius >= 0.0:
        raise ValueError(f"a radius of {radius} arcsec: expected a number, 0 or more")
    if radius > maximum:
        raise QueryError(f"a radius of {radius:g} arcsec is beyond the maximum of {maximum:g} arcsec")


def _of_images(session: Session, rows: Columns) -> Columns:
    ids, at = np.unique(rows["image_id"], return_inverse=True)
    found = image_dates(session, ids)
    return {name: found[name][at] for name in ("obsmjd", "filtercode")}


def _frame(rows: Columns, wanted: tuple[str, ...], of_images: Columns) -> pd.DataFrame:
    columns: dict[str, Any] = {name: rows[name] for name in (*wanted, "separation")} | of_images
    if "mask_bits" in columns:
        columns["mask_bits"] = nullable(rows["mask_bits"], NO_MASK)
    columns["filtercode"] = pd.array(of_images["filtercode"], dtype="str")
    return data_frame(columns)
