"""Models of how likely stars are detected on images: their input, and what is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, null, select
from sqlalchemy.orm import Session

from ztfdb.arrays import IntArray
from ztfdb.schema import Completeness, Image
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import python_values
from ztfdb.store.image_files import among_rows
from ztfdb.store.select import rows

ROW_COLUMNS = (
    "image_id", "limit50", "limit90", "psf", "n_star", "n_found", "n_false", "n_source", "failure", "measured",
)  # fmt: skip
"""Columns shown for an image."""

DetectionModels = dict[int, tuple[dict[str, Any], dict[str, Any]]]
"""The parameters of `ztfdb.phot.completeness.DetectionModel` and the bins of magnitude, by image."""


def images_without(session: Session, among: Sequence[int] | None) -> list[int]:
    """Return the images, or those of `among`, without a model, ascending; failed ones count as without.

    References are left out.
    """
    done = (Completeness.image_id == Image.image_id) & Completeness.failure.is_(None)
    statement = select(Image.image_id).outerjoin(Completeness, done)
    statement = statement.where(Image.kind != "ref", Completeness.image_id.is_(None)).order_by(Image.image_id)
    statement, params = among_rows(session, statement, Image.image_id, among)
    return list(session.execute(statement, params).scalars())


def store_completeness(session: Session, row: Mapping[str, Any]) -> None:
    """Store the row of an image, replacing an existing one."""
    session.execute(delete(Completeness).where(Completeness.image_id == int(row["image_id"])))
    values = python_values(row)
    for name in ("model", "bins"):
        if values[name] is None:
            values[name] = null()
    session.execute(insert(Completeness).values(**values))


def detection_models(session: AnySession, image_id: IntArray) -> DetectionModels:
    """Return model and bins of images, by ``image_id``; those without one are left out."""
    ids = np.unique(image_id)
    found = rows(
        session, "detection_limit", ("image_id", "model", "bins"), ids=ids, where="detection_limit.failure is null"
    )
    values = zip(found["image_id"].tolist(), found["model"], found["bins"], strict=True)
    return {one: (_from_json(model), _from_json(bins)) for one, model, bins in values}


def _from_json(value: Any) -> dict[str, Any]:
    """Return a JSON column's value: psycopg decodes it, sqlite3 does not."""
    return dict(json.loads(value) if isinstance(value, str | bytes) else value)


def zeropoint_of(session: Session, image_id: int) -> tuple[float, float]:
    """Return MAGZP and APCOR4 of an image; NaN where the header has none."""
    statement = select(Image.magzp, Image.apcor4).where(Image.image_id == int(image_id))
    magzp, apcor = session.execute(statement).one()
    return (np.nan if magzp is None else float(magzp), np.nan if apcor is None else float(apcor))
