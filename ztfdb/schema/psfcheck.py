"""Comparison of an image's aperture magnitudes with ZTF's PSF catalogue of it: one row per image."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Base, Magnitude, Number, Small


class PsfCheck(Base):
    """Our magnitudes (MAGZP + APCOR − 2.5 log10 flux) minus ZTF's (MAGZP + mag) for the clean stars of one image.

    It is deleted with its image, with its catalogue, and when the image is measured again. A failed check has a row
    with the reason and without numbers.
    """

    __tablename__ = "psf_check"
    __table_args__ = (Index("ix_psf_check_warning", "warning", "severity", "image_id"),)

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    aperture: Mapped[Small]
    n_match: Mapped[int] = mapped_column(Integer)
    n_star: Mapped[int] = mapped_column(Integer)
    n_clipped: Mapped[int] = mapped_column(Integer)
    median: Mapped[Magnitude | None]
    median_err: Mapped[Magnitude | None]
    scatter: Mapped[Magnitude | None]
    slope: Mapped[Number | None]
    slope_err: Mapped[Number | None]
    x_gradient: Mapped[Magnitude | None]
    x_gradient_err: Mapped[Magnitude | None]
    y_gradient: Mapped[Magnitude | None]
    y_gradient_err: Mapped[Magnitude | None]
    bright_limit: Mapped[Magnitude | None]
    faint_limit: Mapped[Magnitude | None]
    severity: Mapped[Number | None]
    warning: Mapped[Small]
    failure: Mapped[str | None]
    settings: Mapped[dict[str, Any]]
    checked: Mapped[str]
