"""Residuals of a calibration with shared stars, one per detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.derive.selfstars import read_detections
from ztfdb.derive.selfsurvey import taken
from ztfdb.phot.magnitudes import POGSON, total_mag_err
from ztfdb.phot.surface import quadrant_places, surface_at
from ztfdb.phot.survey import SelfSettings
from ztfdb.phot.zeropoint import color_correction
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_mutual
from ztfdb.store import self_calibrations as store
from ztfdb.store.self_terms import self_terms

if TYPE_CHECKING:
    import pandas as pd

RESIDUALS = ("image_id", "mjd", "airmass", "u", "v", "mag", "color", "residual", "error", "constant")
"""Columns of `self_residuals`."""


def self_residuals(session: Session, image_ids: Sequence[int], *, aperture: int = 4) -> pd.DataFrame:
    """Return the residuals of the stars of images after a calibration with shared stars.

    Parameters
    ----------
    session : Session
    image_ids : sequence of int
        Images without such a calibration have no rows.
    aperture : int
        1 to 6.

    Returns
    -------
    DataFrame
        A row per detection of a stored star: ``image_id``, ``mjd``, ``airmass`` (NaN if the header has none), ``u``,
        ``v`` (-1 to 1 over the image), ``mag`` (mean), ``color`` (NaN if unknown), ``residual`` (calibrated minus mean
        magnitude), ``error`` (of the flux, with the floor of the image) and ``constant``.
    """
    import pandas as pd

    images = store.images_to_solve(session, image_ids)
    terms = self_terms(session, images["image_id"], aperture)
    solution = store.solutions_of(session, images["image_id"], aperture)
    parts = [pd.DataFrame({name: np.empty(0) for name in RESIDUALS})]
    for at, image_id in enumerate(images["image_id"].tolist()):
        if np.isnan(terms["zeropoint"][at]):
            continue
        one = taken(images, np.arange(len(images["image_id"])) == at)
        found = read_detections(session, one, SelfSettings())
        good = np.flatnonzero(found.good_in(aperture))
        lo, hi = cover_positions(found.hpx29[good].astype(np.int64), SelfSettings.radius)
        held = store.held_stars(session, lo, hi, int(one["fid"][0]), aperture)
        held = taken(held, held["solution_id"] == solution[at])
        match = match_mutual(found.ra[good], found.dec[good], held["ra"], held["dec"], SelfSettings.radius)
        own, star = good[match.index1], match.index2
        u, v = quadrant_places(found.x[own], found.y[own], one["nx"][0], one["ny"][0])
        color = np.nan_to_num(held["color"][star], nan=float(np.nan_to_num(terms["pivot"][at])))
        own_terms = {name: values[at] for name, values in terms.items()}
        correction = color_correction(np.nan_to_num(own_terms["color_term"]), color)
        zeropoint = own_terms["zeropoint"] + correction + surface_at(u, v, own_terms)
        flux = found.flux[aperture - 1][own].astype(np.float64)
        noise = POGSON * found.flux_err[aperture - 1][own] / flux
        columns = {
            "image_id": np.full(len(own), image_id),
            "mjd": np.full(len(own), one["obsmjd"][0]),
            "airmass": np.full(len(own), one["airmass"][0]),
            "u": u,
            "v": v,
            "mag": held["mag"][star],
            "color": held["color"][star],
            "residual": zeropoint - 2.5 * np.log10(flux) - held["mag"][star],
            "error": total_mag_err(noise, own_terms["magerr_sys"]),
            "constant": held["unrest"][star] == 0.0,
        }
        parts.append(pd.DataFrame(columns))
    kept = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(kept, ignore_index=True)
