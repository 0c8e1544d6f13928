"""Facts of an archive: fixed settings, measurement configurations, data roots."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import AutoKey, Base


class ArchiveMeta(Base):
    """One fact fixed when the archive was made, as JSON text under its name."""

    __tablename__ = "archive_meta"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Config(Base):
    """The settings and software versions of a measurement."""

    __tablename__ = "config"

    config_id: Mapped[AutoKey]
    config_hash: Mapped[str] = mapped_column(unique=True)
    settings: Mapped[dict[str, Any]]
    versions: Mapped[dict[str, Any]]


class DataRoot(Base):
    """A folder that image paths are relative to; it may have another path on each host."""

    __tablename__ = "data_root"

    data_root_id: Mapped[AutoKey]
    name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]
