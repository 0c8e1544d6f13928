"""`ingest_paths`: files, folders and globs into the archive, with a report that adds up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import DatabaseUnavailableError, StoreError, ZtfdbError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.commit import commit_image
from ztfdb.ingest.discover import Candidate, discover
from ztfdb.ingest.known import Known, find_known
from ztfdb.ingest.psfcat import psf_part, take_late
from ztfdb.ingest.report import ImageOutcome, IngestReport, IngestStep, Outcome, Progress, log_outcome, refused, report
from ztfdb.ingest.workers import MEMORY_MB, TIMEOUT_S, Limits, Measured, measure_all
from ztfdb.store.engine import writing
from ztfdb.store.images import Stored
from ztfdb.store.meta import check_settings, create_meta, read_meta


def ingest_paths(
    sessions: sessionmaker[Session],
    paths: str | Path | Iterable[str | Path],
    *,
    jobs: int = 1,
    mask: str | Path | None = None,
    psfcat: str | Path | None = None,
    settings: ExtractionSettings | None = None,
    force: bool = False,
    progress: Progress | None = None,
    places: Mapping[str, str | Path] | None = None,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
) -> IngestReport:
    """Measure images and store them, one transaction each.

    Parameters
    ----------
    sessions : sessionmaker
        Of the archive.
    paths : str, Path or iterable of them
        Files, folders (searched below) and globs; see `ztfdb.ingest.discover`.
    jobs : int
        Processes that measure; 1 measures in this one.
    mask : str or Path, optional
        The mask of the one image given, where it does not lie beside it.
    psfcat : str or Path, optional
        ZTF's PSF catalogue of the one image given, likewise.
    settings : ExtractionSettings, optional
        Must be those the archive was made with; by default they are.
    force : bool
        Measure again what has not changed.
    progress : Progress, optional
        Hears of every image.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root, where they differ from the archive's.
    timeout_s, memory_mb
        What one image may take in a worker process (``jobs`` > 1).

    Returns
    -------
    IngestReport
        A file that is damaged, refused or missing is an outcome with its reason and never stops the rest.

    Raises
    ------
    SettingsMismatchError
        If the settings are not the archive's.
    DatabaseUnavailableError
        If the database goes away; what was stored before is stored whole.
    ValueError
        If `mask` or `psfcat` is given with more or less than one image, or `jobs` or a limit is not positive.
    """
    if jobs < 1 or timeout_s <= 0 or memory_mb <= 0:
        raise ValueError(f"jobs ({jobs}), timeout_s ({timeout_s}) and memory_mb ({memory_mb}) must be positive")
    frozen = frozen_settings(sessions, settings)
    found = discover(paths, mask=mask, psfcat=psfcat)
    run = _Run(
        sessions, force=force, places=places, progress=progress, found=len(found.candidates) + len(found.problems)
    )
    for problem in found.problems:
        run.end(refused(problem.path, problem, 0.0))
    limits = Limits(timeout_s, memory_mb)
    with closing(measure_all(run.unknown(found.candidates), frozen, jobs=jobs, limits=limits)) as measured:
        for one in measured:
            run.end(run.store(one))
    order = [candidate.path for candidate in found.candidates] + [problem.path for problem in found.problems]
    return report(run.outcomes, {path: k for k, path in enumerate(order)}, run.elapsed())


class _Run:
    """One ingest under way: what it works with, and the outcomes so far."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        *,
        force: bool,
        places: Mapping[str, str | Path] | None,
        progress: Progress | None,
        found: int,
    ) -> None:
        self._sessions = sessions
        self._force = force
        self._places = places
        self._progress = progress
        self._found = found
        self._started = time.perf_counter()
        self.outcomes: list[ImageOutcome] = []
        self._tell(None)

    def unknown(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Yield the candidates that must be measured; the others end here."""
        for candidate in candidates:
            started = time.perf_counter()
            known = None
            if not self._force:
                with self._sessions() as session:
                    known = find_known(session, candidate, places=self._places)
            if known is None:
                yield candidate
            else:
                self.end(self._known(candidate, known, started))

    def _known(self, candidate: Candidate, known: Known, started: float) -> ImageOutcome:
        """Return the outcome of an image that is held, after taking its PSF catalogue if that is new."""
        n_psf, reason = None, ""
        if candidate.psfcat is not None and known.how is Stored.UNCHANGED:
            n_psf, reason = take_late(
                self._sessions, known.image_id, candidate.psfcat, given=candidate.given, places=self._places
            )
        seconds = time.perf_counter() - started
        how = Outcome(known.how.value)
        return ImageOutcome(candidate.path, how, known.image_id, seconds=seconds, n_psf=n_psf, psfcat_reason=reason)

    def store(self, one: Measured) -> ImageOutcome:
        """Store what was measured and say what it came to."""
        path = one.candidate.path
        if isinstance(one.result, ZtfdbError):
            return refused(path, one.result, one.seconds)
        started = time.perf_counter()
        try:
            stored = commit_image(
                self._sessions, one.result, places=self._places, given=one.candidate.given, force=self._force
            )
        except DatabaseUnavailableError:
            raise
        except StoreError as exc:
            return refused(path, exc, one.seconds)
        seconds = one.seconds + time.perf_counter() - started
        image_id = one.result.info.image_id
        outcome = Outcome(stored.value)
        written = outcome in (Outcome.STORED, Outcome.REPLACED)
        n_source = len(one.result.sources) if written else None
        n_psf, reason = psf_part(one.result, written=written)
        return ImageOutcome(path, outcome, image_id, n_source, seconds, n_psf=n_psf, psfcat_reason=reason)

    def end(self, outcome: ImageOutcome) -> None:
        """Keep, log and tell one outcome."""
        self.outcomes.append(outcome)
        log_outcome(outcome)
        self._tell(outcome)

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def _tell(self, outcome: ImageOutcome | None) -> None:
        if self._progress is not None:
            self._progress(IngestStep(len(self.outcomes), self._found, outcome))


def frozen_settings(sessions: sessionmaker[Session], wanted: ExtractionSettings | None) -> ExtractionSettings:
    """Return the archive's settings; one that was never written to takes those it is first used with.

    Raises
    ------
    SettingsMismatchError
        If `wanted` are others.
    """
    with sessions() as session:
        facts = read_meta(session)
    if not facts:
        with writing(sessions) as session:
            facts = create_meta(session, (wanted or ExtractionSettings()).to_dict())
    if wanted is not None:
        with sessions() as session:
            check_settings(session, wanted.to_dict())
    return ExtractionSettings.from_dict(facts["settings"])
