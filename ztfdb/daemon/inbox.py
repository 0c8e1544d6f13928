"""The jobs of the daemon: files that arrive in its folders, and whatever else waits in the archive's queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.daemon.watch import Watcher
from ztfdb.ingest.discover import FoundImage, image_of
from ztfdb.ingest.file_list import job_file
from ztfdb.ingest.report import ImageOutcome, Outcome, log_outcome
from ztfdb.store.ingest_queue import Job, claim_jobs, enqueue, find_stamps
from ztfdb.store.roots import Root, absolute_path, find_places, read_roots

logger = logging.getLogger(__name__)


class Inbox:
    """Every job whose file is on this host; see `ztfdb.ingest.loop.JobSource`.

    Parameters
    ----------
    sessions : sessionmaker
        Of the archive.
    watcher : Watcher, optional
        Without one the daemon only works on what others put into the queue.
    places : mapping of str to path
        Folders of this host by the name of their data root.
    on_outcome : callable, optional
        Called with every outcome after it was logged.
    """

    force = False
    may_claim = True

    def __init__(
        self,
        sessions: sessionmaker[Session],
        watcher: Watcher | None,
        places: Mapping[str, str] | None = None,
        on_outcome: Callable[[ImageOutcome], None] | None = None,
    ) -> None:
        self.places = places or {}
        self._sessions, self._watcher, self._on_outcome = sessions, watcher, on_outcome
        self._found: list[FoundImage] = []
        self._missing_roots: set[str] = set()
        self._failed: set[str] = set()
        self._reasons: dict[str, str] = {}

    @property
    def n_failed(self) -> int:
        """Images whose last outcome is a failure or a refused PSF catalogue, and paths that cannot be images."""
        return len(self._failed) + (0 if self._watcher is None else self._watcher.n_problem)

    @property
    def n_to_enqueue(self) -> int:
        """Files that wait to be put into the queue."""
        return len(self._found)

    @property
    def exhausted(self) -> bool:
        """True once everything that was there at the start has been put into the queue."""
        return (self._watcher is None or self._watcher.idle) and not self._found

    def discover(self) -> bool:
        """Look for files that are ready; the watcher shares out its time itself."""
        if self._watcher is not None:
            self._found += self._watcher.look(known=self._in_queue)
        return False

    def _in_queue(self, images: Sequence[FoundImage]) -> set[str]:
        """Return the paths of the images that the queue has as they are: `enqueue` would change nothing."""
        with self._sessions() as session:
            roots = read_roots(session, self.places)
            places = {
                image: (one.data_root_id, one.path) for image in images for one in find_places(roots, image.path)[:1]
            }
            stamps = find_stamps(session, places.values())
        return {image.path for image, place in places.items() if stamps.get(place) == image.stamp}

    def enqueue_found(self, session: Session, now: float) -> int:
        """Put what was found into the queue."""
        files = [(job_file(session, image, self.places), now + image.wait_s) for image in self._found]
        n = len(enqueue(session, files, now=now))
        if n:
            logger.info("new files", extra={"n_file": n})
        return n

    def enqueued(self) -> None:
        """Forget what is in the queue now."""
        for image in self._found:
            self._say_waits(image)
        self._found.clear()

    def claim(self, session: Session, owner: str, n: int, lease_s: float, now: float) -> list[Job]:
        """Take what waits longest of the data roots that are here."""
        roots = [root.data_root_id for root in self._roots(session)]
        return claim_jobs(session, roots, owner=owner, n=n, lease_s=lease_s, now=now)

    def files_of(self, session: Session, job: Job) -> FoundImage | None:
        """Return the image of a job with the mask that lies beside it now."""
        roots = {root.data_root_id: root for root in read_roots(session, self.places)}
        root = roots[job.file.data_root_id]
        # A lost image and a lost mount look the same: the first is the image's failure, the second nobody's.
        if not Path(root.path).is_dir():
            return None
        path = absolute_path(root.path, job.file.path)
        return image_of(path, root.path) or FoundImage(path, folder=root.path)

    def released(self, job: Job) -> None:
        """Leave it to whoever has it."""

    def finished(self, job: Job, outcome: ImageOutcome) -> None:
        """Log one outcome."""
        log_outcome(outcome)
        self._reasons.pop(outcome.path, None)
        if outcome.outcome is Outcome.FAILED or outcome.psfcat_reason:
            self._failed.add(outcome.path)
        else:
            self._failed.discard(outcome.path)
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    def _say_waits(self, image: FoundImage) -> None:
        """Log once for what a file waits; a file that grows is found often."""
        path, what = image.path, image.reason.partition(":")[0]
        if not what:
            self._reasons.pop(path, None)
        elif self._reasons.get(path) != what:
            self._reasons[path] = what
            logger.info("image waits", extra={"path": path, "reason": image.reason, "wait_s": round(image.wait_s)})

    def _roots(self, session: Session) -> list[Root]:
        """Return the data roots that are here; say so once when one goes or comes."""
        roots = read_roots(session, self.places)
        here = [root for root in roots if Path(root.path).is_dir()]
        missing = {f"{root.name} ({root.path})" for root in roots} - {f"{root.name} ({root.path})" for root in here}
        if missing - self._missing_roots:
            logger.warning("data roots are not here, their images wait", extra={"roots": sorted(missing)})
        self._missing_roots = missing
        return here
