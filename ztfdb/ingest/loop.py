"""The loop of `ztfdb ingest` and the daemon: claim, measure, store, mark; one image's trouble never stops the others.

Jobs are claimed a little ahead, and a worker that has ended one image begins the next before the first is stored where
another processor is free for that. Only this process renews leases; a worker busy with an image cannot. Whatever ends
the process, its leases end too; nothing of an image is in the archive unless its job is marked as done, in one
transaction.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import (
    DatabaseUnavailableError,
    FileMissingError,
    LeaseLostError,
    StoreError,
    ZtfdbError,
)
from ztfdb.ingest.already_stored import find_stored
from ztfdb.ingest.commit import Held, commit_image, commit_images, outcome_of_commit
from ztfdb.ingest.discover import FoundImage, look_at
from ztfdb.ingest.executors import Executor, Measurement
from ztfdb.ingest.lease_owner import is_dead, own_name
from ztfdb.ingest.psf_catalogues import outcome_of_stored
from ztfdb.ingest.report import ImageOutcome, refused
from ztfdb.ingest.worker_limits import Limits
from ztfdb.records import MeasuredImage, PsfCatalogueRecord
from ztfdb.store.address import mask_password
from ztfdb.store.engine import writing
from ztfdb.store.ingest_queue import Job, beat, fail, find_owners, finish, put_back, take_back
from ztfdb.store.queue_reports import read_clock
from ztfdb.store.revision import check_revision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operating:
    """How the loop runs; none of it changes what is measured.

    Attributes
    ----------
    jobs : int
        Processors to keep busy: as many worker processes. One alone waits while this process stores.
    limits : Limits
        For one image in a worker.
    lease_s : float
        A claim whose owner has not shown for so long that it lives returns to the queue.
    attempts : int
        After so many failures an image is set aside.
    retry_s, longest_retry_s : float
        Wait after the first failure; each further one waits four times longer, up to the longest.
    idle_s : float
        Sleep where there is nothing to do.
    patient : bool
        Try again where the database is not available; otherwise its error ends the loop.
    patience_s : float
        How long an unreachable database may keep a patient loop that was asked to leave.
    places : dict of str
        Folders of this host by the name of their data root.
    """

    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    lease_s: float = 120.0
    attempts: int = 6
    retry_s: float = 60.0
    longest_retry_s: float = 4 * 3600.0
    idle_s: float = 0.5
    patient: bool = True
    patience_s: float = 30.0
    places: Mapping[str, str | Path] = field(default_factory=dict)

    def retry_delay(self, failures: int) -> float:
        """Return how long to wait after so many failures, seconds."""
        return min(self.retry_s * 4.0 ** (failures - 1), self.longest_retry_s)


LONGEST_BACK_OFF_S = 60.0

MOST_IN_GROUP = 6
"""Small images that are stored in one transaction; SQLite takes the rows of so many the fast way."""

ROWS_IN_GROUP = 10_000
"""Rows of a group that are stored without waiting for more; a whole quadrant is stored alone."""

LONGEST_HOLD_S = 2.0
"""How long a measured image waits for others, in addition to the one that is being measured."""

AHEAD_S = 1.0
"""Work to claim at once for each worker, by the time that the image before took."""

MOST_AHEAD = 8
"""Most jobs that are claimed at once for each worker."""


class JobSource(Protocol):
    """Where the jobs of a loop come from, and what is called with their outcomes."""

    @property
    def force(self) -> bool:
        """Measure and store also what has not changed."""

    @property
    def n_to_enqueue(self) -> int:
        """Files that wait to be put into the queue."""

    @property
    def exhausted(self) -> bool:
        """True once nothing more is to be discovered, put into the queue or waited for; jobs may still be due later."""

    @property
    def may_claim(self) -> bool:
        """False where `claim` cannot find anything."""

    def discover(self) -> bool:
        """Look for more files, for a moment, outside of any transaction; False where there are no more now."""

    def enqueue_found(self, session: Session, now: float) -> int:
        """Put what was found into the queue, and return how much of it is work."""

    def enqueued(self) -> None:
        """Note that the transaction of `enqueue_found` has committed."""

    def claim(self, session: Session, owner: str, n: int, lease_s: float, now: float) -> list[Job]:
        """Claim up to `n` jobs."""

    def files_of(self, session: Session, job: Job) -> FoundImage | None:
        """Return the image of a job, None where its data root is not here."""

    def released(self, job: Job) -> None:
        """Note that a job is no longer ours, without an outcome."""

    def finished(self, job: Job, outcome: ImageOutcome) -> None:
        """Note what became of a job."""


class Loop:
    """One process's work on the queue.

    Parameters
    ----------
    sessions : sessionmaker
        Of the archive.
    source : JobSource
    operating : Operating
    executor_of : callable
        Makes the executor that measures; called again when the operating settings change.
    clock, sleep : callable
        Seconds since 1970, and waiting for some.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        source: JobSource,
        operating: Operating,
        executor_of: Callable[[Operating], Executor],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sessions, self._source, self._operating, self._executor_of = sessions, source, operating, executor_of
        self._clock, self._sleep = clock, sleep
        self._owner = ""
        self._executor = executor_of(operating)
        self._ready: deque[Job] = deque()
        self._measuring: dict[str, Job] = {}
        self._unstored: deque[tuple[Job, Measurement]] = deque()
        self._last_beat = float("-inf")
        self._nothing_due = False
        self._changed: Operating | None = None
        self._image_s: float | None = None

    @property
    def operating(self) -> Operating:
        """The settings it runs with."""
        return self._operating

    @property
    def n_measuring(self) -> int:
        """Images that are being measured."""
        return len(self._measuring)

    def run(self, stop: Callable[[], bool], *, once: bool = False, tick: Callable[[], None] | None = None) -> None:
        """Work until `stop` says so, then finish the images that were begun.

        Parameters
        ----------
        stop : callable
            Asked between two steps.
        once : bool
            Leave when everything that is there has been dealt with; what waits for a mask or for its next attempt
            stays in the queue.
        tick : callable, optional
            Called between two steps.

        Raises
        ------
        SchemaVersionError
            If another ztfdb has upgraded the archive meanwhile.
        StoreError
            If the archive refuses the queue itself.
        """
        with own_name() as self._owner:
            try:
                while not stop() and not (once and self._all_done()):
                    self._insist(self._turn, stop)
                    if tick is not None:
                        tick()
                self._leave()
            except BaseException:
                self._executor.stop(kill=True)
                self._give_back()
                raise
        self._executor.stop(kill=False)

    def change(self, operating: Operating) -> None:
        """Run on with other operating settings, as soon as the workers have ended the images that they measure."""
        self._changed = operating

    def _change(self) -> None:
        if self._changed is not None and not self._measuring:
            self._executor.stop(kill=False)
            self._operating, self._changed = self._changed, None
            self._executor = self._executor_of(self._operating)

    def _insist(self, step: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Do a step; where the database cannot be reached or written, wait longer and longer and do it again."""
        if not self._operating.patient:
            step()
            return
        wait = 1.0
        while True:
            try:
                step()
                return
            except DatabaseUnavailableError as exc:
                logger.warning("the database is not available", extra={"reason": str(exc), "wait_s": wait})
            end = self._clock() + wait
            while self._clock() < end and not stop():
                self._sleep(min(self._operating.idle_s, wait))
            if stop():
                return
            wait = min(2.0 * wait, LONGEST_BACK_OFF_S)

    def _turn(self) -> None:
        self._change()
        self._beat()
        self._store_all()
        more = self._source.discover()
        self._enqueue()
        self._occupy()
        if self._measuring:
            self._collect(self._operating.idle_s)
            self._occupy()
            self._store_all()
            self._occupy()
        elif not more and (self._nothing_due or self._ready):  # nothing to do, or nobody to do it
            self._sleep(self._operating.idle_s)

    def _all_done(self) -> bool:
        return self._source.exhausted and self._nothing_due and not (self._ready or self._measuring or self._unstored)

    def _leave(self) -> None:
        """Put back what was not begun, and store what was."""
        if self._ready or self._measuring or self._unstored:
            logger.info("leaving", extra={"in_hand": len(self._measuring) + len(self._unstored)})
        deadline = self._clock() + self._operating.patience_s
        while self._ready or self._measuring or self._unstored:
            try:
                while self._ready:
                    self._put_back(self._ready[0], 0.0)
                    self._ready.popleft()
                self._beat()
                self._collect(self._operating.idle_s)
                self._store_all(at_once=True)
                deadline = self._clock() + self._operating.patience_s
            except DatabaseUnavailableError as exc:
                if not self._operating.patient:
                    raise
                if self._clock() > deadline:
                    # the leases end by themselves, and others measure these images again
                    logger.warning("left without the database", extra={"reason": str(exc)})
                    return
                self._sleep(self._operating.idle_s)

    def _check_schema(self, session: Session) -> None:
        """Raise `SchemaVersionError` if another ztfdb has upgraded the archive since this process started."""
        check_revision(session, mask_password(session.get_bind().engine.url))

    def _now(self, session: Session) -> float:
        return read_clock(session, self._clock)

    def _give_back(self) -> None:
        """Return all jobs to the queue at once, where the database lets us; otherwise their leases end."""
        with contextlib.suppress(StoreError), writing(self._sessions) as session:
            take_back(session, [self._owner], now=self._now(session))

    def _take_back(self) -> None:
        """Return the jobs of processes of this host that were killed."""
        with self._sessions() as session:
            dead = [owner for owner in find_owners(session) if is_dead(owner)]
        if not dead:
            return
        with writing(self._sessions) as session:
            n = take_back(session, dead, now=self._now(session))
        if n:
            logger.warning("took back the jobs of dead processes", extra={"n_job": n})

    def _beat(self) -> None:
        if self._clock() < self._last_beat + self._operating.lease_s / 4:
            return
        self._take_back()
        in_hand = [*self._ready, *self._measuring.values(), *(job for job, _ in self._unstored)]
        if in_hand:
            with writing(self._sessions) as session:
                own = beat(session, in_hand, lease_s=self._operating.lease_s, now=self._now(session))
            for job in [job for job in self._ready if job.job_id not in own]:
                self._ready.remove(job)
                self._source.released(job)
        self._last_beat = self._clock()

    def _enqueue(self) -> None:
        """Put what was found into the queue."""
        if not self._source.n_to_enqueue:
            return
        with writing(self._sessions) as session:
            n = self._source.enqueue_found(session, self._now(session))
        self._source.enqueued()
        if n:
            self._nothing_due = False

    @property
    def _n_idle(self) -> int:
        """Images that may be begun now: one worker beside this process takes turns with it, on one processor."""
        turns = self._executor.on_this_host and self._executor.size == 1
        return 0 if turns and self._unstored and not self._may_hold else self._executor.n_free

    def _occupy(self) -> None:
        """Begin images while workers are free."""
        while self._n_idle > 0 and self._changed is None:
            if not self._ready:
                self._claim()
                if not self._ready:
                    return
            self._begin(self._ready[0])
            self._ready.popleft()

    def _claim(self) -> None:
        if not self._source.may_claim:
            self._nothing_due = True
            return
        lease_s = self._operating.lease_s
        with writing(self._sessions) as session:
            self._check_schema(session)
            claimed = self._source.claim(session, self._owner, self._n_to_claim, lease_s, self._now(session))
        self._ready += claimed
        self._nothing_due = not claimed

    @property
    def _n_to_claim(self) -> int:
        """Jobs to claim at once: two per worker, or more if these take less than `AHEAD_S`."""
        each = 2 if self._image_s is None else min(max(2, round(AHEAD_S / self._image_s)), MOST_AHEAD)
        return each * self._executor.size

    def _begin(self, job: Job) -> None:
        """Begin to measure an image, or end its job at once where there is nothing to measure."""
        known = None
        places = self._operating.places
        with self._sessions() as session:
            image = self._source.files_of(session, job)
            if image is not None and not self._source.force:
                known = find_stored(session, image, places=places)
        if image is None or image.path in self._measuring:
            self._put_back(job, self._operating.retry_s)
        elif look_at(image) is None:
            self._fail(job, FileMissingError(image.path, "the file is gone"), 0.0, image.path)
        elif known is None:
            self._executor.begin(image, job)
            self._measuring[image.path] = job
        else:
            image_id, how = known

            def finish_job(session: Session) -> bool:
                return finish(session, job, outcome=how.value, image_id=image_id, now=self._now(session))

            self._end(job, outcome_of_stored(self._sessions, image, known, places=places, finish_job=finish_job))

    def _end(self, job: Job, outcome: ImageOutcome | None) -> None:
        if outcome is None:
            self._source.released(job)
        else:
            self._source.finished(job, outcome)

    def _put_back(self, job: Job, wait_s: float) -> None:
        with writing(self._sessions) as session:
            put_back(session, job, due=self._now(session) + wait_s)
        self._source.released(job)

    def _collect(self, timeout_s: float) -> None:
        for one in self._executor.collect(timeout_s):
            self._image_s = max(one.seconds, 1e-3)
            self._unstored.append((self._measuring.pop(one.image.path), one))

    @property
    def _may_hold(self) -> bool:
        """Whether measured images may wait for more, to be stored in one transaction: small ones, in this process."""
        more = self._measuring or self._ready or (self._source.may_claim and not self._nothing_due)
        if not (self._executor.in_this_process and more):
            return False
        results = [one.result for _, one in self._unstored]
        rows = [_n_row(result) for result in results if isinstance(result, MeasuredImage)]
        if len(rows) < len(results) or len(rows) >= MOST_IN_GROUP or sum(rows) >= ROWS_IN_GROUP:
            return False
        first = self._unstored[0][1]
        return time.perf_counter() < first.started + first.seconds + LONGEST_HOLD_S

    def _store_all(self, *, at_once: bool = False) -> None:
        if self._unstored and not at_once and self._may_hold:
            return
        while self._unstored:
            group = self._next_group()
            if len(group) < 2 or not self._commit_group(group):
                for _ in range(max(1, len(group))):
                    self._store(*self._unstored[0])
                    self._unstored.popleft()

    def _next_group(self) -> list[tuple[Job, MeasuredImage, Measurement]]:
        """Return the first measured images that may share a transaction."""
        group: list[tuple[Job, MeasuredImage, Measurement]] = []
        n_row = 0
        for job, one in self._unstored:
            if not self._executor.in_this_process or not isinstance(one.result, MeasuredImage):
                break
            n_row += _n_row(one.result)
            if group and (len(group) >= MOST_IN_GROUP or n_row > ROWS_IN_GROUP):
                break
            group.append((job, one.result, one))
        return group

    def _commit_group(self, group: list[tuple[Job, MeasuredImage, Measurement]]) -> bool:
        """Store images in one transaction; False if the archive refuses one of them, and nothing is stored then."""
        started = time.perf_counter()
        try:
            stored = commit_images(
                self._sessions,
                [Held(measured, one.image.folder, job) for job, measured, one in group],
                places=self._operating.places,
                force=self._source.force,
                lease_s=self._operating.lease_s,
                clock=self._clock,
            )
        except DatabaseUnavailableError:
            raise
        except StoreError as exc:
            logger.info("images are stored one by one", extra={"reason": str(exc)})
            return False
        each = (time.perf_counter() - started) / len(group)
        for (job, measured, one), how in zip(group, stored, strict=True):
            self._unstored.popleft()
            outcome = outcome_of_commit(one.image.path, measured, how)
            self._source.finished(job, replace(outcome, seconds=one.seconds + each))
        return True

    def _store(self, job: Job, one: Measurement) -> None:
        path, result = one.image.path, one.result
        if isinstance(result, LeaseLostError):  # found by a worker that stores itself
            logger.warning("measured in vain", extra={"path": path, "reason": str(result)})
            self._source.released(job)
        elif isinstance(result, DatabaseUnavailableError):
            logger.warning("a worker does not reach the archive", extra={"path": path, "reason": str(result)})
            self._put_back(job, self._operating.retry_s)
        elif isinstance(result, ZtfdbError):
            self._fail(job, result, one.seconds, path)
        elif isinstance(result, ImageOutcome):
            self._source.finished(job, replace(result, seconds=one.seconds))
        elif result is not None:
            self._commit(job, one, result)

    def _commit(self, job: Job, one: Measurement, measured: MeasuredImage) -> None:
        path, started = one.image.path, time.perf_counter()
        try:
            stored = commit_image(
                self._sessions,
                measured,
                places=self._operating.places,
                given=one.image.folder,
                force=self._source.force,
                job=job,
                lease_s=self._operating.lease_s,
                clock=self._clock,
            )
        except DatabaseUnavailableError:
            raise
        except LeaseLostError as exc:
            logger.warning("measured in vain", extra={"path": path, "reason": str(exc)})
            self._source.released(job)
            return
        except StoreError as exc:
            self._fail(job, exc, one.seconds, path)
            return
        seconds = one.seconds + time.perf_counter() - started
        self._source.finished(job, replace(outcome_of_commit(path, measured, stored), seconds=seconds))

    def _fail(self, job: Job, exc: ZtfdbError, seconds: float, path: str) -> None:
        failures = job.attempts + 1
        again = exc.retryable and failures < self._operating.attempts
        outcome = refused(path, exc, seconds)
        with writing(self._sessions) as session:
            if isinstance(exc, StoreError):
                self._check_schema(session)  # else all images would be set aside
            now = self._now(session)
            ours = fail(
                session,
                job,
                error=outcome.error,
                reason=outcome.reason,
                detail="".join(traceback.format_exception(exc)),
                retry_at=now + self._operating.retry_delay(failures) if again else None,
                now=now,
            )
        self._end(job, outcome if ours else None)


def _n_row(measured: MeasuredImage) -> int:
    """Return how many rows of sources an image brings."""
    psf = measured.psfcat
    return len(measured.sources) + (len(psf.table) if isinstance(psf, PsfCatalogueRecord) else 0)
