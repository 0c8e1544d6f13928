"""Fit new images one by one to the stars of stored solutions, which do not change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Columns, IntArray, Progress
from ztfdb.derive.selfrows import Rows, calibration_rows, failed_row
from ztfdb.derive.selfstars import Detections, KnownStars, read_detections
from ztfdb.derive.selfsurvey import make_survey, taken
from ztfdb.phot.surface import map_basis
from ztfdb.phot.survey import SelfSettings
from ztfdb.phot.ubercal import solve_survey
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_mutual
from ztfdb.store import self_calibrations as store
from ztfdb.store.calibrations import store_calibration
from ztfdb.store.engine import writing
from ztfdb.store.images import hold_image
from ztfdb.store.self_calibrations import METHOD
from ztfdb.store.zero_points import APERTURES

Maps = dict[tuple[int, int, int, int], tuple[float, float, float]]
"""The newest map of second order of a detector, by solution, rcid, nx and ny; a tied image has the map it was given."""


def fit_images(
    sessions: sessionmaker[Session], fid: int, images: Columns, settings: SelfSettings, progress: Progress
) -> Rows:
    """Fit each image to the stored stars, and store the successful fits."""
    done: Rows = {}
    maps: Maps = {}
    n = len(images["image_id"])
    for at in range(n):
        one = taken(images, np.arange(n) == at)
        image_id = int(one["image_id"][0])
        with writing(sessions) as session:
            rows = tie_image(session, fid, one, settings, maps) if hold_image(session, image_id) else []
            if rows:
                store_calibration(session, image_id, METHOD, rows)
                for solution_id in {row["solution_id"] for row in rows} - {None}:
                    store.count_image(session, solution_id)
            if rows is not None:  # None if the image was removed meanwhile
                done[image_id] = rows
        progress(at + 1, n)
    return done


def tie_image(
    session: Session, fid: int, image: Columns, settings: SelfSettings, maps: Maps
) -> list[dict[str, Any]] | None:
    """Return the rows of an image fitted to stored stars, one per aperture; None if its 6 px aperture is not tied.

    `maps` are those that other images were given; that of a new image is added.
    """
    found = read_detections(session, image, settings)
    rows = [_tied_row(session, fid, aperture, image, found, settings, maps) for aperture in APERTURES]
    return rows if rows[3]["failure"] is None else None


def _tied_row(
    session: Session, fid: int, aperture: int, image: Columns, found: Detections, settings: SelfSettings, maps: Maps
) -> dict[str, Any]:
    image_id = int(image["image_id"][0])
    usable = np.flatnonzero(found.good_in(aperture))
    lo, hi = cover_positions(found.hpx29[usable].astype(np.int64), settings.radius)
    held = held_constant(session, lo, hi, fid, aperture)
    match = match_mutual(found.ra[usable], found.dec[usable], held["ra"], held["dec"], settings.radius)
    ids, counts = np.unique(held["solution_id"][match.index2], return_counts=True)
    if not len(ids) or counts.max() < settings.min_star:
        n = int(counts.max(initial=0))
        reason = f"{n} stars of solutions are too few, {settings.min_star} are needed"
        return failed_row(image_id, fid, aperture, reason, settings)
    solution_id = int(ids[np.argmax(counts)])
    own = held["solution_id"][match.index2] == solution_id
    epochs, at = usable[match.index1[own]], match.index2[own]
    facts = store.solution(session, solution_id)
    known = KnownStars(held["mag"][at], held["mag_err"][at], held["color"][at])
    number = np.full(len(found), -1)
    number[epochs] = np.arange(len(epochs))
    survey, _ = make_survey(aperture, image, found, number, epochs, np.zeros(1, np.int64), known)
    detector = (int(image["rcid"][0]), int(image["nx"][0]), int(image["ny"][0]))
    surface = maps.get((solution_id, *detector))
    if surface is None:  # this reads the calibrations of all images
        surface = maps[solution_id, *detector] = store.detector_map(session, solution_id, detector[0], detector[1:])
    survey = replace(
        survey,
        mag=survey.mag + map_basis(survey.u, survey.v) @ np.array(surface),
        header_color_term=facts["color_term"] or 0.0,
    )
    # unlike a catalogue, a solution's stars need no extra scatter; use colours only if the solution had them
    how = replace(settings, catalogue_scatter=0.0, maps=False, color=settings.color and facts["color_term"] is not None)
    solution = solve_survey(survey, how)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    (row,) = calibration_rows(fid, aperture, image["image_id"], survey, solution, settings, now)
    return row | dict(zip(("map_xx", "map_xy", "map_yy"), surface, strict=True)) | {"solution_id": solution_id}


def held_constant(session: Session, lo: IntArray, hi: IntArray, fid: int, aperture: int) -> Columns:
    """Return the stored stars inside ranges that are not variable."""
    held = store.held_stars(session, lo, hi, fid, aperture)
    return taken(held, held["unrest"] == 0.0)
