"""The work of `ztfdb ingest`: the images it was given, put into the queue and taken by whoever is free first."""

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
from ztfdb.ingest.already_stored import find_known
from ztfdb.ingest.discover import Candidate, Sighting, look_at
from ztfdb.ingest.moved import follow
from ztfdb.ingest.psf_catalogues import known_outcome
from ztfdb.ingest.report import ImageOutcome, Outcome, refused
from ztfdb.store.engine import writing
from ztfdb.store.images import Stored
from ztfdb.store.ingest_queue import Again, Claim, JobFile, JobReport, claim_these, enqueue, find_job_ids, find_jobs
from ztfdb.store.roots import place_file

LOOK_S = 0.05
"""How long one look at the files given may take: workers that end meanwhile wait so long."""

AT_ONCE = 500
"""Jobs asked for by one statement."""

ENDED = (JobState.DONE, JobState.FAILED, JobState.QUARANTINED)


class Given:
    """The images of one call; see `ztfdb.ingest.loop.Work`.

    An image that is in the archive already ends here and is never put into the queue: nothing is written for it.
    The others are put in as they are met, so that daemons may help; what they have taken is waited for. What nobody
    else can know (that an image is to be measured again, or its mask by hand) is put in and taken in one transaction.

    Parameters
    ----------
    sessions : sessionmaker
    candidates : iterable of Candidate
    force : bool
        Measure also what has not changed.
    alone : bool
        Put in and take in one transaction; `force` implies it.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    heard : callable
        Hears of every outcome, between transactions.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        candidates: Iterable[Candidate],
        *,
        force: bool,
        alone: bool,
        places: Places,
        heard: Callable[[ImageOutcome], None],
    ) -> None:
        self.force = force
        self._sessions, self._places, self._heard = sessions, places, heard
        self._again = Again.ALL if force else Again.UNLESS_LEASED
        self._alone = alone or force
        self._todo = deque(candidates)
        self._sighted: list[Sighting] = []
        self._to_take: deque[Sighting] = deque()
        self._waiting: dict[int, Candidate] = {}
        self._taken: dict[int, Candidate] = {}
        self._others_have_them = False

    @property
    def n_sighted(self) -> int:
        """Files that wait to be put into the queue."""
        return len(self._sighted)

    @property
    def over(self) -> bool:
        """True once every image has an outcome."""
        return not (self._todo or self._sighted or self._to_take or self._waiting or self._taken)

    @property
    def claimable(self) -> bool:
        """True while images are in the queue without an outcome, or are to be put in and taken."""
        return bool(self._waiting or self._to_take)

    def look(self) -> bool:
        """Look at the next files, and hear of the jobs that others have taken."""
        end = time.perf_counter() + LOOK_S
        while self._todo and time.perf_counter() < end:
            self._consider(self._todo.popleft())
        if self._others_have_them:
            self._hear_of_others()
        return bool(self._todo)

    def put_in(self, session: Session, now: float) -> int:
        """Put what was sighted into the queue."""
        self._waiting |= self._enqueue(session, self._sighted, now)
        return len(self._sighted)

    def settled(self) -> None:
        """Forget what is in the queue now."""
        self._sighted.clear()

    def claim(self, session: Session, owner: str, n: int, lease_s: float, now: float) -> list[Claim]:
        """Take the next images in the order given."""
        if self._to_take:
            next_ones = [self._to_take.popleft() for _ in range(min(n, len(self._to_take)))]
            self._waiting = self._enqueue(session, next_ones, now) | self._waiting
        taken: list[Claim] = []
        for ids in (list(islice(self._waiting, n)), list(islice(self._waiting, AT_ONCE))):
            if ids and not taken:
                taken = claim_these(session, ids, owner=owner, n=n, lease_s=lease_s, now=now)
        self._taken |= {claim.job_id: self._waiting.pop(claim.job_id) for claim in taken}
        self._others_have_them = not taken and bool(self._waiting)
        return taken

    def candidate_of(self, session: Session, claim: Claim) -> Candidate | None:
        """Return the image as it was given."""
        return self._taken[claim.job_id]

    def lost(self, claim: Claim) -> None:
        """Wait for whoever has it."""
        self._waiting[claim.job_id] = self._taken.pop(claim.job_id)

    def end(self, claim: Claim, outcome: ImageOutcome) -> None:
        """Pass on one outcome."""
        del self._taken[claim.job_id]
        self._heard(outcome)

    def _consider(self, candidate: Candidate) -> None:
        started = time.perf_counter()
        facts = look_at(candidate)
        if facts is None:
            missing = candidate.path if candidate.mask is None or not Path(candidate.path).exists() else candidate.mask
            self._heard(refused(candidate.path, ImageReadError(missing, "there is no such file"), 0.0))
            return
        known = None
        if not self.force:
            with self._sessions() as session:
                known = find_known(session, candidate, places=self._places)
        if known is not None:
            if known.how is Stored.MOVED:
                with writing(self._sessions) as session:
                    follow(session, known.image_id, candidate, places=self._places)
            self._heard(known_outcome(self._sessions, candidate, known, places=self._places, started=started))
        elif self._alone:
            self._to_take.append(Sighting(candidate, facts, 0.0))
        else:
            self._sighted.append(Sighting(candidate, facts, 0.0))

    def _enqueue(self, session: Session, sighted: Iterable[Sighting], now: float) -> dict[int, Candidate]:
        files: dict[JobFile, Candidate] = {}
        for one in sighted:
            place = place_file(session, one.candidate.path, places=self._places, given=one.candidate.given)
            facts = (one.facts.size, one.facts.mtime_ns, one.facts.mask_size, one.facts.mask_mtime_ns)
            files[JobFile(place.data_root_id, place.path, *facts)] = one.candidate
        jobs = enqueue(session, [(file, now) for file in files], now=now, again=self._again)
        places = {(file.data_root_id, file.path): candidate for file, candidate in files.items()}
        jobs |= find_job_ids(session, places.keys() - jobs.keys())
        return {jobs[place]: candidate for place, candidate in places.items()}

    def _hear_of_others(self) -> None:
        """End what others have ended, and let those that were not asked for yet have their turn."""
        ids = list(islice(self._waiting, AT_ONCE))
        with self._sessions() as session:
            ended = find_jobs(session, ENDED, job_ids=ids)
        for job in ended:
            self._heard(_outcome_of(job, self._waiting.pop(job.job_id)))
        for job_id in ids:
            if job_id in self._waiting:
                self._waiting[job_id] = self._waiting.pop(job_id)


def _outcome_of(job: JobReport, candidate: Candidate) -> ImageOutcome:
    """Return what a job came to in another process: what that stored is unchanged for us."""
    if job.state == JobState.DONE:
        return ImageOutcome(candidate.path, Outcome.UNCHANGED, job.image_id)
    retryable = job.state == JobState.FAILED
    return ImageOutcome(
        candidate.path, Outcome.FAILED, reason=job.reason or "", error=job.error or "", retryable=retryable
    )
