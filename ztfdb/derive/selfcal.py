"""Calibrate images with the stars they share: the whole archive at once, or new images with the stored stars.

Each filter and aperture is solved separately, for each connected set of images. See `ztfdb.phot.ubercal` for the
equations.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray, Progress
from ztfdb.derive.calibrators import COLORS
from ztfdb.derive.selfrows import Rows, Solved, failed_row, make_solved
from ztfdb.derive.selfstars import FIDS, Detections, KnownStars, join_stars, known_stars, read_detections
from ztfdb.derive.selfsurvey import make_survey, taken, with_detectors
from ztfdb.derive.selftie import fit_images
from ztfdb.phot.normal import connected
from ztfdb.phot.survey import SelfSettings
from ztfdb.phot.ubercal import solve_survey
from ztfdb.store import self_calibrations as store
from ztfdb.store.calibrations import store_calibration
from ztfdb.store.catalogues import CatalogueInfo, find_catalogue
from ztfdb.store.engine import writing
from ztfdb.store.image_choice import chosen_images
from ztfdb.store.images import hold_image
from ztfdb.store.self_calibrations import METHOD
from ztfdb.store.zero_points import APERTURES

log = logging.getLogger(__name__)


@dataclass
class SelfReport:
    """Result: rows of ``calibration``, one per image and aperture, as in `ztfdb.derive.calibrate`."""

    n_image: int = 0
    n_failed: int = 0
    n_skipped: int = 0
    n_solution: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


def calibrate_self(
    sessions: sessionmaker[Session],
    *,
    catalogue: str = "ps1",
    image_ids: Sequence[int] | None = None,
    settings: SelfSettings | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> SelfReport:
    """Calibrate images by the stars they share.

    Images without such a calibration are fitted to the stars of stored solutions; images that share too few of these
    stars are solved together. One transaction per filter, or per fitted image.

    Parameters
    ----------
    sessions : sessionmaker
    catalogue : str
        The catalogue that fixes the level, PS1; if it is not stored, the headers fix the level.
    image_ids : sequence of int, optional
        These images; by default all.
    settings : SelfSettings, optional
    again : bool
        Solve all images again; with `image_ids`, fit these images to the stored stars again.
    progress : callable, optional
        Called with the number of images read and the total number.
    """
    chosen = settings or SelfSettings()
    with sessions() as session:
        wanted = chosen_images(session, image_ids)
        todo = wanted if again else store.unsolved_images(session, None if image_ids is None else wanted)
        images = store.images_to_solve(session, todo)
        known = find_catalogue(session, catalogue)
    report = SelfReport(n_skipped=len(wanted) - len(images["image_id"]))
    n_all, n_done = len(images["image_id"]), 0

    def follow(done: int, _: int) -> None:
        if progress is not None:
            progress(n_done + done, n_all)

    uncolored = []
    for fid in np.unique(images["fid"]).tolist():
        own = taken(images, images["fid"] == fid)
        with sessions() as session:
            fit = store.has_solution(session, fid) and not (again and image_ids is None)
        done = fit_images(sessions, fid, own, chosen, follow) if fit else {}
        left = taken(own, ~np.isin(own["image_id"], list(done)))
        if len(left["image_id"]):
            rows, solved = _solved_together(sessions, fid, left, known, chosen, follow if not fit else None)
            done |= rows
            report.n_solution += len(solved)
            if any(one.facts["color_term"] is None for one in solved):
                uncolored.append((fid, left))
        n_done += len(own["image_id"])
        report.rows += [row for image_id in sorted(done) for row in done[image_id]]
    if len(uncolored) and _solve_with_own_colors(sessions, uncolored, known, chosen, report):
        report.rows.sort(key=lambda row: (row["image_id"], row["aperture"]))
    report.n_image = len({row["image_id"] for row in report.rows})
    report.n_failed = sum(row["failure"] is not None for row in report.rows if row["aperture"] == 4)
    return report


def _solve_with_own_colors(
    sessions: sessionmaker[Session],
    uncolored: list[tuple[int, Columns]],
    known: CatalogueInfo | None,
    settings: SelfSettings,
    report: SelfReport,
) -> bool:
    """Solve filters again if the first solutions of two filters give colours that were unknown."""
    if not settings.color:
        return False
    again = False
    for fid, images in uncolored:
        with sessions() as session:
            both = all(store.has_solution(session, FIDS[band]) for band in COLORS[fid])
        if both:
            rows, _ = _solved_together(sessions, fid, images, known, settings, None)
            report.rows = [row for row in report.rows if row["image_id"] not in rows]
            report.rows += [row for image_id in sorted(rows) for row in rows[image_id]]
            again = True
    return again


def _solved_together(
    sessions: sessionmaker[Session],
    fid: int,
    images: Columns,
    catalogue: CatalogueInfo | None,
    settings: SelfSettings,
    progress: Progress | None,
) -> tuple[Rows, list[Solved]]:
    """Solve images of one filter together, in every aperture, and store the solutions."""
    start = time.perf_counter()
    with sessions() as session:
        found = read_detections(session, images, settings, progress)
        star, ra, dec = join_stars(found, settings)
        known = known_stars(session, catalogue, fid, ra, dec, settings)
    solved, rows = [], defaultdict(list)
    for aperture in APERTURES:
        parts, failures = solve_aperture(fid, aperture, images, found, star, (ra, dec), known, settings)
        solved += parts
        for at, reason in failures.items():
            image_id = int(images["image_id"][at])
            rows[image_id].append(failed_row(image_id, fid, aperture, reason, settings))
    with writing(sessions) as session:
        for one in solved:
            solution_id = store.add_solution(session, one.facts, one.stars)
            for row in one.rows:
                rows[row["image_id"]].append(row | {"solution_id": solution_id})
        for image_id in [one for one in rows if not hold_image(session, one)]:
            del rows[image_id]
        for image_id, own in rows.items():
            own.sort(key=lambda row: int(row["aperture"]))
            store_calibration(session, image_id, METHOD, own)
        store.drop_unused_solutions(session)
    seconds = time.perf_counter() - start
    log.info("images solved", extra={"fid": fid, "n_image": len(rows), "n_solution": len(solved), "seconds": seconds})
    return dict(rows), solved


def solve_aperture(
    fid: int,
    aperture: int,
    images: Columns,
    found: Detections,
    star: IntArray,
    places: tuple[FloatArray, FloatArray],
    known: KnownStars,
    settings: SelfSettings,
) -> tuple[list[Solved], dict[int, str]]:
    """Solve each connected set of images in one aperture.

    Returns
    -------
    solved : list of Solved
    failures : dict of int to str
        Why other images cannot be tied, by their index.
    """
    n_image, n_star = len(images["image_id"]), len(places[0])
    usable = (star >= 0) & found.good_in(aperture)
    usable[usable] &= _bright(found, aperture, star, usable, n_star, settings)[star[usable]]
    kept, failures = _tied_images(found.image, star, usable, np.isfinite(known.mag), n_image, settings)
    label = connected(star[kept], found.image[kept], n_star, n_image)
    solved = []
    for number in np.unique(label[np.unique(found.image[kept])]).tolist():
        epochs = kept[label[found.image[kept]] == number]
        members = np.unique(found.image[epochs])
        survey, stars = make_survey(aperture, images, found, star, epochs, members, known)
        if settings.maps:
            survey = with_detectors(survey, images, members, settings)
        try:
            solution = solve_survey(survey, settings)
        except ValueError as exc:
            failures |= dict.fromkeys(members.tolist(), str(exc))
            continue
        solved.append(make_solved(fid, aperture, images, members, survey, stars, places, solution, settings))
    return solved, failures


def _bright(
    found: Detections, aperture: int, star: IntArray, usable: BoolArray, n_star: int, settings: SelfSettings
) -> BoolArray:
    """Return which stars have a sufficient typical S/N; selecting single detections by S/N would bias them."""
    index = star[usable]
    snr = (found.flux[aperture - 1] / np.where(found.flux_err[aperture - 1] > 0, found.flux_err[aperture - 1], np.nan))[
        usable
    ]
    total = np.bincount(index, np.log(snr), n_star)
    n = np.maximum(np.bincount(index, minlength=n_star), 1)
    return np.asarray(np.exp(total / n) >= settings.min_snr)


def _tied_images(
    image: IntArray, star: IntArray, usable: BoolArray, known: BoolArray, n_image: int, settings: SelfSettings
) -> tuple[IntArray, dict[int, str]]:
    """Return the detections of stars that tie images, and the reasons why other images are not tied."""
    n_star = len(known)
    have = np.bincount(image[usable], minlength=n_image)
    kept = np.flatnonzero(usable)
    while True:
        seen = np.bincount(star[kept], minlength=n_star)
        kept = kept[(seen[star[kept]] >= 2) | known[star[kept]]]
        shared = np.bincount(image[kept], minlength=n_image)
        enough = shared >= settings.min_star
        if enough[image[kept]].all():
            break
        kept = kept[enough[image[kept]]]
    failures = {}
    for at in np.flatnonzero(~enough).tolist():
        if have[at] < settings.min_star:
            failures[at] = f"{have[at]} clean stars are too few, {settings.min_star} are needed"
        else:
            failures[at] = f"fewer than {settings.min_star} of its {have[at]} stars are on other images of its filter"
    return kept, failures
