"""The rows of a reference catalogue around a position, imported or read in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.query.cone import MAX_CONE_RADIUS
from ztfdb.query.request import check_radius
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.catalogue_rows import rows_in_ranges
from ztfdb.store.catalogues import get_catalogue
from ztfdb.store.columns import MISSING_INT32, table_dtypes


def catalogue_cone(session: Session, name: str, ra: float, dec: float, radius: float) -> pd.DataFrame:
    """Return the rows of a reference catalogue within a radius of a position.

    Parameters
    ----------
    session : Session
    name : str
        A catalogue, imported or added.
    ra, dec : float
        Position, deg, ICRS, at the epoch of the catalogue.
    radius : float
        arcsec.

    Returns
    -------
    DataFrame
        ``reference_id``, ``separation`` (arcsec), and the numeric columns of the catalogue's table; by separation, then
        id. An empty one has all columns.

    Raises
    ------
    UnknownCatalogueError
        If it is not in the archive.
    ValueError, QueryError
        If the position or the radius is invalid.
    """
    catalogue = get_catalogue(session, name)
    check_radius(radius, MAX_CONE_RADIUS)
    _, lo, hi = cone_ranges(ra, dec, radius)
    dtypes = table_dtypes(catalogue.table)
    names = [name for name in dtypes if name not in ("catalogue_id", catalogue.id_column)]
    rows = rows_in_ranges(session, catalogue, lo, hi, names)
    apart = separation(ra, dec, rows["ra"], rows["dec"])
    near = np.flatnonzero(apart <= radius)
    near = near[np.lexsort((rows["reference_id"][near], apart[near]))]
    columns: dict[str, Any] = {"reference_id": rows["reference_id"][near], "separation": apart[near]}
    columns |= {name: rows[name][near] for name in names}
    for column in names:
        if dtypes[column].kind == "i" and catalogue.table.c[column].nullable:
            integers = columns[column].astype(np.int64)
            columns[column] = pd.arrays.IntegerArray(integers, columns[column] == MISSING_INT32)
    return pd.DataFrame(columns)
