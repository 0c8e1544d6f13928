"""How likely a star at a position was to be found, on each image that covers it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.arrays import FloatArray, IntArray
from ztfdb.codes import FILTERS
from ztfdb.derive.calibrators import PIXEL_SCALE
from ztfdb.frame.background import background_at
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.completeness import LIGHT_REACH, DetectionModel, crowding_light
from ztfdb.query.choice import cuts
from ztfdb.query.covering import covering
from ztfdb.query.targets import targets_of
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.completeness import ROW_COLUMNS, completeness_rows, detection_models
from ztfdb.store.lookup import light_curve_sources
from ztfdb.store.stored import stored_images

OWN_PIX = 1.5
"""A source this near is the star itself."""

ARCSEC_PER_PIXEL = 1.1
"""At most, of a ZTF image."""

COLUMNS = ("image_id", "filtercode", "mjd", "limit50", "limit90", "p_detect", "bias", "scatter", "light", "rms")


def completeness(session: Session, ra: float, dec: float, *, mag: float | None = None, **options: Any) -> pd.DataFrame:
    """Return how likely a star at a position was to be found on each image that covers it.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Position, deg, ICRS.
    mag : float, optional
        Total AB magnitude of the star.
    **options
        ``filters``, ``mjd``, ``fields``, ``all_versions``, as in `ztfdb.query.lightcurve.light_curve`.

    Returns
    -------
    DataFrame
        Ordered by (mjd, image_id): ``limit50`` and ``limit90``, the magnitudes at which half and nine tenths of the
        stars at this place are found, by the local background (``rms``, DN) and the ``light`` that other sources add
        to the pixel (DN). Where `mag` is given: ``p_detect``, and ``bias`` and ``scatter`` (mag) of the magnitudes that
        such stars are measured with. NaN on images that were not judged (`ztfdb.derive.completeness`), and of limits
        where fewer of the brightest stars are found, too.

    Raises
    ------
    ValueError
        If a position, magnitude or option is not one.
    """
    if mag is not None and not np.isfinite(mag):
        raise ValueError(f"mag {mag!r}: expected a magnitude")
    targets = targets_of({"ra": ra, "dec": dec}, None)
    pairs = covering(session, targets, cuts(**options))
    ids = pairs.image_id[pairs.at]
    x, y = pairs.rows["x"], pairs.rows["y"]
    models = detection_models(session, ids)
    meshes = {image.image_id: image.mesh for image in stored_images(session, ids)} if models else {}
    light = _light(session, ra, dec, ids) if models else np.zeros(len(ids))
    columns = {name: np.full(len(ids), np.nan) for name in COLUMNS[3:]}
    for row, image_id in enumerate(ids.tolist()):
        if image_id not in models:
            continue
        facts, bins = models[image_id]
        model = DetectionModel(**facts)
        rms = float(background_at(meshes[image_id], x[row : row + 1], y[row : row + 1])[1][0])
        columns["rms"][row], columns["light"][row] = rms, light[row]
        columns["limit50"][row] = model.limit(0.5, rms, light[row])
        columns["limit90"][row] = model.limit(0.9, rms, light[row])
        if mag is not None:
            columns["p_detect"][row] = model.probability(mag, rms, light[row])
            columns["bias"][row], columns["scatter"][row] = (_at(bins, name, mag) for name in ("bias", "scatter"))
    fid = pairs.images["fid"][pairs.at]
    words = pd.array([FILTERS.get(int(one), "") for one in fid], dtype="str")
    frame = pd.DataFrame(
        {"image_id": ids, "filtercode": words, "mjd": pairs.images["mjd"][pairs.at], **columns}, columns=list(COLUMNS)
    )
    frame.attrs.update(ra=float(ra), dec=float(dec), mag=mag)
    return frame


def _light(session: Session, ra: float, dec: float, ids: IntArray) -> FloatArray:
    """Return the light of other sources at the place on each image, DN."""
    _, lo, hi = cone_ranges(np.array([ra]), np.array([dec]), np.array([LIGHT_REACH * ARCSEC_PER_PIXEL]))
    found = light_curve_sources(session, lo=lo, hi=hi)
    image_id = found["source_id"] >> SOURCE_ID_SHIFT
    light = np.zeros(len(ids))
    if not len(image_id):
        return light
    # pixels of the sources: a quadrant's scale and a flat sky are good to 0.1 px so near
    for row, one in enumerate(ids.tolist()):
        own = image_id == one
        if own.any():
            east = (found["ra"][own] - ra + 180.0) % 360.0 - 180.0
            dx = east * np.cos(np.radians(dec)) * 3600.0 / PIXEL_SCALE
            dy = (found["dec"][own] - dec) * 3600.0 / PIXEL_SCALE
            here = np.zeros(1)
            light[row] = crowding_light(here, here, (dx, dy, found["flux_aper4"][own]), OWN_PIX)[0]
    return light


def _at(bins: dict[str, Any], name: str, mag: float) -> float:
    """Return a column of the bins at a magnitude, NaN outside of them."""
    mags = np.array(bins["mag"], np.float64)
    values = np.array([np.nan if value is None else value for value in bins[name]], np.float64)
    known = np.isfinite(values)
    if not known.any():
        return np.nan
    return float(np.interp(mag, mags[known], values[known], left=np.nan, right=np.nan))


def judged_images(session: Session) -> pd.DataFrame:
    """Return what artificial stars said of images, a row each."""
    return pd.DataFrame(completeness_rows(session), columns=list(ROW_COLUMNS))
