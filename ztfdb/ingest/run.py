"""`ingest_paths`: files, folders and globs into the archive, with a report that adds up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Places
from ztfdb.derive.silent import warn_of_silent
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.cluster_worker import WorkerStorage, url_for_workers
from ztfdb.ingest.dask_cluster import DaskCluster
from ztfdb.ingest.discover import discover
from ztfdb.ingest.executors import Executor, InProcess, Measure, WorkerProcesses
from ztfdb.ingest.file_list import FileList
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.report import (
    ImageOutcome,
    IngestProgress,
    IngestReport,
    IngestStep,
    Outcome,
    log_outcome,
    refused,
    report,
)
from ztfdb.ingest.worker_limits import MEMORY_MB, TIMEOUT_S, Limits
from ztfdb.store.engine import writing
from ztfdb.store.meta import check_settings, read_meta
from ztfdb.store.meta_rows import create_meta


def ingest_paths(
    sessions: sessionmaker[Session],
    paths: str | Path | Iterable[str | Path],
    *,
    jobs: int = 1,
    mask: str | Path | None = None,
    psfcat: str | Path | None = None,
    settings: ExtractionSettings | None = None,
    force: bool = False,
    progress: IngestProgress | None = None,
    places: Places = None,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    scheduler: str | None = None,
    completeness: bool = False,
) -> IngestReport:
    """Measure images and store them, one transaction each.

    Parameters
    ----------
    sessions : sessionmaker
        Of the archive.
    paths : str, Path or iterable of them
        Files, folders (searched below) and globs; see `ztfdb.ingest.discover.discover`.
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
    progress : IngestProgress, optional
        Called for every image.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root, where they differ from the archive's.
    timeout_s, memory_mb
        What one image may take in a worker process (``jobs`` > 1).
    scheduler : str, optional
        Address of a Dask scheduler (``tcp://host:8786``), whose workers measure, and where
        PostgreSQL is the archive also store; then `jobs` does not count.
    completeness : bool
        Put artificial stars into what is measured, too (`ztfdb.derive.completeness`): about three times the work.

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
    ClusterError
        If the Dask cluster does not answer, or cannot measure for this process.
    ValueError
        If `mask` or `psfcat` is given with more or less than one image, or `jobs` or a limit is not positive.
    """
    if jobs < 1 or timeout_s <= 0 or memory_mb <= 0:
        raise ValueError(f"jobs ({jobs}), timeout_s ({timeout_s}) and memory_mb ({memory_mb}) must be positive")
    frozen = frozen_settings(sessions, settings)
    found = discover(paths, mask=mask, psfcat=psfcat)
    run = _Run(len(found.images) + len(found.problems), progress)
    for problem in found.problems:
        run.end(refused(problem.path, problem, 0.0))
    source = FileList(
        sessions,
        found.images,
        force=force,
        claim_at_once=mask is not None or psfcat is not None,
        places=places,
        on_outcome=run.end,
    )
    operating = Operating(jobs=jobs, limits=Limits(timeout_s, memory_mb), patient=False, places=places or {})

    measure = measuring(completeness=completeness)

    def executor_of(operating: Operating) -> Executor:
        if scheduler is not None:
            storage = _worker_storage(sessions, scheduler, operating, force)
            return DaskCluster(scheduler, frozen, operating.limits, measure, storage)
        if operating.jobs == 1:
            return InProcess(frozen, measure)
        return WorkerProcesses(operating.jobs, frozen, operating.limits, measure)

    if not source.exhausted:
        Loop(sessions, source, operating, executor_of).run(lambda: False, once=True)
    written = (Outcome.STORED, Outcome.REPLACED)
    warn_of_silent(sessions, [one.image_id for one in run.outcomes if one.image_id and one.outcome in written])
    order = [image.path for image in found.images] + [problem.path for problem in found.problems]
    return report(run.outcomes, {path: k for k, path in enumerate(order)}, run.elapsed(), found.left_out)


def measuring(*, completeness: bool) -> Measure:
    """Return what is done with an image: it is measured, and where that is wanted judged by artificial stars."""
    if not completeness:
        return measure_image
    from ztfdb.simulate.inject import InjectionSettings
    from ztfdb.simulate.judge import measure_and_judge

    return partial(measure_and_judge, judging=InjectionSettings())


def _worker_storage(
    sessions: sessionmaker[Session], scheduler: str, operating: Operating, force: bool
) -> WorkerStorage | None:
    """Return how the workers of a cluster store, None where they cannot."""
    with sessions() as session:
        url = url_for_workers(session.get_bind().engine.url, scheduler)
    places = {name: str(folder) for name, folder in operating.places.items()}
    return None if url is None else WorkerStorage(url, operating.lease_s, force, places)


class _Run:
    """One ingest under way: the outcomes so far, and its progress."""

    def __init__(self, found: int, progress: IngestProgress | None) -> None:
        self._progress = progress
        self._found = found
        self._started = time.perf_counter()
        self.outcomes: list[ImageOutcome] = []
        self._tell(None)

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
            check_settings(read_meta(session)["settings"], wanted.to_dict())
    return ExtractionSettings.from_dict(facts["settings"])
