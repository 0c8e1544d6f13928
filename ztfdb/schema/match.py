"""Which source is which row of a reference catalogue, and how each image was matched."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Arcsec, Base, Big, Key, Small


class SourceMatch(Base):
    """One source with one row of a catalogue. Like `Source` it only grows, and no foreign key leaves it."""

    __tablename__ = "source_match"

    source_id: Mapped[Key]
    catalogue_id: Mapped[Key]
    rank: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    """1 for the nearest row within the radius, 2 for the next, …."""
    reference_id: Mapped[Big]
    """``ps1_id``, ``gaia_id`` or ``reference_source.reference_id``."""
    separation: Mapped[Arcsec]


class ImageMatch(Base):
    """How one image was matched with one catalogue, and where the catalogue says its sources are."""

    __tablename__ = "image_match"
    __table_args__ = (Index("ix_image_match_catalogue_id", "catalogue_id", "image_id"),)

    image_id: Mapped[int] = mapped_column(
        ID, ForeignKey("image.image_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    catalogue_id: Mapped[int] = mapped_column(
        ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    mode: Mapped[str]
    """``nearest``, ``mutual`` or ``all``."""
    radius: Mapped[Arcsec]
    last_file_id: Mapped[Big]
    """The newest import of the catalogue that the match has seen."""
    n_matched: Mapped[int]
    """Sources with at least one match."""
    n_match: Mapped[int]
    n_astrometry: Mapped[int]
    """Matches left after clipping, of which the offsets are made."""
    ra_offset: Mapped[Arcsec | None]
    """Median of source minus catalogue along right ascension, times cos dec."""
    dec_offset: Mapped[Arcsec | None]
    ra_rms: Mapped[Arcsec | None]
    """Scatter about the median."""
    dec_rms: Mapped[Arcsec | None]
    warning: Mapped[Small]
    """0 none, 1 look at it, 2 wrong: `ztfdb.derive.crossmatch.astrometric_warning`."""
    matched: Mapped[str]
