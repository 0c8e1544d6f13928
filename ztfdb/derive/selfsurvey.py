"""Convert detections of shared stars to the survey that `ztfdb.phot.ubercal` solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ztfdb.arrays import BoolArray, Columns, IntArray
from ztfdb.derive.selfstars import Detections, KnownStars
from ztfdb.phot.surface import quadrant_places
from ztfdb.phot.survey import SelfSettings, Survey
from ztfdb.phot.zeropoint import aperture_zeropoint


def taken(columns: Columns, which: BoolArray) -> Columns:
    """Return some rows of columns."""
    return {name: values[which] for name, values in columns.items()}


def make_survey(
    aperture: int,
    images: Columns,
    found: Detections,
    star: IntArray,
    epochs: IntArray,
    members: IntArray,
    known: KnownStars,
) -> tuple[Survey, IntArray]:
    """Return the survey of some detections on some images, and the numbers of its stars."""
    stars, own = np.unique(star[epochs], return_inverse=True)
    image = np.searchsorted(members, found.image[epochs])
    u, v = quadrant_places(
        found.x[epochs], found.y[epochs], images["nx"][found.image[epochs]], images["ny"][found.image[epochs]]
    )
    header = aperture_zeropoint(images["magzp"][members], images[f"apcor{aperture}"][members])
    term = images["clrcoeff"][members]
    usual = float(np.nanmedian(term)) if np.isfinite(term).any() else 0.0
    _, pointing = np.unique(images["field"][members] * 64 + images["rcid"][members], return_inverse=True)
    flux = found.flux[aperture - 1][epochs].astype(np.float64)
    survey = Survey(
        star=own,
        image=image,
        mag=-2.5 * np.log10(flux),
        flux_err=found.flux_err[aperture - 1][epochs].astype(np.float64),
        u=u,
        v=v,
        detector=np.full(len(members), -1),
        color=np.asarray(known.color[stars], np.float64),
        known_mag=np.asarray(known.mag[stars], np.float64),
        known_err=np.asarray(known.err[stars], np.float64),
        header_zeropoint=header,
        header_color_term=usual,
        pointing=pointing,
    )
    return survey, stars


def with_detectors(survey: Survey, images: Columns, members: IntArray, settings: SelfSettings) -> Survey:
    """Return the survey with the detectors that have enough images and epochs for their own map."""
    days = np.nan_to_num(np.floor(images["obsmjd"][members] / settings.map_days))
    shape = [images[name][members] for name in ("rcid", "nx", "ny", "x0", "y0")]
    _, which = np.unique(np.stack([*shape, days]), axis=1, return_inverse=True)
    which = which.ravel()
    n_image = np.bincount(which)
    n_epoch = np.bincount(which[survey.image], minlength=len(n_image))
    good = (n_image >= settings.map_images) & (n_epoch >= settings.map_epochs)
    number = np.cumsum(good) - 1
    return replace(survey, detector=np.where(good, number, -1)[which])
