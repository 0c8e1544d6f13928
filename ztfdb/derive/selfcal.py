"""Calibration of images by the stars they share: the whole archive at once, or new images by the stars that are held.

Each filter and each aperture is solved by itself, over each connected set of images. See `ztfdb.phot.ubercal` for the
equations.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray, Progress
from ztfdb.derive.calibrators import COLORS
from ztfdb.derive.selfstars import Detections, KnownStars, join_stars, known_stars, read_detections
from ztfdb.extract.measure import software_versions
from ztfdb.phot.magnitudes import POGSON, total_mag_err
from ztfdb.phot.normal import connected
from ztfdb.phot.surface import map_basis, quadrant_places, surface_at
from ztfdb.phot.ubercal import SelfSettings, Solution, Survey, solve_survey
from ztfdb.phot.zeropoint import aperture_zeropoint, color_correction
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_mutual
from ztfdb.store import selfcal as store
from ztfdb.store.calibrations import APERTURES, store_calibration
from ztfdb.store.catalogues import CatalogueInfo, find_catalogue
from ztfdb.store.engine import writing
from ztfdb.store.images import hold_image
from ztfdb.store.matches import chosen_images

if TYPE_CHECKING:
    import pandas as pd

METHOD = store.METHOD

log = logging.getLogger(__name__)

Rows = dict[int, list[dict[str, Any]]]
"""Rows of the table ``calibration`` by image."""


@dataclass(frozen=True)
class Solved:
    """One solution: its facts and stars as they are stored, and the images it is of.

    Attributes
    ----------
    facts : dict
        A row of ``self_solution``.
    stars : dict of ndarray
        Rows of ``self_star``.
    images : ndarray of int64
        Places of the images.
    rows : list of dict
        Their rows of ``calibration``, without the solution's number.
    """

    facts: dict[str, Any]
    stars: Columns
    images: IntArray
    rows: list[dict[str, Any]]


@dataclass
class SelfReport:
    """What was done: rows of ``calibration``, one per image and aperture; as `ztfdb.derive.calibrate` reports."""

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

    Images that have no such calibration are fitted to the stars of the solutions that are held; those that these do
    not reach are solved together. One transaction for each filter, or for each image that is fitted.

    Parameters
    ----------
    sessions : sessionmaker
    catalogue : str
        The catalogue of the level, PS1; where it is not held, the headers tell the level.
    image_ids : sequence of int, optional
        These images; by default all.
    settings : SelfSettings, optional
    again : bool
        Solve all images anew; with `image_ids`, fit these once more to the stars that are held.
    progress : callable, optional
        Called with images read and images in all.
    """
    chosen = settings or SelfSettings()
    with sessions() as session:
        wanted = chosen_images(session, image_ids)
        todo = wanted if again else store.unsolved_images(session, wanted)
        images = store.images_to_solve(session, todo)
        known = find_catalogue(session, catalogue)
    report = SelfReport(n_skipped=len(wanted) - len(images["image_id"]))
    n_all, n_done = len(images["image_id"]), 0

    def follow(done: int, _: int) -> None:
        if progress is not None:
            progress(n_done + done, n_all)

    uncolored = []
    for fid in np.unique(images["fid"]).tolist():
        own = _taken(images, images["fid"] == fid)
        with sessions() as session:
            fit = store.has_solution(session, fid) and not (again and image_ids is None)
        done = _tied(sessions, fid, own, chosen, follow) if fit else {}
        left = _taken(own, ~np.isin(own["image_id"], list(done)))
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
    """Solve filters once more where the first solutions of two filters give the colours that were not known."""
    if not settings.color:
        return False
    again = False
    for fid, images in uncolored:
        with sessions() as session:
            filters = {"g": 1, "r": 2, "i": 3}
            both = all(store.has_solution(session, filters[band]) for band in COLORS[fid])
        if both:
            rows, _ = _solved_together(sessions, fid, images, known, settings, None)
            report.rows = [row for row in report.rows if row["image_id"] not in rows]
            report.rows += [row for image_id in sorted(rows) for row in rows[image_id]]
            again = True
    return again


def _taken(columns: Columns, which: BoolArray) -> Columns:
    return {name: values[which] for name, values in columns.items()}


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
            rows[image_id].append(_failed_row(image_id, fid, aperture, reason, settings))
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
        Why other images cannot be tied, by their place.
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
        solved.append(_result(fid, aperture, images, members, survey, stars, places, solution, settings))
    return solved, failures


