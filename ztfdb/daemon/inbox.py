"""The daemon's work: what arrives in its folders, and whatever else waits in the archive's queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from ztfdb.daemon.watch import Watcher
from ztfdb.ingest.discover import Candidate, Sighting, image_of
from ztfdb.ingest.report import ImageOutcome, Outcome, log_outcome
from ztfdb.store.ingest_queue import Claim, JobFile, claim_jobs, enqueue
from ztfdb.store.roots import Root, absolute_path, place_file, read_roots

logger = logging.getLogger(__name__)


class Arrivals:
    """Every job whose file is on this host; see `ztfdb.ingest.loop.Work`.

    Parameters
    ----------
    watcher : Watcher, optional
        Without one the daemon only works on what others put into the queue.
    places : mapping of str to path
        Folders of this host by the name of their data root.
    heard : callable, optional
        Hears of every outcome after it was logged.
    """

    force = False
    claimable = True

    def __init__(
        self,
        watcher: Watcher | None,
        places: Mapping[str, str] | None = None,
        heard: Callable[[ImageOutcome], None] | None = None,
    ) -> None:
        self.places = places or {}
        self._watcher, self._heard = watcher, heard
        self._sighted: list[Sighting] = []
        self._missing_roots: set[str] = set()
        self._failed: set[str] = set()
        self._waits: dict[str, str] = {}

    @property
    def n_failed(self) -> int:
        """Images whose last outcome is a failure or a refused PSF catalogue, and paths that cannot be images."""
        return len(self._failed) + (0 if self._watcher is None else self._watcher.n_problem)

    @property
    def n_sighted(self) -> int:
        """Files that wait to be put into the queue."""
        return len(self._sighted)

    @property
    def over(self) -> bool:
        """True once everything that was there at the start has been put into the queue."""
        return (self._watcher is None or self._watcher.idle) and not self._sighted

    def look(self) -> bool:
        """Look for files that are ready; the watcher shares out its time itself."""
        if self._watcher is not None:
            self._sighted += self._watcher.look()
        return False

    def put_in(self, session: Session, now: float) -> int:
        """Put what was sighted into the queue."""
        files = [(self._job_file(session, one), now + one.wait_s) for one in self._sighted]
        n = len(enqueue(session, files, now=now))
        if n:
            logger.info("new files", extra={"n_file": n})
        return n

    def settled(self) -> None:
        """Forget what is in the queue now."""
        for one in self._sighted:
            self._say_waits(one)
        self._sighted.clear()

    def claim(self, session: Session, owner: str, n: int, lease_s: float, now: float) -> list[Claim]:
        """Take what waits longest of the data roots that are here."""
        roots = [root.data_root_id for root in self._roots(session)]
        return claim_jobs(session, roots, owner=owner, n=n, lease_s=lease_s, now=now)

    def candidate_of(self, session: Session, claim: Claim) -> Candidate | None:
        """Return the image of a job with the mask that lies beside it now."""
        roots = {root.data_root_id: root for root in read_roots(session, self.places)}
        root = roots[claim.file.data_root_id]
        # A lost image and a lost mount look the same: the first is the image's failure, the second nobody's.
        if not Path(root.path).is_dir():
            return None
        path = absolute_path(root.path, claim.file.path)
        return image_of(path, root.path) or Candidate(path, None, root.path)

    def lost(self, claim: Claim) -> None:
        """Leave it to whoever has it."""

    def end(self, claim: Claim, outcome: ImageOutcome) -> None:
        """Log one outcome."""
        log_outcome(outcome)
        self._waits.pop(outcome.path, None)
        if outcome.outcome is Outcome.FAILED or outcome.psfcat_reason:
            self._failed.add(outcome.path)
        else:
            self._failed.discard(outcome.path)
        if self._heard is not None:
            self._heard(outcome)

    def _say_waits(self, one: Sighting) -> None:
        """Log once for what a file waits; a file that grows is sighted often."""
        path, what = one.candidate.path, one.reason.partition(":")[0]
        if not what:
            self._waits.pop(path, None)
        elif self._waits.get(path) != what:
            self._waits[path] = what
            logger.info("image waits", extra={"path": path, "reason": one.reason, "wait_s": round(one.wait_s)})

    def _job_file(self, session: Session, one: Sighting) -> JobFile:
        place = place_file(session, one.candidate.path, places=self.places, given=one.candidate.given)
        facts = one.facts
        seen = (facts.size, facts.mtime_ns, facts.mask_size, facts.mask_mtime_ns)
        return JobFile(place.data_root_id, place.path, *seen, reason=one.reason or None)

    def _roots(self, session: Session) -> list[Root]:
        """Return the data roots that are here; say so once when one goes or comes."""
        roots = read_roots(session, self.places)
        here = [root for root in roots if Path(root.path).is_dir()]
        missing = {f"{root.name} ({root.path})" for root in roots} - {f"{root.name} ({root.path})" for root in here}
        if missing - self._missing_roots:
            logger.warning("data roots are not here, their images wait", extra={"roots": sorted(missing)})
        self._missing_roots = missing
        return here
