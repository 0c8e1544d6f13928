"""Matches of sources with rows of reference catalogues, and how each image was matched."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Arcsec, Base, Big, Key, Small


class SourceMatch(Base):
    """One source and one matching row of a catalogue. Append-only like `Source`, without foreign keys."""

    __tablename__ = "source_match"

    source_id: Mapped[Key]
    catalogue_id: Mapped[Key]
    rank: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    reference_id: Mapped[Big]
    separation: Mapped[Arcsec]


class ImageMatch(Base):
    """How one image was matched with one catalogue, and the offsets of its positions from the catalogue."""

    __tablename__ = "image_match"
    __table_args__ = (Index("ix_image_match_catalogue_id", "catalogue_id", "image_id"),)

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    catalogue_id: Mapped[int] = mapped_column(
        ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    mode: Mapped[str]
    radius: Mapped[Arcsec]
    last_file_id: Mapped[Big]
    n_matched: Mapped[int]
    n_match: Mapped[int]
    n_astrometry: Mapped[int]
    ra_offset: Mapped[Arcsec | None]
    dec_offset: Mapped[Arcsec | None]
    ra_rms: Mapped[Arcsec | None]
    dec_rms: Mapped[Arcsec | None]
    warning: Mapped[Small]
    matched: Mapped[str]
