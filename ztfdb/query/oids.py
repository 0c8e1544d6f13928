"""The position of one of our ``oid``."""

from __future__ import annotations

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.errors import UnknownObjectError
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cell_to_sky
from ztfdb.store.image_choice import quadrant_centre

CELL_ORDER = 18
"""HEALPix order of the cells in the digits."""

_BITS = 26
_N_CELL = 12 * 4**CELL_ORDER


def position_of_oid(session: Session, oid: int) -> tuple[float, float]:
    """Return the position of an ``oid`` of ours: the centre of its cell of 0.8 arcsec.

    The digits of a cell repeat 12,288 times on the sky, 1.8 degrees apart. The other digits name the quadrant, which
    selects the right one.

    Parameters
    ----------
    session : Session
    oid : int
        Negative, see `ztfdb.query.epochs.oid_digits`.

    Raises
    ------
    UnknownObjectError
        If the archive has no image of its field and quadrant.
    """
    head, digits = divmod(-oid, 10**8)
    field, ccdid, qid = head // 10**4, head // 10 % 100, head % 10
    centre = quadrant_centre(session, field, 4 * (ccdid - 1) + qid - 1) if digits < 1 << _BITS else None
    if centre is None:
        raise UnknownObjectError(f"no object {oid}: the archive has no image of its quadrant")
    cells = np.arange(digits, _N_CELL, 1 << _BITS, dtype=np.int64)
    ra, dec = cell_to_sky(cells, CELL_ORDER)
    nearest = int(np.argmin(separation(*centre, ra, dec)))
    return float(ra[nearest]), float(dec[nearest])
