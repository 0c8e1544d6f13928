"""Objects: detections joined across epochs, fields and filters.

Like ``source``, these tables have no foreign keys: they follow the images only when objects are updated.
"""

from __future__ import annotations

from sqlalchemy import Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import Arcsec, Base, Big, Day, Degree, Key, Magnitude, Number, Small


class Object(Base):
    """One object on the sky."""

    __tablename__ = "object"
    __table_args__ = (Index("ix_object_reach", "reach"),)

    object_id: Mapped[Key]
    ra: Mapped[Degree]
    dec: Mapped[Degree]
    reach: Mapped[Arcsec]
    crowded: Mapped[Small]
    best_snr: Mapped[Number]
    best_source_id: Mapped[Big]
    first_source_id: Mapped[Big]
    ps1_id: Mapped[Big | None]
    ps1_separation: Mapped[Arcsec | None]


class ObjectSource(Base):
    """The object of a source: at most one."""

    __tablename__ = "object_source"
    __table_args__ = (Index("ix_object_source_object_id", "object_id", "source_id"),)

    source_id: Mapped[Key]
    object_id: Mapped[Big]
    kind: Mapped[Small]
    conflict: Mapped[Small]
    counted: Mapped[Small]
    separation: Mapped[Arcsec]


class ObjectFilter(Base):
    """Statistics of one object in one filter, from its counted detections; errors include the systematic floor."""

    __tablename__ = "object_filter"
    __table_args__ = (Index("ix_object_filter_chi2", "fid", "chi2", "n", "object_id"),)

    object_id: Mapped[Key]
    fid: Mapped[Small] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(Integer)
    first_mjd: Mapped[Day]
    last_mjd: Mapped[Day]
    min_mag: Mapped[Magnitude]
    max_mag: Mapped[Magnitude]
    median_mag: Mapped[Magnitude]
    mean_mag: Mapped[Magnitude]
    mean_mag_err: Mapped[Magnitude]
    scatter: Mapped[Magnitude | None]
    chi2: Mapped[Number | None]
    stetson_j: Mapped[Number | None]
    eta: Mapped[Number | None]


class ObjectCurve(Base):
    """The counted detections of one object in one filter, packed, so that one can be added without reading all."""

    __tablename__ = "object_curve"

    object_id: Mapped[Key]
    fid: Mapped[Small] = mapped_column(primary_key=True, autoincrement=False)
    points: Mapped[bytes]


class ObjectAlias(Base):
    """A former id of an object, and the object that has its detections now."""

    __tablename__ = "object_alias"
    __table_args__ = (Index("ix_object_alias_object_id", "object_id"),)

    alias_id: Mapped[Key]
    object_id: Mapped[Big]


class ObjectImage(Base):
    """An image whose sources are in the objects, with its fingerprint at that time."""

    __tablename__ = "object_image"

    image_id: Mapped[Key]
    fingerprint: Mapped[Big]


class ObjectState(Base):
    """One number that shows whether the objects equal those of a new build."""

    __tablename__ = "object_state"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Big]


class ObjectOid(Base):
    """The source of a reference catalogue (``refpsfcat``) that is an object: each is the other's nearest.

    An object has at most one per reference catalogue (field, filter, quadrant).
    """

    __tablename__ = "object_oid"
    __table_args__ = (Index("ix_object_oid_object_id", "object_id", "oid"), Index("ix_object_oid_oid", "oid"))

    source_id: Mapped[Key]
    object_id: Mapped[Big]
    oid: Mapped[Big]
    separation: Mapped[Arcsec]


class ObjectReference(Base):
    """A reference catalogue that ``object_oid`` was made from, with its fingerprint at that time."""

    __tablename__ = "object_reference"

    image_id: Mapped[Key]
    fingerprint: Mapped[Big]
