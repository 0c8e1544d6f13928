"""Forced measurements: fluxes at given positions of images, stored so that each is measured once."""

from __future__ import annotations

from sqlalchemy import Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Base, Degree, Pixel, RealCount, RealNumber, Small


class ForcedSource(Base):
    """One forced measurement. Without foreign keys, like ``source``: rows are deleted with their image by its id.

    ``hpx29`` is the cell (0.4 mas wide) of the position at the exposure's time; ``config_id`` is the software of the
    measurement. A measurement without any usable pixel in its aperture is stored, too, with NULL fluxes.
    """

    __tablename__ = "forced_source"
    __table_args__ = (Index("ix_forced_source_image_id", "image_id"),)

    hpx29: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    method: Mapped[Small] = mapped_column(primary_key=True, autoincrement=False)
    config_id: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    x: Mapped[Pixel]
    y: Mapped[Pixel]
    flux_aper1: Mapped[RealCount | None]
    flux_aper1_err: Mapped[RealCount | None]
    flux_aper2: Mapped[RealCount | None]
    flux_aper2_err: Mapped[RealCount | None]
    flux_aper3: Mapped[RealCount | None]
    flux_aper3_err: Mapped[RealCount | None]
    flux_aper4: Mapped[RealCount | None]
    flux_aper4_err: Mapped[RealCount | None]
    flux_aper5: Mapped[RealCount | None]
    flux_aper5_err: Mapped[RealCount | None]
    flux_aper6: Mapped[RealCount | None]
    flux_aper6_err: Mapped[RealCount | None]
    flux_psf: Mapped[RealCount | None]
    flux_psf_err: Mapped[RealCount | None]
    chi: Mapped[RealNumber | None]
    sharp: Mapped[RealNumber | None]
    flags: Mapped[int] = mapped_column(Integer)
    mask_bits: Mapped[int | None] = mapped_column(Integer)
    background: Mapped[RealCount | None]
    background_rms: Mapped[RealCount | None]
