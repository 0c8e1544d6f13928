"""The loop: watch, claim, measure, store, mark; what happens to one image never stops the others.

Jobs are claimed a little ahead, so that a worker that has ended one image begins the next before the first is stored.
This process alone beats for all of them: a worker in the middle of an image cannot. Whatever ends the process, its
leases end too; nothing of an image is in the archive unless its job is marked as done, in one transaction.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.daemon.owner import is_dead, own_name
from ztfdb.daemon.watch import Sighting, Watcher, look_at
from ztfdb.errors import (
    DatabaseUnavailableError,
    FileMissingError,
    LeaseLostError,
    StoreError,
    ZtfdbError,
)
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.commit import Lease, commit_image
from ztfdb.ingest.discover import Candidate, image_of
from ztfdb.ingest.known import Known, find_known
from ztfdb.ingest.psfcat import psf_part, take_late
from ztfdb.ingest.report import ImageOutcome, Outcome, log_outcome, refused
from ztfdb.ingest.workers import Crew, Limits, Measure, Measured
from ztfdb.store.engine import writing
from ztfdb.store.images import Stored
from ztfdb.store.queue import (
    Claim,
    JobFile,
    beat,
    claim_jobs,
    enqueue,
    fail,
    find_owners,
    finish,
    put_back,
    read_clock,
    take_back,
)
from ztfdb.store.roots import Root, absolute_path, place_file, read_roots

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operating:
    """How the daemon runs; none of it changes what is measured.

    Attributes
    ----------
    jobs : int
        Worker processes.
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
    patience_s : float
        How long an unreachable database may keep a daemon that was asked to leave.
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
    patience_s: float = 30.0
    places: Mapping[str, str] = field(default_factory=dict)

    def retry_delay(self, failures: int) -> float:
        """Return how long to wait after so many failures, seconds."""
        return min(self.retry_s * 4.0 ** (failures - 1), self.longest_retry_s)


@dataclass(frozen=True)
class _Done:
    """A measurement that waits to be stored."""

    claim: Claim
    measured: Measured


LONGEST_BACK_OFF_S = 60.0


