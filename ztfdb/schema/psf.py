"""ZTF's own PSF catalogues: one row per source, searched by position like ``source``, and one per catalogue file."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import (
    ID,
    Base,
    Big,
    Day,
    Degree,
    Key,
    Magnitude,
    Number,
    Pixel,
    RealCount,
    RealMagnitude,
    RealNumber,
    Small,
)

PSF_LIGHT_CURVE_COLUMNS = (
    "source_id",
    "ra",
    "dec",
    "flux",
    "flux_err",
    "mag_inst",
    "sigmag",
    "chi",
    "sharp",
    "flags",
)
"""Columns that a light curve and the view read; as `ztfdb.schema.source.LIGHT_CURVE_COLUMNS`."""

POSTGRESQL_PSF_INDEX = "pk_psf_source"
"""The primary key itself: (hpx29, source_id), with the other columns."""

POSTGRESQL_PSF_IMAGE_INDEX = "ix_psf_source_image"
SQLITE_PSF_INDEX = "ix_psf_source_light_curve_key"


class PsfSource(Base):
    """One row of a ``psfcat`` or ``refpsfcat``, with ZTF's own values. Append-only, without foreign keys.

    On PostgreSQL the primary key is (hpx29, source_id), and light curves read from it alone. The rows of an image are
    adjacent in the table, and found by a BRIN index of ``source_id``.

    ``source_id`` is ``image_id << 18 | sourceid``; a row of ``source`` with the same number is another detection.
    ``x`` and ``y`` are ``xpos - 1`` and ``ypos - 1`` (less the window's origin on a cutout), exact as doubles.
    """

    __tablename__ = "psf_source"
    __table_args__ = (
        Index(POSTGRESQL_PSF_IMAGE_INDEX, "source_id", postgresql_using="brin").ddl_if(dialect="postgresql"),
        Index(SQLITE_PSF_INDEX, "hpx29", *PSF_LIGHT_CURVE_COLUMNS[1:]).ddl_if(dialect="sqlite"),
    )

    source_id: Mapped[Key]
    image_id: Mapped[Big]
    hpx29: Mapped[Big]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    x: Mapped[Pixel]
    y: Mapped[Pixel]
    flux: Mapped[RealCount | None]
    flux_err: Mapped[RealCount | None]
    mag_inst: Mapped[RealMagnitude | None]
    sigmag: Mapped[RealMagnitude | None]
    snr: Mapped[RealNumber | None]
    chi: Mapped[RealNumber | None]
    sharp: Mapped[RealNumber | None]
    flags: Mapped[Small]


class PsfCatalogue(Base):
    """One catalogue file: its image, the facts of its header, its path.

    ``image_id`` is that of its image. A ``refpsfcat`` may be in the archive without its reference image, whose id
    follows from field, filter and quadrant; so there is no foreign key.
    """

    __tablename__ = "psf_catalogue"
    __table_args__ = (
        Index("ix_psf_catalogue_field", "field", "rcid", "fid", "role"),
        Index("ix_psf_catalogue_path", "data_root_id", "path"),
    )

    image_id: Mapped[Key]
    role: Mapped[str]
    field: Mapped[int]
    ccdid: Mapped[Small]
    qid: Mapped[Small]
    rcid: Mapped[Small]
    fid: Mapped[Small]
    filtercode: Mapped[str]
    simulated: Mapped[bool]
    expid: Mapped[Big | None]
    obsmjd: Mapped[Day | None]
    rfid: Mapped[Big | None]
    n_source: Mapped[int] = mapped_column(Integer)
    magzp: Mapped[Magnitude]
    magzpunc: Mapped[Magnitude | None]
    magzprms: Mapped[Magnitude | None]
    nmatches: Mapped[int | None] = mapped_column(Integer)
    clrcoeff: Mapped[Number | None]
    clrcounc: Mapped[Number | None]
    pcolor: Mapped[str | None]
    infobits: Mapped[Big | None]
    psfrunsw: Mapped[str | None]
    psfrunvn: Mapped[str | None]
    rundate: Mapped[str | None]
    inputimg: Mapped[str | None]
    inputpsf: Mapped[str | None]
    data_root_id: Mapped[int] = mapped_column(ID, ForeignKey("data_root.data_root_id"))
    path: Mapped[str]
    size: Mapped[Big]
    mtime_ns: Mapped[Big]
    sha256: Mapped[str]
    compression: Mapped[str]
    cards: Mapped[dict[str, Any]]
    row_checksum: Mapped[Big | None]