def _bright(
    found: Detections, aperture: int, star: IntArray, usable: BoolArray, n_star: int, settings: SelfSettings
) -> BoolArray:
    """Tell the stars whose typical signal to noise is large enough: single detections must not choose themselves."""
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
    """Return the detections of stars that tie images, and why other images are not tied."""
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


def make_survey(
    aperture: int,
    images: Columns,
    found: Detections,
    star: IntArray,
    epochs: IntArray,
    members: IntArray,
    known: KnownStars,
) -> tuple[Survey, IntArray]:
    """Return the survey that some detections of some images make, and its stars by their numbers."""
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
    """Return the survey with the detectors that have enough images and epochs for a map of their own."""
    days = np.nan_to_num(np.floor(images["obsmjd"][members] / settings.map_days))
    shape = [images[name][members] for name in ("rcid", "nx", "ny", "x0", "y0")]
    _, which = np.unique(np.stack([*shape, days]), axis=1, return_inverse=True)
    which = which.ravel()
    n_image = np.bincount(which)
    n_epoch = np.bincount(which[survey.image], minlength=len(n_image))
    good = (n_image >= settings.map_images) & (n_epoch >= settings.map_epochs)
    number = np.cumsum(good) - 1
    return replace(survey, detector=np.where(good, number, -1)[which])


def _result(
    fid: int,
    aperture: int,
    images: Columns,
    members: IntArray,
    survey: Survey,
    stars: IntArray,
    places: tuple[FloatArray, FloatArray],
    solution: Solution,
    settings: SelfSettings,
) -> Solved:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    colored = solution.color_term is not None
    held = np.isfinite(solution.star_mag) & np.isfinite(solution.star_err)
    n = np.bincount(survey.star[solution.weight > 0.0], minlength=survey.n_star)
    held &= n > 0
    ra, dec = places[0][stars[held]], places[1][stars[held]]
    columns = {
        "number": np.arange(int(held.sum()), dtype=np.int64),
        "hpx29": sky_to_cell(ra, dec),
        "ra": ra,
        "dec": dec,
        "mag": solution.star_mag[held],
        "mag_err": solution.star_err[held],
        "unrest": solution.star_unrest[held],
        "color": survey.color[held],
        "n": n[held],
    }
    facts = {
        "fid": fid,
        "aperture": aperture,
        "n_image": len(members),
        "n_star": int(held.sum()),
        "n_epoch": int(solution.n_kept.sum()),
        "n_clipped": int(solution.n_clipped.sum()),
        "n_variable": int((solution.star_unrest > 0.0).sum()),
        "tied_to": "ps1" if solution.tied else "header",
        "n_tied": int((solution.known_weight > 0.0).sum())
        if solution.tied
        else int(np.isfinite(survey.header_zeropoint).sum()),
        "level_err": solution.level_err,
        "color": "-".join(COLORS[fid]),
        "color_pivot": solution.pivot if colored else None,
        "color_term": float(np.median(solution.color_term)) if solution.color_term is not None else None,
        "n_round": solution.n_round,
        "noise": noise_by_magnitude(survey, solution),
        "settings": settings.to_dict(),
        "versions": software_versions(),
        "solved": now,
    }
    rows = _rows(fid, aperture, images["image_id"][members], survey, solution, settings, now)
    return Solved(facts, columns, members, rows)


