"""Calibrations of images by the stars that they share: their input, and their solutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.schema import Calibration, Image, SelfSolution, SelfStar
from ztfdb.store.backends import backend
from ztfdb.store.columns import python_values
from ztfdb.store.image_files import among_rows
from ztfdb.store.select import rows

METHOD = "self"

IMAGE_DTYPES: dict[str, Any] = {
    "image_id": "i8", "fid": "i8", "field": "i8", "rcid": "i8", "nx": "i8", "ny": "i8", "x0": "i8", "y0": "i8",
    "obsmjd": "f8", "airmass": "f8", "saturate": "f8", "magzp": "f8", "clrcoeff": "f8",
    **{f"apcor{k}": "f8" for k in range(1, 7)},
}  # fmt: skip
"""Columns of an image that a solution reads."""

STAR_DTYPES: dict[str, Any] = {
    "solution_id": "i8", "number": "i8", "ra": "f8", "dec": "f8", "mag": "f8", "mag_err": "f8", "unrest": "f8",
    "color": "f8",
}  # fmt: skip
"""Columns of a star of a solution; `held_stars` adds ``term``, the colour term of its solution, NaN without one."""


def images_to_solve(session: Session, image_id: Sequence[int]) -> Columns:
    """Return `IMAGE_DTYPES` of images except references, ordered by ``image_id``."""
    ids = np.asarray(image_id, np.int64)
    return rows(session, "image", IMAGE_DTYPES, ids=ids, where="image.kind <> 'ref'")


def unsolved_images(session: Session, among: Sequence[int] | None) -> list[int]:
    """Return the images, or those of `among`, without a zero point by their own stars, ascending.

    Failed ones count as without; references are left out.
    """
    done = select(Calibration.image_id).where(
        Calibration.image_id == Image.image_id, Calibration.method == METHOD, Calibration.zeropoint.is_not(None)
    )
    statement = select(Image.image_id).where(Image.kind != "ref", ~done.exists()).order_by(Image.image_id)
    statement, params = among_rows(session, statement, Image.image_id, among)
    return list(session.execute(statement, params).scalars())


def add_solution(session: Session, facts: Mapping[str, Any], stars: Columns) -> int:
    """Store a solution with its stars, and return its number."""
    statement = insert(SelfSolution).values(**python_values(facts)).returning(SelfSolution.solution_id)
    solution_id = int(session.execute(statement).scalar_one())
    n = len(stars["number"])
    backend(session).copy_rows(SelfStar.__table__, {"solution_id": np.full(n, solution_id, np.int64), **stars})  # type: ignore[arg-type]
    return solution_id


def drop_unused_solutions(session: Session) -> None:
    """Delete the solutions that no image uses any more, with their stars."""
    used = select(Calibration.solution_id).where(Calibration.solution_id.is_not(None))
    unused = select(SelfSolution.solution_id).where(SelfSolution.solution_id.not_in(used))
    session.execute(delete(SelfStar).where(SelfStar.solution_id.in_(unused)))
    session.execute(delete(SelfSolution).where(SelfSolution.solution_id.not_in(used)))


def has_solution(session: Session, fid: int) -> bool:
    """Return whether there is a solution, with stars, in a filter."""
    return (
        session.execute(select(SelfSolution.solution_id).where(SelfSolution.fid == int(fid)).limit(1)).first()
        is not None
    )


def count_image(session: Session, solution_id: int) -> None:
    """Increase the number of images of a solution by 1."""
    own = update(SelfSolution).where(SelfSolution.solution_id == int(solution_id))
    session.execute(own.values(n_image=SelfSolution.n_image + 1))


def solution(session: Session, solution_id: int) -> dict[str, Any]:
    """Return a solution's row."""
    found = session.execute(select(SelfSolution.__table__).where(SelfSolution.solution_id == int(solution_id))).one()
    return dict(found._mapping)


def held_stars(session: Session, lo: IntArray, hi: IntArray, fid: int, aperture: int) -> Columns:
    """Return the stars of solutions in a filter and aperture inside ranges, by solution and number."""
    statement, params = held_stars_statement(session, lo, hi, fid, aperture)
    found = backend(session).by_index().read_bulk(statement, params, {**STAR_DTYPES, "term": "f8"})
    order = np.lexsort((found["number"], found["solution_id"]))
    return {name: values[order] for name, values in found.items()}


def held_stars_statement(
    session: Session, lo: IntArray, hi: IntArray, fid: int, aperture: int
) -> tuple[str, dict[str, Any]]:
    """Return the statement of `held_stars`, and its parameters.

    Stars are looked up by their cells, then their solution: SQLite's planner keeps that order for CROSS JOIN only.
    From the solution it would read all of its stars for every range.
    """
    given, params = backend(session).range_rows(lo=lo, hi=hi)
    origin = backend(session).joined(
        given, "self_star", ["hpx29", *STAR_DTYPES], "self_star.hpx29 >= r.lo and self_star.hpx29 < r.hi"
    )
    fields = ", ".join(f"self_star.{name}" for name in STAR_DTYPES)
    statement = (
        f"select {fields}, self_solution.color_term as term from {origin} cross join self_solution"
        " where self_solution.solution_id = self_star.solution_id"
        " and self_solution.fid = :fid and self_solution.aperture = :aperture"
    )
    return statement, {**params, "fid": int(fid), "aperture": int(aperture)}


def usual_color_term(session: Session, fid: int) -> float:
    """Return the mean CLRCOEFF of the images of a filter; 0 if no header has one."""
    own = (Image.fid == int(fid), Image.kind != "ref")
    mean = session.execute(select(func.avg(Image.clrcoeff)).where(*own)).scalar_one()
    return 0.0 if mean is None else float(mean)


def detector_map(session: Session, solution_id: int, rcid: int, size: tuple[int, int]) -> tuple[float, float, float]:
    """Return the newest map of a detector in a solution; zeros without one."""
    statement = (
        select(Calibration.map_xx, Calibration.map_xy, Calibration.map_yy)
        .join(Image, Image.image_id == Calibration.image_id)
        .where(Calibration.solution_id == int(solution_id), Image.rcid == int(rcid))
        .where(Image.nx == int(size[0]), Image.ny == int(size[1]), Calibration.map_xx.is_not(None))
        .order_by(Image.obsmjd.desc(), Image.image_id)
        .limit(1)
    )
    found = session.execute(statement).one_or_none()
    xx, xy, yy = (0.0, 0.0, 0.0) if found is None else (one or 0.0 for one in found)
    return xx, xy, yy


def solutions_of(session: Session, image_id: IntArray, aperture: int) -> IntArray:
    """Return the solution of each image in an aperture, in the given order; -1 without one."""
    own = (Calibration.method == METHOD, Calibration.aperture == int(aperture), Calibration.solution_id.is_not(None))
    statement = select(Calibration.image_id, Calibration.solution_id).where(*own)
    statement, params = among_rows(session, statement, Calibration.image_id, np.unique(image_id).tolist())
    found = {int(row.image_id): row.solution_id for row in session.execute(statement, params)}
    return np.array([found.get(one) or -1 for one in image_id.tolist()], np.int64)
