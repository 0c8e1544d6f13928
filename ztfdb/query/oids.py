"""From one of our ``oid`` back to the position that it was given for."""

from __future__ import annotations

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.errors import UnknownObjectError
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cell_to_sky
from ztfdb.store.image_choice import quadrant_centre

CELL_ORDER = 18
"""Order of the cells that the digits count."""

_BITS = 26
_N_CELL = 12 * 4**CELL_ORDER


def position_of_oid(session: Session, oid: int) -> tuple[float, float]:
    """Return a position whose light curve has an ``oid`` of ours: the middle of its cell of 0.8 arcsec.

    The digits of a cell come 12,288 times on the sky, 1.8 degrees apart; the quadrant, which the other digits name,
    tells which it is.

    Parameters
    ----------
    session : Session
    oid : int
        Negative, see `ztfdb.query.epochs.oid_digits`.

    Raises
    ------
    UnknownObjectError
        If no image of its field and quadrant is held.
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
