"""The queue of images to ingest: one row per file, kept forever, so that nothing is dropped silently."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ztfdb.schema.base import ID, AutoKey, Base, Big, Second


class IngestJob(Base):
    """One image file to ingest, identified by its path, because an incomplete file has no identity yet.

    ``size`` and ``mtime_ns`` (and the mask's, NULL without one) identify the content; a changed file is enqueued again.
    ``due`` is the time from which the job can be claimed: when it was enqueued, when it is retried, or when its lease
    ends. It is NULL once the job cannot be claimed any more. All times are seconds since 1970, on PostgreSQL by the
    server's clock.
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