def _rows(
    fid: int, aperture: int, image_id: IntArray, survey: Survey, solution: Solution, settings: SelfSettings, now: str
) -> list[dict[str, Any]]:
    covariance = solution.covariance
    error = np.sqrt(np.maximum(np.einsum("nii->ni", covariance), 0.0))
    pivot, term = solution.pivot, solution.color_term
    bluest, reddest = _color_ranges(survey, solution)
    rows = []
    for at, one in enumerate(image_id.tolist()):
        variance, between, slope_err, slope = covariance[at, 0, 0], None, None, None
        magerr_sys = float(np.hypot(solution.floor[at], error[at, 0]))
        if term is not None:
            slope, slope_err = float(term[at]), error[at, 3]
            between = covariance[at, 0, 3] - pivot * covariance[at, 3, 3]
            variance = variance - 2.0 * pivot * covariance[at, 0, 3] + pivot**2 * covariance[at, 3, 3]
        detector = int(survey.detector[at])
        surface = solution.maps[detector] if detector >= 0 else (None, None, None)
        rows.append(
            _empty_row(one, fid, aperture, settings, now)
            | {
                "zeropoint": solution.zeropoint[at] - (pivot * slope if slope is not None else 0.0),
                "zeropoint_err": np.sqrt(max(float(variance), 0.0)),
                "color_term": slope,
                "color_term_err": slope_err,
                "covariance": between,
                "scatter": solution.floor[at],
                "magerr_sys": magerr_sys,
                "rms": solution.rms[at],
                "n_star": int(solution.n_kept[at]),
                "n_clipped": int(solution.n_clipped[at]),
                "color_min": bluest[at],
                "color_max": reddest[at],
                "x_gradient": solution.gradient[at, 0],
                "x_gradient_err": error[at, 1],
                "y_gradient": solution.gradient[at, 1],
                "y_gradient_err": error[at, 2],
                **dict(zip(("map_xx", "map_xy", "map_yy"), surface, strict=True)),
            }
        )
    return rows


def _color_ranges(survey: Survey, solution: Solution) -> tuple[FloatArray, FloatArray]:
    """Return the colours of the bluest and the reddest star that counted on each image; NaN without colours."""
    color = survey.color[survey.star]
    counted = (solution.weight > 0.0) & np.isfinite(color)
    bluest, reddest = np.full(survey.n_image, np.inf), np.full(survey.n_image, -np.inf)
    np.minimum.at(bluest, survey.image[counted], color[counted])
    np.maximum.at(reddest, survey.image[counted], color[counted])
    none = reddest < bluest
    return np.where(none, np.nan, bluest), np.where(none, np.nan, reddest)


def _empty_row(image_id: int, fid: int, aperture: int, settings: SelfSettings, now: str) -> dict[str, Any]:
    names = (
        "zeropoint", "zeropoint_err", "color_term", "color_term_err", "covariance", "scatter", "magerr_sys", "rms",
        "color_min", "color_max", "apcor", "apcor_err", "failure", "solution_id", "catalogue_id", "x_gradient",
        "x_gradient_err", "y_gradient", "y_gradient_err", "map_xx", "map_xy", "map_yy",
    )  # fmt: skip
    return dict.fromkeys(names) | {
        "image_id": int(image_id),
        "method": METHOD,
        "aperture": aperture,
        "color": "-".join(COLORS[fid]),
        "n_star": 0,
        "n_clipped": 0,
        "n_apcor": 0,
        "settings": settings.to_dict(),
        "calibrated": now,
    }


def _failed_row(image_id: int, fid: int, aperture: int, reason: str, settings: SelfSettings) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return _empty_row(image_id, fid, aperture, settings, now) | {"failure": reason}


NOISE_STEP = 0.5
"""mag."""

RESIDUALS = ("image_id", "mjd", "u", "v", "mag", "color", "residual", "error", "constant")
"""Columns of `self_residuals`."""


def noise_by_magnitude(survey: Survey, solution: Solution) -> dict[str, Any]:
    """Return the scatter of constant stars against magnitude, and what errors and floors let expect, in bins."""
    counted = (solution.weight > 0.0) & (solution.star_unrest[survey.star] == 0.0)
    mag = solution.star_mag[survey.star[counted]]
    share = solution.weight[counted] * solution.star_err[survey.star[counted]] ** 2
    residual = solution.residual[counted] / np.sqrt(np.clip(1.0 - share, 0.1, 1.0))
    expected = 1.0 / np.sqrt(solution.weight[counted])
    bins = np.floor(mag / NOISE_STEP).astype(np.int64)
    table: dict[str, list[float]] = {"mag": [], "scatter": [], "expected": [], "n": []}
    for one in np.unique(bins).tolist():
        own = bins == one
        table["mag"].append((one + 0.5) * NOISE_STEP)
        table["scatter"].append(float(1.4826 * np.median(np.abs(residual[own]))))
        table["expected"].append(float(np.median(expected[own])))
        table["n"].append(int(own.sum()))
    return table


