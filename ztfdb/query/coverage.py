"""Which images saw a spot: those whose pixels cover it, by their full projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.query.covering import covers
from ztfdb.query.frames import data_frame, nullable
from ztfdb.records import FloatArray
from ztfdb.sky.angles import check_position
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.footprint import FOOTPRINT_ORDER
from ztfdb.sky.projection import sky_to_pixel_many
from ztfdb.store.coverage import N_WCS
from ztfdb.store.lookup import Columns, image_rows, images_on_cell


def images_covering(session: Session, ra: float, dec: float) -> pd.DataFrame:
    """Return the images whose pixels cover a position: -0.5 <= x < nx - 0.5 and the same in y.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Position, deg, ICRS.

    Returns
    -------
    DataFrame
        All columns of the table ``image``, in its units, then ``x`` and ``y`` (zero-based pixel of the position) and
        ``path`` (of the image's own file, as the archive knows its folder). Ordered by (obsmjd, image_id); references
        come last. Masked pixels cover, too.

    Raises
    ------
    ValueError
        If the position is not one.
    """
    centre_ra, centre_dec = check_position(ra, dec)
    candidates = images_on_cell(session, int(sky_to_cell(centre_ra, centre_dec, FOOTPRINT_ORDER)))
    x, y = _pixels(candidates, float(centre_ra), float(centre_dec))
    inside = np.flatnonzero(covers(x, y, candidates["nx"], candidates["ny"]))
    images = image_rows(session, candidates["image_id"][inside])
    images |= {"x": x[inside], "y": y[inside]}
    order = np.lexsort((images["image_id"], images["obsmjd"]))
    return data_frame({name: _column(values[order]) for name, values in images.items()})


def _pixels(candidates: Columns, ra: float, dec: float) -> tuple[FloatArray, FloatArray]:
    """Return the position's pixel on each candidate (every projection is kept as TPV)."""
    values = np.frombuffer(b"".join(candidates["wcs"]), dtype="<f8")
    return sky_to_pixel_many(values.reshape(len(candidates["wcs"]), N_WCS), ra, dec)


def _column(values: Any) -> Any:
    if values.dtype.kind == "i":
        return nullable(values)
    return pd.array(values, dtype="str") if values.dtype.kind == "O" else values
