"""Photometric calibrations of images, against a reference catalogue or against each other by their own stars."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import Double, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, AutoKey, Base, Big, Degree, Key, Magnitude, Number, Small

SquareMagnitude = Annotated[float, mapped_column(Double)]


class Calibration(Base):
    """Zero point and colour term of one aperture of one image: mag = zeropoint + color_term · colour − 2.5 log10(flux).

    A failed calibration has a row with the reason and without a zero point. A calibration by the images' own stars
    (method ``self``) has a solution instead of a catalogue. It adds its gradients (in u and v: -1 to 1 from edge to
    edge) and its map of second order to the magnitude.
    """

    __tablename__ = "calibration"

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    method: Mapped[str] = mapped_column(primary_key=True)
    aperture: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    catalogue_id: Mapped[int | None] = mapped_column(ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"))
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
    solution_id: Mapped[Big | None]
    x_gradient: Mapped[Magnitude | None]
    x_gradient_err: Mapped[Magnitude | None]
    y_gradient: Mapped[Magnitude | None]
    y_gradient_err: Mapped[Magnitude | None]
    map_xx: Mapped[Magnitude | None]
    map_xy: Mapped[Magnitude | None]
    map_yy: Mapped[Magnitude | None]
    magerr_sys: Mapped[Magnitude | None]


class SelfSolution(Base):
    """One solution of images and the stars they share: a connected set of images of a filter, in one aperture.

    Its images are the rows of ``calibration`` with its number.
    """

    __tablename__ = "self_solution"

    solution_id: Mapped[AutoKey]
    fid: Mapped[Small]
    aperture: Mapped[Small]
    n_image: Mapped[int] = mapped_column(Integer)
    n_star: Mapped[int] = mapped_column(Integer)
    n_epoch: Mapped[int] = mapped_column(Integer)
    n_clipped: Mapped[int] = mapped_column(Integer)
    n_variable: Mapped[int] = mapped_column(Integer)
    tied_to: Mapped[str]
    n_tied: Mapped[int] = mapped_column(Integer)
    level_err: Mapped[Magnitude]
    color: Mapped[str]
    color_pivot: Mapped[Magnitude | None]
    color_term: Mapped[Number | None]
    n_round: Mapped[int] = mapped_column(Integer)
    noise: Mapped[dict[str, Any]]
    settings: Mapped[dict[str, Any]]
    versions: Mapped[dict[str, Any]]
    solved: Mapped[str]


class SelfStar(Base):
    """A star of a solution; later images are calibrated by it."""

    __tablename__ = "self_star"
    __table_args__ = (Index("ix_self_star_hpx29", "hpx29"),)

    solution_id: Mapped[Key]
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    hpx29: Mapped[Big]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    mag: Mapped[Magnitude]
    mag_err: Mapped[Magnitude]
    unrest: Mapped[Magnitude]
    color: Mapped[Magnitude | None]
    n: Mapped[int] = mapped_column(Integer)
