"""Photometric calibrations of images against a reference catalogue."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import Double, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Base, Magnitude, Number

SquareMagnitude = Annotated[float, mapped_column(Double)]


class Calibration(Base):
    """Zero point and colour term of one aperture of one image: mag = zeropoint + color_term · colour − 2.5 log10(flux).

    A calibration that was tried and failed has a row without a zero point, and says why.
    """

    __tablename__ = "calibration"

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    method: Mapped[str] = mapped_column(primary_key=True)
    aperture: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    catalogue_id: Mapped[int] = mapped_column(ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"))
    color: Mapped[str]
    zeropoint: Mapped[Magnitude | None]
    zeropoint_err: Mapped[Magnitude | None]
    color_term: Mapped[Number | None]
    color_term_err: Mapped[Number | None]
    covariance: Mapped[SquareMagnitude | None]
    scatter: Mapped[Magnitude | None]
    rms: Mapped[Magnitude | None]
    n_star: Mapped[int]
    n_clipped: Mapped[int]
    color_min: Mapped[Magnitude | None]
    color_max: Mapped[Magnitude | None]
    apcor: Mapped[Magnitude | None]
    apcor_err: Mapped[Magnitude | None]
    n_apcor: Mapped[int]
    failure: Mapped[str | None]
    settings: Mapped[dict[str, Any]]
    calibrated: Mapped[str]
