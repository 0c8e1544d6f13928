"""Sources: one row per detection on one image, searched by position in one covering index."""

from __future__ import annotations

from sqlalchemy import Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import Base, Big, Degree, Key, Pixel, RealCount, RealNumber, RealPixel, RealRadian

LIGHT_CURVE_COLUMNS = (
    "source_id",
    "ra",
    "dec",
    "flux_aper4",
    "flux_aper4_err",
    "flags",
    "mask_bits",
)
"""Columns that a light curve and the view read; the covering index has them, so the table itself is not read.

``image_id`` is in the upper bits of ``source_id``. On SQLite that is the row id, which every index contains anyway.
"""

POSTGRESQL_LIGHT_CURVE_INDEX = "ix_source_light_curve"
SQLITE_LIGHT_CURVE_INDEX = "ix_source_light_curve_key"


class Source(Base):
    """One detection on one image. Append-only. No foreign keys: their triggers would nearly double the time of COPY."""

    __tablename__ = "source"
    __table_args__ = (
        Index(
            POSTGRESQL_LIGHT_CURVE_INDEX,
            "hpx29",
            postgresql_include=list(LIGHT_CURVE_COLUMNS),
        ).ddl_if(dialect="postgresql"),
        Index(SQLITE_LIGHT_CURVE_INDEX, "hpx29", *LIGHT_CURVE_COLUMNS[1:]).ddl_if(dialect="sqlite"),
    )

    source_id: Mapped[Key]
    image_id: Mapped[Big]
    hpx29: Mapped[Big]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    x: Mapped[Pixel]
    y: Mapped[Pixel]
    a: Mapped[RealPixel | None]
    b: Mapped[RealPixel | None]
    theta: Mapped[RealRadian | None]
    npix: Mapped[int] = mapped_column(Integer)
    peak: Mapped[RealCount | None]
    flux_auto: Mapped[RealCount | None]
    flux_auto_err: Mapped[RealCount | None]
    kron_radius: Mapped[RealNumber | None]
    flux_radius: Mapped[RealPixel | None]
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
    flags: Mapped[int] = mapped_column(Integer)
    mask_bits: Mapped[int | None] = mapped_column(Integer)
    background: Mapped[RealCount | None]
    background_rms: Mapped[RealCount | None]
