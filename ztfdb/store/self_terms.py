"""The terms of calibrations by the stars that images share, for each image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.select import rows

_TERMS = (
    "zeropoint", "color_term", "magerr_sys", "x_gradient", "y_gradient", "map_xx", "map_xy", "map_yy",
)  # fmt: skip


def self_terms(session: AnySession, image_id: IntArray, aperture: int) -> Columns:
    """Return the terms of each image from the calibration by its own stars, in the given order; NaN without one.

    Returns
    -------
    dict of ndarray, each of shape (n_image,)
        ``zeropoint`` and ``color_term`` for a star of known colour; ``plain``, the zero point for one without: that of
        the survey's median colour, in the survey's mean system. ``magerr_sys``, the systematic error of a magnitude.
        ``x_gradient``, ``y_gradient``, ``map_xx``, ``map_xy``, ``map_yy``; ``nx``, ``ny``.
    """
    ids, back = np.unique(np.asarray(image_id, np.int64), return_inverse=True)
    names = (*_TERMS, "pivot", "usual", "nx", "ny")
    statement, params = self_terms_statement(session, ids, aperture)
    found = reads(session).by_index().read_columns(statement, params, {"image_id": "i8", **dict.fromkeys(names, "f8")})
    answer = {name: np.full(len(ids), np.nan) for name in names}
    at = np.searchsorted(ids, found["image_id"])
    for name in names:
        answer[name][at] = found[name]
    pivot, usual = np.nan_to_num(answer["pivot"]), np.nan_to_num(answer["usual"])
    answer["plain"] = answer["zeropoint"] + (np.nan_to_num(answer["color_term"]) - usual) * pivot
    return {name: values[back] for name, values in answer.items()}


def self_terms_statement(session: AnySession, image_id: IntArray, aperture: int) -> tuple[str, dict[str, Any]]:
    """Return the statement of `self_terms`, and its parameters: each image's calibration, then its solution."""
    given, params = reads(session).range_rows(id=image_id)
    fields = ", ".join(f"calibration.{name}" for name in _TERMS)
    statement = f"""
        select calibration.image_id, {fields}, self_solution.color_pivot, self_solution.color_term, image.nx, image.ny
        from {given} cross join calibration cross join self_solution cross join image
        where calibration.image_id = r.id and calibration.method = 'self' and calibration.aperture = :aperture
        and self_solution.solution_id = calibration.solution_id and image.image_id = r.id"""
    return statement, {**params, "aperture": int(aperture)}


def source_places(session: AnySession, source_id: IntArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``x`` and ``y`` of sources, in the given order."""
    found = rows(session, "source", ("source_id", "x", "y"), ids=np.unique(source_id))
    at = np.searchsorted(found["source_id"], source_id)
    return found["x"][at], found["y"][at]
