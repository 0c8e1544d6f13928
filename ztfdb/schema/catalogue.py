"""Reference catalogues: the list of them, PS1 and Gaia in tables of their own, and one table for all others."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import REAL, Double, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, Arcsec, AutoKey, Base, Big, Degree, Key, RealMagnitude, Small

Year = Annotated[float, mapped_column(Double)]
ProperMotion = Annotated[float, mapped_column(Double)]
RealArcsec = Annotated[float, mapped_column(REAL)]
RealParallax = Annotated[float, mapped_column(REAL)]
RealRatio = Annotated[float, mapped_column(REAL)]


def _sky_indexes(table: str, *columns: str, within: tuple[str, ...] = ()) -> tuple[Index, Index]:
    """Return the covering index of a table for PostgreSQL and for SQLite; matching reads nothing else."""
    keys = (*within, "hpx29")
    return (
        Index(f"ix_{table}_sky", *keys, postgresql_include=list(columns)).ddl_if(dialect="postgresql"),
        Index(f"ix_{table}_sky_key", *keys, *columns).ddl_if(dialect="sqlite"),
    )


POSITION = ("ra", "dec")
MOVING_POSITION = ("ra", "dec", "epoch", "pmra", "pmdec")
ONE_ENGINE_INDEXES = {
    "postgresql": frozenset({"ix_ps1_sky", "ix_gaia_sky", "ix_reference_source_sky"}),
    "sqlite": frozenset({"ix_ps1_sky_key", "ix_gaia_sky_key", "ix_reference_source_sky_key"}),
}
"""Indexes that only one engine has."""


class Catalogue(Base):
    """One catalogue: its rows are imported, or read in place from a HATS catalogue at `location`."""

    __tablename__ = "catalogue"

    catalogue_id: Mapped[AutoKey]
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    n_row: Mapped[Big]
    n_moving: Mapped[Big]
    max_pm: Mapped[ProperMotion]
    min_epoch: Mapped[Year | None]
    max_epoch: Mapped[Year | None]
    match_mode: Mapped[str]
    match_radius: Mapped[Arcsec]
    created: Mapped[str]
    location: Mapped[str | None]
    reading: Mapped[dict[str, Any] | None]


class CatalogueFile(Base):
    """One imported file; its id also orders the imports, so that a match records the last one it includes."""

    __tablename__ = "catalogue_file"
    __table_args__ = (Index("ix_catalogue_file_sha256", "catalogue_id", "sha256"),)

    catalogue_file_id: Mapped[AutoKey]
    catalogue_id: Mapped[int] = mapped_column(ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"))
    path: Mapped[str]
    size: Mapped[Big]
    sha256: Mapped[str]
    format: Mapped[str]
    layout: Mapped[str]
    n_row: Mapped[Big]
    n_known: Mapped[Big]
    n_bad: Mapped[Big]
    imported: Mapped[str]


class CatalogueCell(Base):
    """One HEALPix order-9 cell with rows of a catalogue."""

    __tablename__ = "catalogue_cell"

    cell9: Mapped[int] = mapped_column(ID, primary_key=True, autoincrement=False)
    catalogue_id: Mapped[int] = mapped_column(
        ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    n_row: Mapped[Big]
    last_file_id: Mapped[Big]


class Ps1(Base):
    """One Pan-STARRS1 object; magnitudes are AB in the PS1 system."""

    __tablename__ = "ps1"
    __table_args__ = _sky_indexes("ps1", "ps1_id", *POSITION)

    ps1_id: Mapped[Key]
    hpx29: Mapped[Big]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    ra_err: Mapped[RealArcsec | None]
    dec_err: Mapped[RealArcsec | None]
    epoch: Mapped[Year | None]
    photometry: Mapped[Small]
    n_detection: Mapped[int | None] = mapped_column(Integer)
    quality: Mapped[int | None] = mapped_column(Integer)
    info_flag: Mapped[int | None] = mapped_column(Integer)
    g_mag: Mapped[RealMagnitude | None]
    g_mag_err: Mapped[RealMagnitude | None]
    g_kron_mag: Mapped[RealMagnitude | None]
    r_mag: Mapped[RealMagnitude | None]
    r_mag_err: Mapped[RealMagnitude | None]
    r_kron_mag: Mapped[RealMagnitude | None]
    i_mag: Mapped[RealMagnitude | None]
    i_mag_err: Mapped[RealMagnitude | None]
    i_kron_mag: Mapped[RealMagnitude | None]
    z_mag: Mapped[RealMagnitude | None]
    z_mag_err: Mapped[RealMagnitude | None]
    z_kron_mag: Mapped[RealMagnitude | None]
    y_mag: Mapped[RealMagnitude | None]
    y_mag_err: Mapped[RealMagnitude | None]
    y_kron_mag: Mapped[RealMagnitude | None]


class Gaia(Base):
    """One Gaia source; magnitudes are Gaia's own (Vega)."""

    __tablename__ = "gaia"
    __table_args__ = _sky_indexes("gaia", "gaia_id", *MOVING_POSITION)

    gaia_id: Mapped[Key]
    hpx29: Mapped[Big]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    epoch: Mapped[Year | None]
    pmra: Mapped[ProperMotion | None]
    pmdec: Mapped[ProperMotion | None]
    parallax: Mapped[RealParallax | None]
    parallax_err: Mapped[RealParallax | None]
    ruwe: Mapped[RealRatio | None]
    g_mag: Mapped[RealMagnitude | None]
    g_mag_err: Mapped[RealMagnitude | None]
    bp_mag: Mapped[RealMagnitude | None]
    bp_mag_err: Mapped[RealMagnitude | None]
    rp_mag: Mapped[RealMagnitude | None]
    rp_mag_err: Mapped[RealMagnitude | None]


class ReferenceSource(Base):
    """One row of any other catalogue."""

    __tablename__ = "reference_source"
    __table_args__ = _sky_indexes("reference_source", "reference_id", *MOVING_POSITION, within=("catalogue_id",))

    catalogue_id: Mapped[int] = mapped_column(
        ID, ForeignKey("catalogue.catalogue_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    reference_id: Mapped[Key]
    hpx29: Mapped[Big]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    epoch: Mapped[Year | None]
    pmra: Mapped[ProperMotion | None]
    pmdec: Mapped[ProperMotion | None]
    mag: Mapped[RealMagnitude | None]
    mag_err: Mapped[RealMagnitude | None]
    extra: Mapped[dict[str, Any] | None]
