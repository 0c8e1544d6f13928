"""Models of how likely stars are detected on images: their input, and what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, null, select
from sqlalchemy.orm import Session

from ztfdb.schema import Completeness, Image
from ztfdb.store.columns import python_ints, python_values

ROW_COLUMNS = (
    "image_id", "limit50", "limit90", "psf", "n_star", "n_found", "n_false", "n_source", "failure", "measured",
)  # fmt: skip
"""Columns shown for an image."""


def images_without(session: Session, among: Iterable[int]) -> list[int]:
    """Return the images in `among` without a model, in order, without references; failed ones count as without."""
    done = set(session.execute(select(Completeness.image_id).where(Completeness.failure.is_(None))).scalars())
    references = set(session.execute(select(Image.image_id).where(Image.kind == "ref")).scalars())
    return sorted(set(among) - done - references)


def store_completeness(session: Session, row: Mapping[str, Any]) -> None:
    """Store the row of an image, replacing an existing one."""
    session.execute(delete(Completeness).where(Completeness.image_id == int(row["image_id"])))
    values = python_values(row)
    for name in ("model", "bins"):
        if values[name] is None:
            values[name] = null()
    session.execute(insert(Completeness).values(**values))


def detection_models(session: Session, image_id: Iterable[int]) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """Return model and bins of images, by ``image_id``; those without one are left out."""
    ids = sorted(set(python_ints(image_id)))
    found = {}
    for start in range(0, len(ids), 500):
        statement = select(Completeness.image_id, Completeness.model, Completeness.bins)
        some = Completeness.image_id.in_(ids[start : start + 500])
        for row in session.execute(statement.where(some, Completeness.failure.is_(None))):
            found[int(row.image_id)] = (dict(row.model), dict(row.bins))
    return found


def zeropoint_of(session: Session, image_id: int) -> tuple[float, float]:
    """Return MAGZP and APCOR4 of an image; NaN where the header has none."""
    statement = select(Image.magzp, Image.apcor4).where(Image.image_id == int(image_id))
    magzp, apcor = session.execute(statement).one()
    return (np.nan if magzp is None else float(magzp), np.nan if apcor is None else float(apcor))