class Loop:
    """One daemon's work.

    Parameters
    ----------
    sessions : sessionmaker
        Of the archive.
    settings : ExtractionSettings
        The archive's own.
    operating : Operating
    watcher : Watcher, optional
        Without one the daemon only works on what others put into the queue.
    measure : callable
        See `ztfdb.ingest.workers.measure_all`.
    clock, sleep : callable
        Seconds since 1970, and waiting for some.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        settings: ExtractionSettings,
        operating: Operating,
        *,
        watcher: Watcher | None = None,
        measure: Measure = measure_image,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sessions, self._settings, self._operating = sessions, settings, operating
        self._watcher, self._measure = watcher, measure
        self._clock, self._sleep = clock, sleep
        self._owner = own_name()
        self._crew = Crew(operating.jobs, settings, operating.limits, measure)
        self._sighted: list[Sighting] = []
        self._ready: deque[Claim] = deque()
        self._measuring: dict[str, Claim] = {}
        self._unstored: deque[_Done] = deque()
        self._last_beat = float("-inf")
        self._missing_roots: set[str] = set()
        self._nothing_due = False
        self._changed: Operating | None = None

    def run(self, stop: Callable[[], bool], *, once: bool = False, tick: Callable[[], None] | None = None) -> None:
        """Work until `stop` says so, then finish what is in hand.

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
        StoreError
            If the archive refuses the queue itself.
        """
        try:
            self._insist(self._take_back, stop)
            while not stop() and not (once and self._all_done()):
                self._insist(self._turn, stop)
                if tick is not None:
                    tick()
            self._leave()
        except BaseException:
            self._crew.stop(kill=True)
            raise
        self._crew.stop(kill=False)

    def change(self, operating: Operating) -> None:
        """Run on with other operating settings, as soon as the workers have ended the images in hand."""
        self._changed = operating

    def _change(self) -> None:
        if self._changed is not None and not self._measuring:
            self._crew.stop(kill=False)
            self._operating, self._changed = self._changed, None
            self._crew = Crew(self._operating.jobs, self._settings, self._operating.limits, self._measure)

    def _insist(self, step: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Do a step; where the database cannot be reached or written, wait longer and longer and do it again."""
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
        if self._watcher is not None:
            self._sighted += self._watcher.look()
        self._put_in()
        self._occupy()
        if self._measuring:
            self._collect(self._operating.idle_s)
            self._occupy()
            self._store_all()
        elif self._nothing_due:
            self._sleep(self._operating.idle_s)

    def _all_done(self) -> bool:
        watched = self._watcher is None or self._watcher.idle
        return watched and self._nothing_due and not (self._sighted or self._measuring or self._unstored)

    def _leave(self) -> None:
        """Put back what was not begun, and store what was."""
        logger.info("leaving", extra={"in_hand": len(self._measuring) + len(self._unstored)})
        deadline = self._clock() + self._operating.patience_s
        while self._ready or self._measuring or self._unstored:
            try:
                while self._ready:
                    self._put_back(self._ready[0], 0.0)
                    self._ready.popleft()
                self._beat()
                self._collect(self._operating.idle_s)
                self._store_all()
                deadline = self._clock() + self._operating.patience_s
            except DatabaseUnavailableError as exc:
                if self._clock() > deadline:
                    # the leases end by themselves, and others measure these images again
                    logger.warning("left without the database", extra={"reason": str(exc)})
                    return
                self._sleep(self._operating.idle_s)

    def _now(self, session: Session) -> float:
        return read_clock(session, self._clock)

    def _take_back(self) -> None:
        """Return the jobs of processes of this host that were killed."""
        with writing(self._sessions) as session:
            dead = [owner for owner in find_owners(session) if is_dead(owner)]
            n = take_back(session, dead, now=self._now(session))
        if n:
            logger.warning("took back the jobs of dead processes", extra={"n_job": n})

    def _beat(self) -> None:
        if self._clock() < self._last_beat + self._operating.lease_s / 4:
            return
        if self._ready or self._measuring or self._unstored:
            with writing(self._sessions) as session:
                own = beat(session, self._owner, lease_s=self._operating.lease_s, now=self._now(session))
            self._ready = deque(claim for claim in self._ready if claim.token in own)
        self._last_beat = self._clock()

    def _put_in(self) -> None:
        """Put what the watcher has seen into the queue."""
        if not self._sighted:
            return
        with writing(self._sessions) as session:
            now = self._now(session)
            files = [(self._job_file(session, one), now + one.wait_s) for one in self._sighted]
            n = enqueue(session, files, now=now)
        if n:
            logger.info("new files", extra={"n_file": n})
            self._nothing_due = False
        self._sighted.clear()

    def _job_file(self, session: Session, one: Sighting) -> JobFile:
        places = self._operating.places
        place = place_file(session, one.candidate.path, places=places, given=one.candidate.given)
        facts = one.facts
        return JobFile(place.data_root_id, place.path, facts.size, facts.mtime_ns, facts.mask_size, facts.mask_mtime_ns)

    def _occupy(self) -> None:
        """Give every free worker an image."""
        while self._crew.n_free > 0 and self._changed is None:
            if not self._ready:
                self._claim()
                if not self._ready:
                    return
            self._begin(self._ready[0])
            self._ready.popleft()

    def _claim(self) -> None:
        wanted = 2 * self._operating.jobs
        with writing(self._sessions) as session:
            roots = {root.data_root_id: root for root in self._roots(session)}
            taken = claim_jobs(
                session,
                list(roots),
                owner=self._owner,
                n=wanted,
                lease_s=self._operating.lease_s,
                now=self._now(session),
            )
        self._ready += taken
        self._nothing_due = not taken

    def _roots(self, session: Session) -> list[Root]:
        """Return the data roots that are here; say so once when one goes or comes."""
        roots = read_roots(session, self._operating.places)
        here = [root for root in roots if Path(root.path).is_dir()]
        missing = {f"{root.name} ({root.path})" for root in roots} - {f"{root.name} ({root.path})" for root in here}
        if missing - self._missing_roots:
            logger.warning("data roots are not here, their images wait", extra={"roots": sorted(missing)})
        self._missing_roots = missing
        return here

    def _begin(self, claim: Claim) -> None:
        """Give an image to a worker, or end its job at once where there is nothing to measure."""
        with self._sessions() as session:
            root = {one.data_root_id: one for one in read_roots(session, self._operating.places)}[
                claim.file.data_root_id
            ]
            path = absolute_path(root.path, claim.file.path)
            # A lost image and a lost mount look the same: the first is the image's failure, the second nobody's.
            candidate = image_of(path, root.path) or Candidate(path, None, root.path)
            known = find_known(session, candidate, places=self._operating.places)
        if path in self._measuring or not Path(root.path).is_dir():
            self._put_back(claim, self._operating.retry_s)
            return
        if look_at(candidate) is None:
            self._fail(claim, FileMissingError(path, "the file is gone"), 0.0, path)
            return
        if known is None:
            self._crew.begin(candidate)
            self._measuring[path] = claim
            return
        with writing(self._sessions) as session:
            kept = finish(session, claim, outcome=known.how.value, image_id=known.image_id, now=self._now(session))
        if kept:
            log_outcome(self._known(candidate, known))

    def _known(self, candidate: Candidate, known: Known) -> ImageOutcome:
        """Return the outcome of an image that is held, after taking its PSF catalogue if that is new."""
        n_psf, reason = None, ""
        if candidate.psfcat is not None and known.how is Stored.UNCHANGED:
            places = self._operating.places
            n_psf, reason = take_late(
                self._sessions, known.image_id, candidate.psfcat, given=candidate.given, places=places
            )
        how = Outcome(known.how.value)
        return ImageOutcome(candidate.path, how, known.image_id, n_psf=n_psf, psfcat_reason=reason)

    def _put_back(self, claim: Claim, wait_s: float) -> None:
        with writing(self._sessions) as session:
            put_back(session, claim, due=self._now(session) + wait_s)

    def _collect(self, timeout_s: float) -> None:
        for one in self._crew.collect(timeout_s):
            self._unstored.append(_Done(self._measuring.pop(one.candidate.path), one))

    def _store_all(self) -> None:
        while self._unstored:
            self._store(self._unstored[0])
            self._unstored.popleft()

    def _store(self, done: _Done) -> None:
        one, path = done.measured, done.measured.candidate.path
        if isinstance(one.result, ZtfdbError):
            self._fail(done.claim, one.result, one.seconds, path)
            return
        started = time.perf_counter()
        lease = Lease(done.claim, self._operating.lease_s, self._clock)
        try:
            stored = commit_image(
                self._sessions, one.result, places=self._operating.places, given=one.candidate.given, lease=lease
            )
        except DatabaseUnavailableError:
            raise
        except LeaseLostError as exc:
            logger.warning("measured in vain", extra={"path": path, "reason": str(exc)})
            return
        except StoreError as exc:
            self._fail(done.claim, exc, one.seconds, path)
            return
        seconds = one.seconds + time.perf_counter() - started
        written = stored.value in (Outcome.STORED.value, Outcome.REPLACED.value)
        n_source = len(one.result.sources) if written else None
        n_psf, reason = psf_part(one.result, written=written)
        how, image_id = Outcome(stored.value), one.result.info.image_id
        log_outcome(ImageOutcome(path, how, image_id, n_source, seconds, n_psf=n_psf, psfcat_reason=reason))

    def _fail(self, claim: Claim, exc: ZtfdbError, seconds: float, path: str) -> None:
        failures = claim.attempts + 1
        again = exc.retryable and failures < self._operating.attempts
        outcome = refused(path, exc, seconds)
        with writing(self._sessions) as session:
            now = self._now(session)
            ours = fail(
                session,
                claim,
                error=outcome.error,
                reason=outcome.reason,
                detail="".join(traceback.format_exception(exc)),
                retry_at=now + self._operating.retry_delay(failures) if again else None,
                now=now,
            )
        if ours:
            log_outcome(outcome)
