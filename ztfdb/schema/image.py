"""Images: the narrow ``image`` row, its headers, its files and the sky cells it touches."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import (
    ID,
    Arcsec,
    Base,
    Big,
    Count,
    Day,
    Degree,
    Electron,
    Gain,
    Key,
    Magnitude,
    Number,
    Pixel,
    Second,
    Small,
)
from ztfdb.schema.shapes import EPOCH_COLUMNS

POSTGRESQL_EPOCH_INDEX = "ix_image_epoch"


class Image(Base):
    """One quadrant exposure, cutout or reference. Few columns, because every light curve reads hundreds of rows."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("kind", "simulated", "expid", "field", "rcid", "fid", "x0", "y0", "nx", "ny", name="identity"),
        Index("ix_image_obsmjd", "obsmjd", "image_id"),
        Index("ix_image_field", "field", "rcid", "fid", "image_id"),
        Index("ix_image_expid", "expid", "rcid"),
        Index(POSTGRESQL_EPOCH_INDEX, "image_id", postgresql_include=list(EPOCH_COLUMNS)).ddl_if(dialect="postgresql"),
    )

    image_id: Mapped[Key]
    kind: Mapped[str]
    simulated: Mapped[bool]
    filefracday: Mapped[Big | None]
    field: Mapped[int]
    ccdid: Mapped[Small]
    qid: Mapped[Small]
    rcid: Mapped[Small]
    fid: Mapped[Small]
    filtercode: Mapped[str]
    expid: Mapped[Big | None]
    pid: Mapped[Big | None]
    x0: Mapped[int]
    y0: Mapped[int]
    nx: Mapped[int]
    ny: Mapped[int]
    obsmjd: Mapped[Day | None]
    mjd_mid: Mapped[Day | None]
    exptime: Mapped[Second | None]
    seeing_pix: Mapped[Pixel | None]
    maglim: Mapped[Magnitude | None]
    seeing: Mapped[Arcsec | None]
    maglimit: Mapped[Magnitude | None]
    magzp: Mapped[Magnitude]
    magzpunc: Mapped[Magnitude | None]
    magzprms: Mapped[Magnitude | None]
    clrcoeff: Mapped[Number | None]
    clrcounc: Mapped[Number | None]
    apcor1: Mapped[Magnitude | None]
    apcor2: Mapped[Magnitude | None]
    apcor3: Mapped[Magnitude | None]
    apcor4: Mapped[Magnitude | None]
    apcor5: Mapped[Magnitude | None]
    apcor6: Mapped[Magnitude | None]
    gain: Mapped[Gain | None]
    readnoi: Mapped[Electron | None]
    saturate: Mapped[Count | None]
    infobits: Mapped[Big | None]
    infobits_source: Mapped[str | None]
    status: Mapped[Small | None]
    airmass: Mapped[Number | None]
    programid: Mapped[Small | None]
    procvsn: Mapped[int | None]
    created: Mapped[str | None]
    nframes: Mapped[int | None]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    ra1: Mapped[Degree]
    dec1: Mapped[Degree]
    ra2: Mapped[Degree]
    dec2: Mapped[Degree]
    ra3: Mapped[Degree]
    dec3: Mapped[Degree]
    ra4: Mapped[Degree]
    dec4: Mapped[Degree]
    sun_x: Mapped[Second | None]
    sun_y: Mapped[Second | None]
    sun_z: Mapped[Second | None]
    ssb_x: Mapped[Second | None]
    ssb_y: Mapped[Second | None]
    ssb_z: Mapped[Second | None]
    background: Mapped[Count]
    background_rms: Mapped[Count]
    sky_noise1: Mapped[Number | None]
    sky_noise2: Mapped[Number | None]
    sky_noise3: Mapped[Number | None]
    sky_noise4: Mapped[Number | None]
    sky_noise5: Mapped[Number | None]
    sky_noise6: Mapped[Number | None]
    has_mask: Mapped[bool]
    n_source: Mapped[int]
    config_id: Mapped[int] = mapped_column(ID, ForeignKey("config.config_id"))
    row_checksum: Mapped[Big | None]
    caveats: Mapped[Small | None]
    facts_checksum: Mapped[Big | None]


class ImageHeader(Base):
    """Header cards of one file of an image; the row of the image's own file also has WCS numbers and background mesh.

    ``wcs`` has 42 little-endian doubles in the order of `ztfdb.wcs.WcsParameters.to_array`, ``mesh_level`` and
    ``mesh_rms`` little-endian singles of shape (mesh_ny, mesh_nx). They are before ``cards`` so that SQLite reads them
    without following the overflow pages of the long JSON text.
    """

    __tablename__ = "image_header"

    image_id: Mapped[int] = mapped_column(ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    wcs_projection: Mapped[str | None]
    wcs: Mapped[bytes | None]
    mesh_box_y: Mapped[int | None]
    mesh_box_x: Mapped[int | None]
    mesh_ny: Mapped[int | None]
    mesh_nx: Mapped[int | None]
    mesh_level: Mapped[bytes | None]
    mesh_rms: Mapped[bytes | None]
    cards: Mapped[dict[str, Any]]


class ImageFile(Base):
    """One file of an image: its path, its facts when it was read, and where its pixels start."""

    __tablename__ = "image_file"
    __table_args__ = (
        Index("ix_image_file_path", "data_root_id", "path"),
        Index("ix_image_file_sha256", "sha256"),
    )

    image_id: Mapped[int] = mapped_column(ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    data_root_id: Mapped[int] = mapped_column(ID, ForeignKey("data_root.data_root_id"))
    path: Mapped[str]
    size: Mapped[Big]
    mtime_ns: Mapped[Big]
    sha256: Mapped[str]
    hdu: Mapped[Small]
    byte_offset: Mapped[Big | None]
    bitpix: Mapped[Small]
    bscale: Mapped[Number]
    bzero: Mapped[Number]
    compression: Mapped[str]


class ImageCell(Base):
    """One HEALPix order-9 cell that an image touches."""

    __tablename__ = "image_cell"
    __table_args__ = (Index("ix_image_cell_image_id", "image_id"),)

    cell9: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