def _tied(
    sessions: sessionmaker[Session], fid: int, images: Columns, settings: SelfSettings, progress: Progress
) -> Rows:
    """Fit each image to the stars that are held, and store those that could be."""
    done: Rows = {}
    n = len(images["image_id"])
    for at in range(n):
        one = _taken(images, np.arange(n) == at)
        image_id = int(one["image_id"][0])
        with writing(sessions) as session:
            rows = tie_image(session, fid, one, settings) if hold_image(session, image_id) else []
            if rows:
                store_calibration(session, image_id, METHOD, rows)
                for solution_id in {row["solution_id"] for row in rows} - {None}:
                    store.count_image(session, solution_id)
            if rows is not None:  # of an image that has been removed since there are none
                done[image_id] = rows
        progress(at + 1, n)
    return done


def tie_image(session: Session, fid: int, image: Columns, settings: SelfSettings) -> list[dict[str, Any]] | None:
    """Return the rows of an image fitted to held stars, one per aperture; None where these do not tie its 6 px one."""
    found = read_detections(session, image, settings)
    rows = [_tied_row(session, fid, aperture, image, found, settings) for aperture in APERTURES]
    return rows if rows[3]["failure"] is None else None


def _tied_row(
    session: Session, fid: int, aperture: int, image: Columns, found: Detections, settings: SelfSettings
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
        return _failed_row(image_id, fid, aperture, reason, settings)
    solution_id = int(ids[np.argmax(counts)])
    own = held["solution_id"][match.index2] == solution_id
    epochs, at = usable[match.index1[own]], match.index2[own]
    facts = store.solution(session, solution_id)
    known = KnownStars(held["mag"][at], held["mag_err"][at], held["color"][at])
    number = np.full(len(found), -1)
    number[epochs] = np.arange(len(epochs))
    survey, _ = make_survey(aperture, image, found, number, epochs, np.zeros(1, np.int64), known)
    size = (int(image["nx"][0]), int(image["ny"][0]))
    surface = store.detector_map(session, solution_id, int(image["rcid"][0]), size)
    survey = replace(
        survey,
        mag=survey.mag + map_basis(survey.u, survey.v) @ np.array(surface),
        header_color_term=facts["color_term"] or 0.0,
    )
    # what the solution says of its stars is not a catalogue's: no further scatter, and no colours where it had none
    how = replace(settings, catalogue_scatter=0.0, maps=False, color=settings.color and facts["color_term"] is not None)
    solution = solve_survey(survey, how)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    (row,) = _rows(fid, aperture, image["image_id"], survey, solution, settings, now)
    return row | dict(zip(("map_xx", "map_xy", "map_yy"), surface, strict=True)) | {"solution_id": solution_id}


def held_constant(session: Session, lo: IntArray, hi: IntArray, fid: int, aperture: int) -> Columns:
    """Return the held stars inside ranges that are not variable."""
    held = store.held_stars(session, lo, hi, fid, aperture)
    return _taken(held, held["unrest"] == 0.0)


def self_residuals(session: Session, image_ids: Sequence[int], *, aperture: int = 4) -> pd.DataFrame:
    """Return what a calibration by shared stars leaves of the stars of images.

    Parameters
    ----------
    session : Session
    image_ids : sequence of int
        Those without such a calibration have no rows.
    aperture : int
        1 to 6.

    Returns
    -------
    DataFrame
        A row per detection of a held star: ``image_id``, ``mjd``, ``u``, ``v`` (-1 to 1 over the image), ``mag``
        (mean), ``color`` (NaN where it is not known), ``residual`` (calibrated minus mean magnitude), ``error`` (of the
        flux, with the floor of the image) and ``constant``.
    """
    import pandas as pd

    images = store.images_to_solve(session, image_ids)
    terms = store.self_terms(session, images["image_id"], aperture)
    solution = store.solutions_of(session, images["image_id"], aperture)
    parts = [pd.DataFrame({name: np.empty(0) for name in RESIDUALS})]
    for at, image_id in enumerate(images["image_id"].tolist()):
        if np.isnan(terms["zeropoint"][at]):
            continue
        one = _taken(images, np.arange(len(images["image_id"])) == at)
        found = read_detections(session, one, SelfSettings())
        good = np.flatnonzero(found.good_in(aperture))
        lo, hi = cover_positions(found.hpx29[good].astype(np.int64), SelfSettings.radius)
        held = store.held_stars(session, lo, hi, int(one["fid"][0]), aperture)
        held = _taken(held, held["solution_id"] == solution[at])
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
