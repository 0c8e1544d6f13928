"""The provenance of one source: its row, its image's row, header cards, settings and calibrations."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from ztfdb.schema import Calibration, Catalogue, Config, Image, ImageHeader, SelfSolution
from ztfdb.store.columns import NO_MASK, python_value
from ztfdb.store.select import rows

_SOLUTION = tuple(
    getattr(SelfSolution, name).label(f"solution_{name}")
    for name in ("tied_to", "n_tied", "n_image", "n_star", "n_epoch", "level_err", "versions", "solved")
)
"""Columns of the solution of a calibration by the images' own stars."""


def source_of(session: Session, source_id: int) -> dict[str, Any] | None:
    """Return all columns of a source as Python numbers, None where NULL; None if there is no such source.

    Values of single-precision columns are exactly the stored ones.
    """
    found = rows(session, "source", ids=np.array([int(source_id)]))
    if not len(found["source_id"]):
        return None
    row = {name: python_value(values[0]) for name, values in found.items()}
    return row | {"mask_bits": None if row["mask_bits"] == NO_MASK else row["mask_bits"]}


def cards_of(session: Session, image_id: int, role: str) -> dict[str, Any]:
    """Return the header cards of one file of an image."""
    wanted = (ImageHeader.image_id == image_id, ImageHeader.role == role)
    cards: dict[str, Any] = session.execute(select(ImageHeader.cards).where(*wanted)).scalar_one()
    return cards


def settings_of(session: Session, image_id: int) -> tuple[dict[str, Any], dict[str, str], str]:
    """Return the settings, the software versions and the configuration's hash with which an image was measured."""
    statement = (
        select(Config.settings, Config.versions, Config.config_hash)
        .join(Image, Image.config_id == Config.config_id)
        .where(Image.image_id == image_id)
    )
    row = session.execute(statement).one()
    return dict(row.settings), dict(row.versions), row.config_hash


def calibrations_of(session: Session, image_id: int) -> list[dict[str, Any]]:
    """Return the calibrations of an image, ordered by method and aperture, with the catalogue's name.

    A calibration by the images' own stars includes facts about its solution: the reference of its level, its numbers
    of images and stars, the software, and the time of the solution.
    """
    statement = (
        select(Calibration.__table__, Catalogue.name.label("catalogue"), *_SOLUTION)
        .outerjoin(Catalogue, Catalogue.catalogue_id == Calibration.catalogue_id)
        .outerjoin(SelfSolution, SelfSolution.solution_id == Calibration.solution_id)
        .where(Calibration.image_id == image_id)
        .order_by(Calibration.method, Calibration.aperture)
    )
    return [dict(row) for row in session.execute(statement).mappings()]
