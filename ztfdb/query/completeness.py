"""The probability that a star at a position was found, on each image that covers it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.codes import FILTERS
from ztfdb.query.detectability import detectability
from ztfdb.query.exposures import covering
from ztfdb.query.request import checked_mag, light_curve_request
from ztfdb.query.targets import targets_of
from ztfdb.store.completeness import detection_models

COLUMNS = ("image_id", "filtercode", "mjd", "limit50", "limit90", "p_detect", "bias", "scatter", "light", "rms")


def completeness(session: Session, ra: float, dec: float, *, mag: float | None = None, **options: Any) -> pd.DataFrame:
    """Return the probability that a star at a position was found, on each image that covers it.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Position, deg, ICRS.
    mag : float, optional
        Total AB magnitude of the star.
    **options
        ``filters``, ``mjd``, ``fields``, ``all_versions``, as in `ztfdb.Archive.light_curve`.

    Returns
    -------
    DataFrame
        Ordered by (mjd, image_id): ``limit50`` and ``limit90``, the magnitudes at which 50 % and 90 % of the stars at
        this position are found, given the local background (``rms``, DN) and the ``light`` that other sources add to
        the pixel (DN). With `mag`: ``p_detect``, and ``bias`` and ``scatter`` (mag) of the measured magnitudes of such
        stars. NaN on images without a model of artificial stars (`ztfdb.derive.completeness`). A limit is also NaN
        where even the brightest artificial stars are found less often.

    Raises
    ------
    ValueError
        If the position, the magnitude or an option is invalid.
    """
    star = checked_mag(mag)
    targets = targets_of({"ra": ra, "dec": dec}, None)
    pairs = covering(session, targets, light_curve_request(**options))
    ids, rows = pairs.image_id[pairs.at], pairs.rows
    wanted = np.full(len(ids), np.nan if star is None else star)
    models = detection_models(session, ids)
    found = detectability(session, ids, (rows["ra"], rows["dec"]), (rows["x"], rows["y"]), wanted, models)
    columns = {name: found[name] for name in COLUMNS[3:]}
    fid = pairs.images["fid"][pairs.at]
    words = pd.array([FILTERS.get(int(number), "") for number in fid], dtype="str")
    frame = pd.DataFrame(
        {"image_id": ids, "filtercode": words, "mjd": pairs.images["mjd"][pairs.at], **columns}, columns=list(COLUMNS)
    )
    frame.attrs.update(ra=float(ra), dec=float(dec), mag=mag)
    return frame
