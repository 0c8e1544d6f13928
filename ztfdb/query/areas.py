"""Detections inside polygons, boxes and wide cones: in one frame, or in parts with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ztfdb.arrays import Columns
from ztfdb.query.cone import asked_of, cone_centre, cone_parts, needed, with_images
from ztfdb.query.within import rows_within
from ztfdb.sky.cover import cover_triangles
from ztfdb.sky.given import numbers
from ztfdb.sky.polygon import box_corners, triangulate
from ztfdb.sky.shapes import SkyPolygon
from ztfdb.store.backends import AnySession


def polygon_of(polygon: ArrayLike | None, box: Sequence[float] | None) -> SkyPolygon:
    """Return the area given by a polygon or a box.

    Raises
    ------
    ValueError
        If not exactly one of the two is given, or it is invalid: see `ztfdb.sky.polygon.triangulate` and `box_corners`.
    """
    if (polygon is None) == (box is None):
        raise ValueError("a region is a polygon, or a box=(ra, dec, width, height)")
    if box is not None:
        values = numbers(box, "deg", "box")
        if values.shape != (4,):
            raise ValueError(f"a box of {values.size} numbers: expected ra, dec, width and height, deg")
        ra, dec = box_corners(*values.tolist())
    else:
        corners = numbers(polygon, "deg", "polygon")
        if corners.ndim != 2 or corners.shape[1] != 2:
            raise ValueError(f"a polygon of shape {corners.shape}: expected corners (ra, dec), deg, shape (n, 2)")
        ra, dec = corners[:, 0], corners[:, 1]
    triangulate(ra, dec)
    return SkyPolygon(tuple(ra.tolist()), tuple(dec.tolist()))


def iter_region(
    session: AnySession, area: SkyPolygon, *, phot: str = "aperture", columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the sources inside a polygon in parts.

    Parameters
    ----------
    session : Session or Reading
    area : SkyPolygon
        The outline belongs to it.
    phot : str
        ``aperture``, our sources; ``psfcat``, the rows of ZTF's own PSF catalogues.
    columns : sequence of str, optional
        Of the table; all of them by default.

    Yields
    ------
    DataFrame
        The columns of `ztfdb.query.cone.cone` without ``separation``: up to
        `ztfdb.query.within.ROWS_AT_ONCE` rows, ordered by ``source_id``; at least one frame, empty where there is
        nothing.
    """
    kind, wanted = asked_of(phot, columns)

    def cut(rows: Columns) -> Columns:
        inside = np.flatnonzero(area.contains(rows["ra"], rows["dec"]))
        return {name: values[inside] for name, values in rows.items()}

    lo, hi = cover_triangles(triangulate(area.ra, area.dec))
    for rows in rows_within(session, kind, lo, hi, cut, needed(kind, wanted)):
        yield with_images(session, kind, rows, wanted).to_pandas()


def region(
    session: AnySession, area: SkyPolygon, *, phot: str = "aperture", columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return what `iter_region` yields as one frame, ordered by ``source_id``."""
    _, wanted = asked_of(phot, columns)
    parts = list(iter_region(session, area, phot=phot, columns=("source_id", *wanted)))
    joined = pd.concat(parts, ignore_index=True).sort_values("source_id", ignore_index=True)
    return joined if "source_id" in wanted else joined.drop(columns="source_id")


def iter_cone(
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
) -> Iterator[pd.DataFrame]:
    """Yield the rows of `ztfdb.query.cone.cone` in parts, in another order.

    Parameters
    ----------
    session : Session or Reading
    ra, dec, radius, columns, pmra, pmdec, epoch
        As in `ztfdb.query.cone.cone`.
    phot : str
        ``aperture`` or ``psfcat``.

    Yields
    ------
    DataFrame
        Up to `ztfdb.query.within.ROWS_AT_ONCE` rows, ordered by ``source_id``; at least one frame.

    Raises
    ------
    ValueError, QueryError
        As `ztfdb.query.cone.cone`.
    """
    kind, wanted = asked_of(phot, columns)
    centre = cone_centre(ra, dec, radius, pmra=pmra, pmdec=pmdec, epoch=epoch)
    for rows in cone_parts(session, kind, centre, radius, needed(kind, wanted)):
        yield with_images(session, kind, rows, (*wanted, "separation")).to_pandas()
