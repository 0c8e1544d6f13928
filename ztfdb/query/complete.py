"""The complete light curve: one labelled epoch for every exposure and quadrant that covers the position.

An epoch is a detection where there is one. Elsewhere the light at the position is measured, which gives a forced
measurement or an upper limit; where that is impossible, the epoch has the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.bits import InfoBit, SourceFlag
from ztfdb.codes import APERTURE_DIAMETERS, ForcedMethod
from ztfdb.derive.forced import Forced, measure_forced
from ztfdb.extract.psffit import FIT_RADIUS
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.limits import LIMIT_SIGMA
from ztfdb.phot.magnitudes import microjansky_to_mag
from ztfdb.query.answer import FOUND_COLUMNS
from ztfdb.query.columns import masked_integers, words
from ztfdb.query.detectability import detectability, own_magnitudes
from ztfdb.query.epochs import (
    KINDS,
    epoch_columns,
    first_of_each,
    fluxes_of,
    good_epochs,
    kept_rows,
    usable_images,
)
from ztfdb.query.exposures import Covering, covering
from ztfdb.query.request import Execution, LightCurveRequest
from ztfdb.query.targets import Targets
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges, sky_to_cell
from ztfdb.sky.times import bjd_tdb
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import MISSING, NO_MASK
from ztfdb.store.completeness import detection_models
from ztfdb.store.connections import Transactions
from ztfdb.store.detections import OURS, light_curve_rows
from ztfdb.store.forced import find_forced
from ztfdb.store.image_rows import barycentric_vectors, observed_span

FORCED_SIGMA = 3.0
"""Signal-to-noise ratio from which a forced flux is a measurement; below, it is a limit."""

LARGEST_SCALE = 1.1
"""Upper bound of the pixel scale of ZTF images, arcsec; limits the search for sources that reach an aperture."""

EPOCHS_HELD = 1_000_000
"""Epochs whose plans are held until they are measured (180 MB), so that each file is opened once for all of them."""

REASONS = (
    "file missing", "file changed", "file unreadable", "aperture off the edge", "no usable pixel", "STATUS 0",
    "no photometric calibration", "no zero point", "no PSF file",
)  # fmt: skip
"""Why an epoch is ``unavailable``."""

DETECTION, FORCED, LIMIT, UNAVAILABLE = range(4)  # as in KINDS


@dataclass(eq=False)
class _Plan:
    """The epochs of some targets, as far as they follow from the archive without a measurement."""

    pairs: Covering
    rows: Columns
    kind: IntArray
    reason: IntArray
    contaminated: BoolArray
    cell: IntArray
    place: Columns


@dataclass(frozen=True, eq=False)
class _Held:
    """A planned part of the targets: the index of its first, and the epochs to measure."""

    start: int
    targets: Targets
    plan: _Plan
    missing: Columns


def complete_parts(
    on: Transactions, targets: Targets, request: LightCurveRequest, how: Execution
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the columns of some targets at a time, with ``position``, and what was done for them.

    Each part is planned once. A part with nothing to measure is yielded at once. The others are held until
    `EPOCHS_HELD` epochs have been planned, and are then measured together.
    """
    held: list[_Held] = []
    n_position = 0
    for start, part in targets.parts():
        n_position += len(part)
        with on.reading() as session:
            plan = _plan(session, part, request)
            held.append(_Held(start, part, plan, _missing(session, plan, request)))
        lacking = any(len(one.missing["image_id"]) for one in held)
        if not lacking or n_position == len(targets) or sum(len(one.plan.pairs) for one in held) >= EPOCHS_HELD:
            yield from _answered(on, held, request, how)
            held = []


