"""Counts that must agree between the tables of an archive, for ``ztfdb verify``."""

from __future__ import annotations

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ztfdb.arrays import IntArray
from ztfdb.schema import Image, PsfCatalogue, PsfSource
from ztfdb.store.backends import backend


def sources_by_image(session: Session) -> dict[int, int]:
    """Return how many sources each image has; this reads the whole table."""
    rows = session.execute(text("select image_id, count(*) from source group by image_id"))
    return {int(image_id): int(n) for image_id, n in rows}


def forced_by_image(session: Session) -> dict[int, int]:
    """Return how many forced measurements each image has."""
    rows = session.execute(text("select image_id, count(*) from forced_source group by image_id"))
    return {int(image_id): int(n) for image_id, n in rows}


def images_without(session: Session, table: str) -> IntArray:
    """Return the images without a row in ``image_file``, ``image_header`` or ``image_cell``, ascending."""
    if table not in ("image_file", "image_header", "image_cell"):
        raise ValueError(f"{table!r} is not a table of images")
    statement = f"""
        select image.image_id from image
        where not exists (select 1 from {table} where {table}.image_id = image.image_id) order by 1"""
    found = backend(session).read_columns(statement, {}, {"image_id": "i8"})["image_id"]
    return np.asarray(found)


def psf_disagreements(session: Session) -> list[tuple[int, str]]:
    """Return where the tables of PSF catalogues disagree, ordered by image; this reads all of them."""
    counts = select(PsfSource.image_id, func.count()).group_by(PsfSource.image_id)
    n_row = {int(image_id): int(n) for image_id, n in session.execute(counts)}
    statement = select(PsfCatalogue.image_id, PsfCatalogue.role, PsfCatalogue.n_source, func.count(Image.image_id))
    statement = statement.outerjoin(Image, Image.image_id == PsfCatalogue.image_id)
    statement = statement.group_by(PsfCatalogue.image_id, PsfCatalogue.role, PsfCatalogue.n_source)
    problems = []
    for image_id, role, n_source, held in session.execute(statement):
        if not held and role == "psfcat":
            problems.append((int(image_id), "a PSF catalogue without its image"))
        counted = n_row.pop(image_id, 0)
        if counted != n_source:
            problems.append((int(image_id), f"{counted} rows of its PSF catalogue, {n_source} were stored"))
    problems += [(int(one), f"{n} rows of no PSF catalogue") for one, n in n_row.items()]
    return sorted(problems)
