"""The queue of images to ingest: one row per file, kept for ever, so that nothing is dropped silently."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, AutoKey, Base, Big, Second


class IngestJob(Base):
    """One image file to bring into the archive, known by where it lies: a cut-off file has no identity yet.

    ``size`` and ``mtime_ns`` (and the mask's, NULL without one) say which content is meant; a file that changes is
    work again. ``due`` is when the job can be taken: since when it waits, when it is tried again, or when its lease
    ends; NULL once nobody may take it any more. All times are seconds since 1970, on PostgreSQL by the server's clock.
    """

    __tablename__ = "ingest_job"
    __table_args__ = (
        Index("uq_ingest_job_place", "data_root_id", "path", unique=True),
        Index("ix_ingest_job_due", "data_root_id", "due", "job_id"),
        Index("ix_ingest_job_state", "state", "ended"),
    )

    job_id: Mapped[AutoKey]
    data_root_id: Mapped[int] = mapped_column(ID, ForeignKey("data_root.data_root_id"))
    path: Mapped[str]
    size: Mapped[Big]
    mtime_ns: Mapped[Big]
    mask_size: Mapped[Big | None]
    mask_mtime_ns: Mapped[Big | None]
    state: Mapped[str]
    queued: Mapped[Second]
    due: Mapped[Second | None]
    ended: Mapped[Second | None]
    owner: Mapped[str | None]
    token: Mapped[Big | None]
    attempts: Mapped[int]
    image_id: Mapped[Big | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]
    reason: Mapped[str | None]
    detail: Mapped[str | None]