def _answered(
    on: Transactions, held: list[_Held], request: LightCurveRequest, how: Execution
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Measure what the parts lack, and yield each of them; ``n_measured`` of all is reported with the first."""
    forced = _measured(on, [one.missing for one in held], how, request.method)
    n_measured = forced.n_measured
    while held:
        one = held.pop(0)  # its memory is freed after the yield
        with on.reading() as session:
            columns = _finished(session, one.plan, one.targets, request, forced)
        columns["position"] = columns["position"] + one.start
        yield columns, {"measure": request.measure, "kept": forced.kept, "n_measured": n_measured}
        n_measured = 0


def _measured(on: Transactions, wanted: list[Columns], how: Execution, method: ForcedMethod) -> Forced:
    together = {name: np.concatenate([one[name] for one in wanted]) for name in wanted[0]}
    if len(together["image_id"]) == 0:
        return Forced(kept=how.keep)
    if len(wanted) > 1 or len(together["image_id"]) > 1:
        once = np.unique(np.stack([together["hpx29"], together["image_id"]]), axis=1, return_index=True)[1]
        together = {name: values[once] for name, values in together.items()}
    return measure_forced(
        on.sessions(), together, method=method, jobs=how.jobs, keep=how.keep, places=how.places, progress=how.progress
    )


def _plan(session: AnySession, targets: Targets, request: LightCurveRequest) -> _Plan:
    """Find the epochs of targets and the detections among them, and the reasons why others cannot be measured."""
    pairs = covering(session, targets, request)
    if request.measure == "psf":
        pairs = replace(pairs, images=pairs.images.of_whole_stars)
    n = len(pairs)
    cell = sky_to_cell(pairs.rows["ra"], pairs.rows["dec"])
    rows = pairs.rows  # detections overwrite them in place: a held plan has no column twice
    place = {name: rows[name] for name in ("x", "y")} | {name: rows[name].copy() for name in ("ra", "dec")}
    for name in ("flux", "flux_err", "chi", "sharp"):
        rows[name] = np.full(n, np.nan)
    for name, value in (("source_id", MISSING), ("flags", 0), ("mask_bits", NO_MASK), ("n_within", 0)):
        rows[name] = np.full(n, value, np.int64)
    rows["separation"] = np.zeros(n)
    kind = np.full(n, -1, np.int8)
    contaminated = _add_detections(session, pairs, rows, kind, targets, request)
    reason = _image_reasons(pairs, targets.positions.color)
    diameter = 2.0 * FIT_RADIUS if request.measure == "psf" else APERTURE_DIAMETERS[request.aperture - 1]
    _add_edges(pairs, kind, reason, diameter)
    kind[reason >= 0] = UNAVAILABLE
    return _Plan(pairs, rows, kind, reason, contaminated, cell, place)


def _add_detections(
    session: AnySession, pairs: Covering, rows: Columns, kind: IntArray, targets: Targets, request: LightCurveRequest
) -> BoolArray:
    """Enter the nearest source of each epoch; return the epochs with a neighbour that reaches into their aperture."""
    diameter = APERTURE_DIAMETERS[request.aperture - 1]
    contaminated = np.zeros(len(pairs), bool)
    found, of = _sources_near(session, pairs, targets, max(request.radius, diameter * LARGEST_SCALE))
    apart = separation(rows["ra"][of], rows["dec"][of], found["ra"], found["dec"])
    reach = diameter * pairs.scale[pairs.at[of]]
    contaminated[of[(apart > request.radius) & (apart <= reach)]] = True
    within = np.flatnonzero(apart <= request.radius)
    found, of, apart = {name: values[within] for name, values in found.items()}, of[within], apart[within]
    nearest, n_sharing = first_of_each(of, apart, found["source_id"])
    rows["n_within"][of] = n_sharing
    found, of, apart = {name: values[nearest] for name, values in found.items()}, of[nearest], apart[nearest]
    if request.measure in ("forced", "psf"):
        deblended = (found["flags"] & int(SourceFlag.BLENDED)) != 0
        rows["flags"][of[deblended]] = int(SourceFlag.BLENDED)
        return contaminated
    kind[of] = DETECTION
    for name in ("source_id", "ra", "dec", "flags", "mask_bits"):
        rows[name][of] = found[name]
    rows["separation"][of] = apart
    rows["flux"][of], rows["flux_err"][of] = fluxes_of(session, found, request.aperture)
    return contaminated


def _sources_near(session: AnySession, pairs: Covering, targets: Targets, reach: float) -> tuple[Columns, IntArray]:
    """Return sources around targets on the images that cover them, and the pair of each."""
    if targets.path is not None:
        places, radius = (pairs.rows["ra"], pairs.rows["dec"]), np.asarray(reach)
    else:
        places, radius = (targets.positions.ra, targets.positions.dec), np.asarray(reach)
        if targets.pmra is not None:
            first, last = observed_span(session)
            middle = 0.5 * (first + last)
            k = np.arange(len(targets))
            places = targets.at(k, np.full(len(k), middle))
            drift = targets.drift(middle, first, last + 1.0)
            radius = reach + np.where(np.isfinite(drift), 1.01 * drift, 0.0)
    k, lo, hi = cone_ranges(*places, radius)
    found = light_curve_rows(session, OURS, k=k, lo=lo, hi=hi)
    image = pairs.images.places(found["source_id"] >> SOURCE_ID_SHIFT)
    if targets.path is not None:
        on_own = image == pairs.at[found["k"]]
        return {name: values[on_own] for name, values in found.items()}, found["k"][on_own].astype(np.int64)
    key = found["k"].astype(np.int64) * max(1, len(pairs.images)) + image
    of = np.minimum(np.searchsorted(pairs.key, key), max(len(pairs) - 1, 0))
    hit = (image >= 0) & (pairs.key[of] == key) if len(pairs) else np.zeros(len(key), bool)
    return {name: values[hit] for name, values in found.items()}, of[hit]


def _image_reasons(pairs: Covering, color: FloatArray | None) -> IntArray:
    """Return for each epoch why its image gives no magnitude; -1 where it gives one."""
    images = pairs.images
    reason = np.full(len(images), -1, np.int8)
    unknown = np.isnan(images["zeropoint"])
    if color is not None:
        unknown |= np.isnan(images["color_term"])
    reason[unknown] = REASONS.index("no zero point")
    infobits = np.where(np.isnan(images["infobits"]), 0.0, images["infobits"]).astype(np.int64)
    reason[(infobits & int(InfoBit.NO_PHOTOMETRIC_CALIBRATION)) != 0] = REASONS.index("no photometric calibration")
    reason[pairs.status == 0] = REASONS.index("STATUS 0")
    return reason[pairs.at]


def _add_edges(pairs: Covering, kind: IntArray, reason: IntArray, diameter: float) -> None:
    """Mark the epochs without a detection whose aperture leaves the image."""
    radius = diameter / 2.0
    x, y, nx, ny = pairs.rows["x"], pairs.rows["y"], pairs.nx[pairs.at], pairs.ny[pairs.at]
    off = (x - radius < -0.5) | (x + radius > nx - 0.5) | (y - radius < -0.5) | (y + radius > ny - 0.5)
    reason[off & (kind < 0) & (reason < 0)] = REASONS.index("aperture off the edge")


def _missing(session: AnySession, plan: _Plan, request: LightCurveRequest) -> Columns:
    """Enter stored forced measurements, and return what is still to be measured."""
    unknown = _unknown(plan)
    if len(unknown) and request.measure != "none":
        kept = find_forced(session, np.unique(plan.cell[unknown]), request.method)
        _enter(plan, kept, request.flux)
        unknown = _unknown(plan)
    if request.measure == "none":
        unknown = unknown[:0]
    return {
        "hpx29": plan.cell[unknown],
        "image_id": plan.pairs.image_id[plan.pairs.at[unknown]],
        **{name: plan.pairs.rows[name][unknown] for name in ("ra", "dec", "x", "y")},
    }


def _unknown(plan: _Plan) -> IntArray:
    return np.flatnonzero(plan.kind < 0)


def _enter(plan: _Plan, forced: Columns, names: tuple[str, str]) -> None:
    """Enter forced measurements into the epochs they belong to."""
    unknown = _unknown(plan)
    image = plan.pairs.images.places(forced["image_id"])
    cells, code = np.unique(plan.cell[unknown], return_inverse=True)
    place = np.minimum(np.searchsorted(cells, forced["hpx29"]), max(len(cells) - 1, 0))
    known = (image >= 0) & (cells[place] == forced["hpx29"]) if len(cells) else image < -1
    key = place[known] * len(plan.pairs.images) + image[known]
    order = np.argsort(key)
    wanted = code * len(plan.pairs.images) + plan.pairs.at[unknown]
    at = np.minimum(np.searchsorted(key, wanted, sorter=order), max(len(key) - 1, 0))
    hit = key[order[at]] == wanted if len(key) else np.zeros(len(wanted), bool)
    row, epoch = np.flatnonzero(known)[order[at[hit]]] if len(key) else at[:0], unknown[hit]
    flux, error = (forced[name][row].astype(np.float64) for name in names)
    plan.rows["flux"][epoch], plan.rows["flux_err"][epoch] = flux, error
    plan.rows["flags"][epoch] |= forced["flags"][row]
    for name in ("chi", "sharp"):
        plan.rows[name][epoch] = forced[name][row]
    plan.rows["mask_bits"][epoch] = forced["mask_bits"][row]
    with np.errstate(invalid="ignore", divide="ignore"):
        plan.kind[epoch] = np.where(flux / error >= FORCED_SIGMA, FORCED, LIMIT)


def _finished(
    session: AnySession, plan: _Plan, targets: Targets, request: LightCurveRequest, forced: Forced
) -> dict[str, Any]:
    """Return all columns, after entering the measurements and the reasons of the epochs without any."""
    _missing(session, plan, request)
    for rows in forced.rows:
        _enter(plan, rows, request.flux)
    pairs, rows = plan.pairs, plan.rows
    if request.measure != "none":
        for row in _unknown(plan):
            why = forced.problems.get(int(pairs.image_id[pairs.at[row]]), "file changed")
            plan.reason[row] = REASONS.index(why)
    dark = (plan.kind >= 0) & (plan.reason < 0) & ~(np.isfinite(rows["flux"]) & np.isfinite(rows["flux_err"]))
    plan.reason[dark] = REASONS.index("no usable pixel")
    plan.kind[plan.reason >= 0] = UNAVAILABLE
    keep = plan.kind >= 0
    good = good_epochs(rows, usable_images(pairs.images)[pairs.at], request.aperture) & (plan.kind != UNAVAILABLE)
    if request.good:
        keep &= good
    which = np.flatnonzero(keep)
    rows, at = kept_rows(rows, pairs.at, which)
    columns = epoch_columns(session, rows, pairs.images.take(at), targets.positions, request)
    columns["good"] = good[which]
    if request.measure == "psf":
        columns["aperture"] = masked_integers(np.zeros(len(which), np.int64), np.ones(len(which), bool))
    if request.bjd:
        ssb = barycentric_vectors(session, pairs.image_id)[at]
        columns["bjd_tdb"] = bjd_tdb(columns["mjd_mid"], ssb, columns["ra"], columns["dec"])
    columns |= _labels(columns, rows, plan.kind[which], plan.reason[which], plan.contaminated[which])
    places = {name: plan.place[name][which] for name in plan.place}
    return columns | _detectability(session, columns, places, pairs.images["fid"][at], request.mag)


def _detectability(
    session: AnySession, columns: dict[str, Any], places: Columns, fid: FloatArray, mag: float | None
) -> dict[str, Any]:
    """Return the limits at each position and the probability that its star was found; NaN on images without a model."""
    star = columns["position"]
    models = detection_models(session, columns["image_id"])
    if not models:
        return {name: np.full(len(star), np.nan) for name in FOUND_COLUMNS}
    if mag is None:
        wanted = own_magnitudes(star, fid.astype(np.int64), columns["flux_ujy"])
    else:
        wanted = np.full(len(star), mag)
    at = (places["ra"], places["dec"]), (places["x"], places["y"])
    found = detectability(session, columns["image_id"], *at, wanted, models)
    return {name: found[name] for name in FOUND_COLUMNS}


def _labels(
    columns: dict[str, Any], rows: Columns, kind: IntArray, reason: IntArray, contaminated: BoolArray
) -> dict[str, Any]:
    """Return the columns that depend on the kind of epoch."""
    limit, unavailable = kind == LIMIT, kind == UNAVAILABLE
    return {
        "kind": words(kind, KINDS),
        "reason": words(reason, REASONS),
        **{name: np.where(limit | unavailable, np.nan, columns[name]) for name in ("mag", "magerr")},
        **{name: np.where(unavailable, np.nan, columns[name]) for name in ("flux_ujy", "flux_ujy_err", "snr")},
        "upper_limit_mag": np.where(limit, microjansky_to_mag(LIMIT_SIGMA * columns["flux_ujy_err"]), np.nan),
        "upper_limit_nsigma": np.where(limit, LIMIT_SIGMA, np.nan),
        "source_id": masked_integers(rows["source_id"], rows["source_id"] == MISSING),
        "blended": (rows["n_within"] > 1) | ((rows["flags"] & int(SourceFlag.BLENDED)) != 0),
        "contaminated": contaminated,
        **{name: np.where(unavailable, np.nan, rows[name]) for name in ("chi", "sharp")},
        "x": rows["x"],
        "y": rows["y"],
    }
