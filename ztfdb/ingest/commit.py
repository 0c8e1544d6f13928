"""Measured images into the archive: one image, one transaction; several small ones may share one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Places
from ztfdb.bits import NO_CAVEAT
from ztfdb.derive.crossmatch import match_new_image
from ztfdb.derive.psf_checks import ImageChecked, check_new_image, compare_measured
from ztfdb.errors import StoreError
from ztfdb.ingest.already_stored import is_gone, same_image
from ztfdb.ingest.psf_catalogues import psf_part
from ztfdb.ingest.report import ImageOutcome, Outcome
from ztfdb.records import MeasuredImage, PsfCatalogueRecord
from ztfdb.store.completeness import store_completeness
from ztfdb.store.engine import writing
from ztfdb.store.image_files import Stored
from ztfdb.store.images import store_image
from ztfdb.store.ingest_queue import Job, finish, hold
from ztfdb.store.queue_reports import read_clock
from ztfdb.texts import one_line


@dataclass(frozen=True)
class Held:
    """A measured image that is to be stored.

    Attributes
    ----------
    measured : MeasuredImage
    given : str, Path or None
        The folder given to ingest.
    job : Job or None
    """

    measured: MeasuredImage
    given: str | Path | None = None
    job: Job | None = None


def commit_image(
    sessions: sessionmaker[Session],
    measured: MeasuredImage,
    *,
    places: Places = None,
    given: str | Path | None = None,
    force: bool = False,
    job: Job | None = None,
    lease_s: float = 120.0,
    clock: Callable[[], float] = time.time,
) -> Stored:
    """Store a measured image in a transaction of its own, match it with the reference catalogues that are held.

    What artificial stars say of it goes with it. Where it has a PSF catalogue it is checked against that, too, by a
    thread, while the database is busy. See `ztfdb.store.images.store_image` for what is stored when. With a `job` the
    same transaction first makes sure that its lease is still ours, for another `lease_s`, and marks it as done at its
    end: an image is stored exactly as often as its job is done. `clock` is this host's, for databases without one.

    Raises
    ------
    LeaseLostError
        If the job is no longer held; nothing is stored then.
    DatabaseUnavailableError
        If the database cannot be reached any more, or is locked for too long.
    StoreError
        If the archive refuses the image; nothing of it is stored then.
    """
    held = [Held(measured, given, job)]
    return commit_images(sessions, held, places=places, force=force, lease_s=lease_s, clock=clock)[0]


def commit_images(
    sessions: sessionmaker[Session],
    images: Sequence[Held],
    *,
    places: Places = None,
    force: bool = False,
    lease_s: float = 120.0,
    clock: Callable[[], float] = time.time,
) -> list[Stored]:
    """Store several measured images in one transaction, all or none; each as `commit_image` does.

    On SQLite a page of the light-curve index that several of them change is then written once.

    Raises
    ------
    LeaseLostError, DatabaseUnavailableError, StoreError
        As `commit_image`, because of any of them.
    """
    one = images[0]
    try:
        with writing(sessions) as session:
            stored = []
            for one in images:
                stored.append(_store(session, one, places=places, force=force, lease_s=lease_s, clock=clock))
            return stored
    except (SQLAlchemyError, ValueError, OverflowError) as exc:
        # A value that no column takes: the image's own fault (a damaged header), never the end of a night.
        cause = exc.__cause__ if isinstance(exc, SQLAlchemyError) and exc.__cause__ else exc
        raise StoreError(f"image {one.measured.info.image_id} was refused: {one_line(cause)}") from exc


def _store(
    session: Session,
    held: Held,
    *,
    places: Places,
    force: bool,
    lease_s: float,
    clock: Callable[[], float],
) -> Stored:
    measured, job = held.measured, held.job
    with ExitStack() as stack:
        checks: list[Future[ImageChecked | None]] = []

        def check() -> None:  # not before: many short statements would each wait for Python's lock
            if isinstance(measured.psfcat, PsfCatalogueRecord):
                beside = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="psfcheck"))
                checks.append(beside.submit(compare_measured, measured))

        if job is not None:
            hold(session, job, lease_s=lease_s, now=read_clock(session, clock))
        outcome = store_image(
            session,
            measured,
            places=places,
            given=held.given,
            force=force,
            before_rows=check,
            is_gone=is_gone,
            same_image=same_image,
        )
        if outcome in (Stored.STORED, Stored.REPLACED):
            match_new_image(session, measured.info.image_id)
            checked = checks[0].result() if checks else None
            if checked is not None or outcome is Stored.REPLACED:  # a new image has no catalogue but its own
                check_new_image(session, measured.info.image_id, measured.info.kind, checked)
            if measured.detection is not None:
                store_completeness(session, measured.detection)
        if job is not None:
            now = read_clock(session, clock)
            finish(session, job, outcome=outcome.value, image_id=measured.info.image_id, now=now)
        return outcome


def outcome_of_commit(path: str, measured: MeasuredImage, stored: Stored) -> ImageOutcome:
    """Return the outcome of an image that was measured and committed, without its seconds."""
    written = stored in (Stored.STORED, Stored.REPLACED)
    n_psf, reason = psf_part(measured, written=written)
    n_source, caveats = (len(measured.sources), measured.caveats) if written else (None, NO_CAVEAT)
    return ImageOutcome(
        path,
        Outcome(stored.value),
        measured.info.image_id,
        n_source,
        n_psf=n_psf,
        psfcat_reason=reason,
        caveats=caveats,
    )
