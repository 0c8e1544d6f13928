"""Photometric calibrations of images against a reference catalogue."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import Double, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Base, Magnitude, Number

SquareMagnitude = Annotated[float, mapped_column(Double, info={"unit": "mag2"})]


class Calibration(Base):
    """Zero point and colour term of one aperture of one image: mag = zeropoint + color_term · colour − 2.5 log10(flux).

    A calibration that was tried and failed has a row without a zero point, and says why.
    """

    __tablename__ = "calibration"

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    method: Mapped[str] = mapped_column(primary_key=True)
    """``ps1``."""
    aperture: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1 to 6: diameters 2, 3, 4, 6, 10, 14 px."""
    catalogue_id: Mapped[int] = mapped_column(ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"))
    color: Mapped[str]
    """The colour of the term, in the catalogue's bands: ``g-r`` or ``r-i``."""
    zeropoint: Mapped[Magnitude | None]
    """AB mag of 1 DN in this aperture for a star of colour 0; compare with MAGZP + APCOR."""
    zeropoint_err: Mapped[Magnitude | None]
    color_term: Mapped[Number | None]
    color_term_err: Mapped[Number | None]
    covariance: Mapped[SquareMagnitude | None]
    """Of zero point and colour term."""
    scatter: Mapped[Magnitude | None]
    """Intrinsic scatter: what the stars' errors leave unexplained."""
    rms: Mapped[Magnitude | None]
    """Standard deviation of the residuals of the stars kept."""
    n_star: Mapped[int]
    n_clipped: Mapped[int]
    color_min: Mapped[Magnitude | None]
    color_max: Mapped[Magnitude | None]
    """Range of the colours of the stars kept."""
    apcor: Mapped[Magnitude | None]
    """Aperture correction to the largest aperture, of isolated stars; compare with APCOR − APCOR6."""
    apcor_err: Mapped[Magnitude | None]
    n_apcor: Mapped[int]
    failure: Mapped[str | None]
    settings: Mapped[dict[str, Any]]
    calibrated: Mapped[str]
