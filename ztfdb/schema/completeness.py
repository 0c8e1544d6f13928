"""Detection probability of stars on an image, from artificial stars: one row per image."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Base, Magnitude


class Completeness(Base):
    """The model of an image (`ztfdb.phot.completeness.DetectionModel`), and its limits at a typical empty position.

    It is deleted with its image and when that is measured again. A failed attempt has the reason and no model.
    """

    __tablename__ = "detection_limit"

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    limit50: Mapped[Magnitude | None]
    limit90: Mapped[Magnitude | None]
    psf: Mapped[str | None]
    n_star: Mapped[int] = mapped_column(Integer)
    n_found: Mapped[int] = mapped_column(Integer)
    n_false: Mapped[int | None] = mapped_column(Integer)
    n_source: Mapped[int] = mapped_column(Integer)
    model: Mapped[dict[str, Any] | None]
    bins: Mapped[dict[str, Any] | None]
    failure: Mapped[str | None]
    settings: Mapped[dict[str, Any]]
    versions: Mapped[dict[str, Any]]
    measured: Mapped[str]
