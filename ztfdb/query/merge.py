"""Complete light curves with ZTF's photometry where it exists: its rows, our PSF fits, our apertures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ztfdb.arrays import BoolArray, IntArray
from ztfdb.query.answer import FOUND_COLUMNS, PSF_COLUMNS, column_names
from ztfdb.query.columns import masked_integers, stacked, words
from ztfdb.query.complete import REASONS, UNAVAILABLE, complete_parts
from ztfdb.query.detections import check_size
from ztfdb.query.psf_catalogues import APERTURE, PSF, catalogued, ordered, with_phot
from ztfdb.query.request import Execution, LightCurveRequest
from ztfdb.query.targets import Targets
from ztfdb.store.connections import Transactions


def complete_psf(
    on: Transactions, targets: Targets, request: LightCurveRequest, execution: Execution
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of complete light curves of ZTF's photometry, and what was done for them.

    ``psfcat``: one epoch for every exposure × quadrant that covers a position. If no catalogue has a row within the
    radius, the epoch is our fit of the exposure's PSF at the position if its ``sciimgdao.psf`` is next to the image,
    else our aperture's detection, forced measurement, limit or reason. ``both``: all of these, except the PSF fits that
    could not be made.
    """
    every = replace(request, good=False)  # good epochs are selected at the end, from the merged ones
    ours, done = _complete(on, targets, every.of_our_sources(), execution)
    with_phot(ours, APERTURE)
    with on.reading() as session:
        parts = list(catalogued(session, targets.positions, replace(every, phot="psfcat")))
    theirs = _labelled(stacked(parts, (*PSF_COLUMNS, "position")), ours, every)
    rest = ours if request.phot == "both" else _kept(ours, ~_among(ours, theirs, every))
    fitted, n_fitted = _fitted(on, targets, every, execution, rest)
    if request.phot == "psfcat":
        rest = _kept(rest, ~_among(rest, fitted, every))
    joined = ordered([theirs, fitted, rest], (*column_names(request, labelled=True), "position"))
    if request.good:
        joined = _kept(joined, joined["good"])
    return joined, {"kept": done["kept"], "n_measured": done["n_measured"] + n_fitted}


def _complete(
    on: Transactions, targets: Targets, request: LightCurveRequest, execution: Execution
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our own complete light curves."""
    names = (*column_names(request, labelled=True), "position")
    parts, kept, n_measured, n_epoch = [], True, 0, 0
    for columns, done in complete_parts(on, targets, request, execution):
        check_size(n_epoch := n_epoch + len(columns["position"]))
        parts.append(columns)
        kept, n_measured = kept and done["kept"], n_measured + done["n_measured"]
    return stacked(parts, names), {"kept": kept, "n_measured": n_measured}


def _labelled(theirs: dict[str, Any], ours: dict[str, Any], request: LightCurveRequest) -> dict[str, Any]:
    """Return those of ZTF's epochs whose image covers the position, with the labels of a complete light curve."""
    code, of_ours = _codes(theirs, ours, request)
    order = np.argsort(of_ours)
    at = np.minimum(np.searchsorted(of_ours, code, sorter=order), max(len(order) - 1, 0))
    covered = of_ours[order[at]] == code if len(order) else np.zeros(len(code), bool)
    theirs, same = _kept(theirs, covered), order[at[covered]] if len(order) else at[:0]
    n = len(same)
    labels = {
        "reason": words(np.full(n, -1), REASONS),
        "upper_limit_mag": np.full(n, np.nan),
        "upper_limit_nsigma": np.full(n, np.nan),
        "blended": theirs["n_within"] > 1,
        "source_id": masked_integers(theirs["source_id"], np.zeros(n, bool)),
    }
    names = ("contaminated", "x", "y", *FOUND_COLUMNS, *(name for name in ("bjd_tdb",) if name in ours))
    return theirs | labels | {name: ours[name][same] for name in names}


def _fitted(
    on: Transactions,
    targets: Targets,
    request: LightCurveRequest,
    execution: Execution,
    rest: dict[str, Any],
) -> tuple[dict[str, Any], int]:
    """Return our PSF fits for the epochs of `rest` where they succeeded, and how many were measured."""
    if not len(rest["position"]):
        return rest, 0
    images = frozenset(rest["image_id"].tolist())
    fits = request.of_our_sources(measure="psf", images=images)
    fitted, done = _complete(on, targets, fits, execution)
    with_phot(fitted, PSF)
    fitted = _kept(fitted, (fitted["kind"].codes != UNAVAILABLE) & _among(fitted, rest, None))
    return fitted, done["n_measured"] if len(fitted["position"]) else 0


def _among(columns: dict[str, Any], others: dict[str, Any], request: LightCurveRequest | None) -> BoolArray:
    """Return which rows have an epoch of another light curve."""
    code, of_others = _codes(columns, others, request)
    return np.isin(code, of_others)


def _codes(
    columns: dict[str, Any], others: dict[str, Any], request: LightCurveRequest | None
) -> tuple[IntArray, IntArray]:
    """Return an integer for each epoch of two light curves; the same epoch has the same integer."""
    keys = np.concatenate([_keys(columns, request), _keys(others, request)])
    code = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return code[: len(columns["position"])], code[len(columns["position"]) :]


def _keys(columns: dict[str, Any], request: LightCurveRequest | None) -> IntArray:
    """Return what identifies an epoch: position and exposure × quadrant, or position and image."""
    image = columns["image_id"]
    if request is None or request.all_versions:
        return np.stack([columns["position"], image], axis=1)
    rcid = 4 * (columns["ccdid"] - 1) + columns["qid"] - 1
    expid = columns["expid"].filled(-1)
    exposure = (expid * 64 + rcid) * 2 + columns["simulated"]
    return np.stack([columns["position"], np.where(expid < 0, -1 - image, exposure)], axis=1)


def _kept(columns: dict[str, Any], which: BoolArray) -> dict[str, Any]:
    return {name: values[which] for name, values in columns.items()}
