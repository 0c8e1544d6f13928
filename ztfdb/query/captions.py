"""Captions of stamps: the calibration of the image, and its zero point at the position."""

from __future__ import annotations

from dataclasses import replace
from itertools import starmap

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.arrays import FloatArray
from ztfdb.query.epochs import zeropoints_at
from ztfdb.query.request import light_curve_request
from ztfdb.stamps import ImageStamp
from ztfdb.store.image_table import ImageTable


def captioned(
    session: Session, stamps: list[ImageStamp], images: ImageTable, aperture: int, calibration: str | None
) -> list[ImageStamp]:
    """Return stamps with the facts ``calibration`` and ``zeropoint``.

    Parameters
    ----------
    session : Session
    stamps : list of ImageStamp
    images : ImageTable
        The image of each.
    aperture : int
        1 to 6.
    calibration : str or None
        ``header``, ``ps1`` or ``self``; with None the stamps are returned as they are.

    Returns
    -------
    list of ImageStamp
        ``zeropoint`` is the AB mag of 1 DN in the aperture at the stamp's position; NaN where the image has none.

    Raises
    ------
    ValueError
        If `calibration` is unknown.
    """
    if calibration is None:
        return stamps
    request = light_curve_request(aperture=aperture, calibration=calibration)
    x, y = (np.array([getattr(stamp, name) for stamp in stamps], np.float64) for name in ("x", "y"))
    zeropoints: FloatArray = zeropoints_at(session, images, x, y, request)

    def caption(stamp: ImageStamp, zeropoint: float) -> ImageStamp:
        facts = {"calibration": calibration, "zeropoint": float(zeropoint)}
        return replace(stamp, facts=(stamp.facts or {}) | facts)

    return list(starmap(caption, zip(stamps, zeropoints, strict=True)))
