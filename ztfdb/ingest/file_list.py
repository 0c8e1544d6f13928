"""The jobs of `ztfdb ingest`: images of a list of files, put into the queue and claimed by whoever is free first."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Places
from ztfdb.codes import JobState
from ztfdb.errors import ImageReadError
from ztfdb.ingest.already_stored import find_stored, find_unchanged
from ztfdb.ingest.discover import FoundImage, look_at
from ztfdb.ingest.psf_catalogues import outcome_of_stored
from ztfdb.ingest.report import ImageOutcome, Outcome, refused
from ztfdb.store.image_files import Stored
from ztfdb.store.ingest_queue import Again, Job, JobFile, claim_these, enqueue, find_job_ids
from ztfdb.store.queue_reports import JobReport, find_jobs
from ztfdb.store.roots import place_file

LOOK_S = 0.05
"""How long one look at the files given may take: workers that end meanwhile wait so long."""

AT_ONCE = 500
"""Jobs asked for by one statement."""

ENDED = (JobState.DONE, JobState.FAILED, JobState.QUARANTINED)


class FileList:
    """The images of one call; see `ztfdb.ingest.loop.JobSource`.

    An image that is in the archive already ends here and is never put into the queue: nothing is written for it.
    The others are put in as they are met, so that daemons may help; what those have claimed is waited for. Options that
    other processes cannot see (``--force``, ``--mask``) require that a job is put in and claimed in one transaction.

    Parameters
    ----------
    sessions : sessionmaker
    images : iterable of FoundImage
    force : bool
        Measure also what has not changed.
    claim_at_once : bool
        Put in and claim in one transaction; `force` implies it.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    on_outcome : callable
        Called with every outcome, between transactions.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        images: Iterable[FoundImage],
        *,
        force: bool,
        claim_at_once: bool,
        places: Places,
        on_outcome: Callable[[ImageOutcome], None],
    ) -> None:
        self.force = force
        self._sessions, self._places, self._on_outcome = sessions, places, on_outcome
        self._again = Again.ALL if force else Again.UNLESS_LEASED
        self._claim_at_once = claim_at_once or force
        self._todo = deque(images)
        self._unknown: deque[FoundImage] = deque()
        self._found: list[FoundImage] = []
        self._to_claim: deque[FoundImage] = deque()
        self._waiting: dict[int, FoundImage] = {}
        self._claimed: dict[int, FoundImage] = {}
        self._claimed_by_others = False

    @property
    def n_to_enqueue(self) -> int:
        """Files that wait to be put into the queue."""
        return len(self._found)

    @property
    def exhausted(self) -> bool:
        """True once every image has an outcome."""
        return not (self._todo or self._unknown or self._found or self._to_claim or self._waiting or self._claimed)

    @property
    def may_claim(self) -> bool:
        """True while images are in the queue without an outcome, or are to be put in and taken."""
        return bool(self._waiting or self._to_claim)

    def discover(self) -> bool:
        """Look at the next files, and at the jobs that others have claimed."""
        end = time.perf_counter() + LOOK_S
        while (self._todo or self._unknown) and time.perf_counter() < end:
            if self._unknown:
                self._consider(self._unknown.popleft())
            else:
                self._end_unchanged([self._todo.popleft() for _ in range(min(AT_ONCE, len(self._todo)))])
        if self._claimed_by_others:
            self._collect_others()
        return bool(self._todo or self._unknown)

    def enqueue_found(self, session: Session, now: float) -> int:
        """Put what was found into the queue."""
        self._waiting |= self._enqueue(session, self._found, now)
        return len(self._found)

    def enqueued(self) -> None:
        """Forget what is in the queue now."""
        self._found.clear()

    def claim(self, session: Session, owner: str, n: int, lease_s: float, now: float) -> list[Job]:
        """Take the next images in the order given."""
        if self._to_claim:
            next_ones = [self._to_claim.popleft() for _ in range(min(n, len(self._to_claim)))]
            self._waiting = self._enqueue(session, next_ones, now) | self._waiting
        claimed: list[Job] = []
        for ids in (list(islice(self._waiting, n)), list(islice(self._waiting, AT_ONCE))):
            if ids and not claimed:
                claimed = claim_these(session, ids, owner=owner, n=n, lease_s=lease_s, now=now)
        self._claimed |= {job.job_id: self._waiting.pop(job.job_id) for job in claimed}
        self._claimed_by_others = not claimed and bool(self._waiting)
        return claimed

    def files_of(self, session: Session, job: Job) -> FoundImage | None:
        """Return the image as it was given."""
        return self._claimed[job.job_id]

    def released(self, job: Job) -> None:
        """Wait for whoever has it."""
        self._waiting[job.job_id] = self._claimed.pop(job.job_id)

    def finished(self, job: Job, outcome: ImageOutcome) -> None:
        """Pass on one outcome."""
        del self._claimed[job.job_id]
        self._on_outcome(outcome)

    def _end_unchanged(self, images: list[FoundImage]) -> None:
        """End what is stored from these very files, many by one statement; the others are considered one by one."""
        if self.force:
            self._unknown += images
            return
        started = time.perf_counter()
        looked = [look_at(image) for image in images]
        with self._sessions() as session:
            stored = find_unchanged(session, (one for one in looked if one is not None), places=self._places)
        share = (time.perf_counter() - started) / len(images)
        for image in images:
            image_id = stored.get(image.path)
            if image_id is None:
                self._unknown.append(image)
            else:
                self._end(image, (image_id, Stored.UNCHANGED), time.perf_counter() - share)

    def _end(self, image: FoundImage, known: tuple[int, Stored], started: float) -> None:
        outcome = outcome_of_stored(self._sessions, image, known, places=self._places, started=started)
        if outcome is not None:
            self._on_outcome(outcome)

    def _consider(self, found: FoundImage) -> None:
        started = time.perf_counter()
        image = look_at(found)
        if image is None:
            missing = found.path if found.mask is None or not Path(found.path).exists() else found.mask
            self._on_outcome(refused(found.path, ImageReadError(missing, "there is no such file"), 0.0))
            return
        known = None
        if not self.force:
            with self._sessions() as session:
                known = find_stored(session, image, places=self._places)
        if known is not None:
            self._end(image, known, started)
        elif self._claim_at_once:
            self._to_claim.append(image)
        else:
            self._found.append(image)

    def _enqueue(self, session: Session, images: Iterable[FoundImage], now: float) -> dict[int, FoundImage]:
        files = {job_file(session, image, self._places): image for image in images}
        jobs = enqueue(session, [(file, now) for file in files], now=now, again=self._again)
        places = {(file.data_root_id, file.path): image for file, image in files.items()}
        jobs |= find_job_ids(session, places.keys() - jobs.keys())
        return {jobs[place]: image for place, image in places.items()}

    def _collect_others(self) -> None:
        """End what others have ended, and let those that were not asked for yet have their turn."""
        ids = list(islice(self._waiting, AT_ONCE))
        with self._sessions() as session:
            ended = find_jobs(session, ENDED, job_ids=ids)
        for job in ended:
            self._on_outcome(_outcome_of(job, self._waiting.pop(job.job_id)))
        for job_id in ids:
            if job_id in self._waiting:
                self._waiting[job_id] = self._waiting.pop(job_id)


def job_file(session: Session, image: FoundImage, places: Places) -> JobFile:
    """Return an image that was looked at as the queue keeps it, making a data root where none holds it."""
    if image.stamp is None:
        raise ValueError(f"{image.path} was never looked at")
    place = place_file(session, image.path, places=places, given=image.folder)
    return JobFile(place.data_root_id, place.path, *image.stamp, reason=image.reason or None)


def _outcome_of(job: JobReport, image: FoundImage) -> ImageOutcome:
    """Return what a job came to in another process: what that stored is unchanged for us."""
    if job.state == JobState.DONE:
        return ImageOutcome(image.path, Outcome.UNCHANGED, job.image_id)
    retryable = job.state == JobState.FAILED
    return ImageOutcome(image.path, Outcome.FAILED, reason=job.reason or "", error=job.error or "", retryable=retryable)
