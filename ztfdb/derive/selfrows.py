"""Rows of a solution with shared stars: ``calibration``, ``self_solution`` and ``self_star``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ztfdb.arrays import Columns, FloatArray, IntArray
from ztfdb.derive.calibrators import COLORS
from ztfdb.extract.measure import software_versions
from ztfdb.phot.survey import SelfSettings, Solution, Survey
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.self_calibrations import METHOD

NOISE_STEP = 0.5
"""mag."""

Rows = dict[int, list[dict[str, Any]]]
"""Rows of the table ``calibration`` by image."""


@dataclass(frozen=True)
class Solved:
    """One solution with its images, as rows to store.

    Attributes
    ----------
    facts : dict
        A row of ``self_solution``.
    stars : dict of ndarray
        Rows of ``self_star``.
    images : ndarray of int64
        Indices of the images.
    rows : list of dict
        Their rows of ``calibration``, without the solution's number.
    """

    facts: dict[str, Any]
    stars: Columns
    images: IntArray
    rows: list[dict[str, Any]]


def make_solved(
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
    """Return a solution with its facts, stars and rows; `places` are positions (deg) of all stars, `stars` its own."""
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
    rows = calibration_rows(fid, aperture, images["image_id"][members], survey, solution, settings, now)
    return Solved(facts, columns, members, rows)


def calibration_rows(
    fid: int, aperture: int, image_id: IntArray, survey: Survey, solution: Solution, settings: SelfSettings, now: str
) -> list[dict[str, Any]]:
    """Return the row of ``calibration`` of each image of a solution."""
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
    """Return the colours of the bluest and the reddest star used on each image; NaN without colours."""
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


def failed_row(image_id: int, fid: int, aperture: int, reason: str, settings: SelfSettings) -> dict[str, Any]:
    """Return the row of an image that could not be tied."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return _empty_row(image_id, fid, aperture, settings, now) | {"failure": reason}


def noise_by_magnitude(survey: Survey, solution: Solution) -> dict[str, Any]:
    """Return the scatter of constant stars in bins of magnitude, and the scatter expected from errors and floors."""
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
