"""How an image's aperture magnitudes compare with ZTF's PSF catalogue of it: one row per image."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Base, Magnitude, Number, Small


class PsfCheck(Base):
    """Our magnitudes (MAGZP + APCOR − 2.5 log10 flux) minus ZTF's (MAGZP + mag) of the clean stars of one image.

    It goes with its image, with the measurement of it, and with its catalogue. A check that was tried and failed has a
    row without numbers, and says why.
    """

    __tablename__ = "psf_check"
    __table_args__ = (Index("ix_psf_check_warning", "warning", "severity", "image_id"),)

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    aperture: Mapped[Small]
    """1 to 6: diameters 2, 3, 4, 6, 10, 14 px."""
    n_match: Mapped[int] = mapped_column(Integer)
    """Clean sources, not faint, with a row of the catalogue: each is the other's nearest."""
    n_star: Mapped[int] = mapped_column(Integer)
    """Those of them that are bright, clean in the catalogue and alone, and were not clipped."""
    n_clipped: Mapped[int] = mapped_column(Integer)
    median: Mapped[Magnitude | None]
    """Ours minus ZTF's."""
    median_err: Mapped[Magnitude | None]
    scatter: Mapped[Magnitude | None]
    """Robust, about the trends."""
    slope: Mapped[Number | None]
    """Change with magnitude, mag per mag."""
    slope_err: Mapped[Number | None]
    x_gradient: Mapped[Magnitude | None]
    """Change from the image's left edge to its right edge."""
    x_gradient_err: Mapped[Magnitude | None]
    y_gradient: Mapped[Magnitude | None]
    """Change from the image's lower edge to its upper edge."""
    y_gradient_err: Mapped[Magnitude | None]
    bright_limit: Mapped[Magnitude | None]
    faint_limit: Mapped[Magnitude | None]
    """Magnitudes of the brightest and the faintest star."""
    severity: Mapped[Number | None]
    """The largest of the numbers over what deserves a warning; above 1 there is one."""
    warning: Mapped[Small]
    """0 none, 1 look at it, 2 wrong: `ztfdb.derive.psfcheck.check_warning`."""
    failure: Mapped[str | None]
    settings: Mapped[dict[str, Any]]
    checked: Mapped[str]
