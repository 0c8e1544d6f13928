"""Measuring images in this process, or in worker processes that cannot take each other down.

Every worker is an executor of its own with one process (loky: the caller's main module is not imported again, nothing
is forked after libpq). So a worker that dies or is stopped costs its own image one attempt, and the others never
notice. A worker imports the pixel half only; results come back as picklable records, and the parent stores them.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Protocol

import loky

from ztfdb.bits import Caveat
from ztfdb.derive.pool import new_executor
from ztfdb.errors import ExtractionError, MeasurementTimeout, WorkerDied, ZtfdbError
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.discover import Candidate
from ztfdb.ingest.worker_limits import Limits
from ztfdb.records import MeasuredImage
from ztfdb.store.ingest_queue import Claim
from ztfdb.texts import one_line

Measure = Callable[..., MeasuredImage]

ATTEMPTS = 2
"""How often an image is tried whose worker dies: it may have been stopped for another reason, but not twice."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredThere:
    """What became of an image that a worker has stored itself.

    Attributes
    ----------
    image_id : int
    how : str
        A value of `ztfdb.store.images.Stored`.
    n_source, n_psf : int or None
        Rows written.
    psfcat_reason : str
        Why its PSF catalogue was refused.
    caveats : Caveat
        What it lacks.
    """

    image_id: int
    how: str
    n_source: int | None
    n_psf: int | None
    psfcat_reason: str
    caveats: Caveat


@dataclass(frozen=True)
class Measured:
    """The end of one measurement: a record, what a worker has stored, or an error; and the seconds of all attempts."""

    candidate: Candidate
    result: MeasuredImage | StoredThere | ZtfdbError
    seconds: float


@dataclass(frozen=True)
class _Attempt:
    candidate: Candidate
    number: int
    started: float


def psfcat_option(candidate: Candidate) -> dict[str, str]:
    """Return what a measurement is told of the image's PSF catalogue, where there is one."""
    return {} if candidate.psfcat is None else {"psfcat_path": candidate.psfcat}


def failed(candidate: Candidate, exc: Exception, seconds: float, memory_mb: int | None = None) -> Measured:
    """Turn whatever a measurement raised into the outcome of its image."""
    if isinstance(exc, ZtfdbError):
        return Measured(candidate, exc, seconds)
    if isinstance(exc, MemoryError):
        limit = "" if memory_mb is None else f" of {memory_mb} MB"
        error = ExtractionError(candidate.path, f"the memory{limit} did not suffice to measure this image")
    else:
        # Not one of ours: a mistake in ztfdb or in a library, which must cost one image and be told in full.
        logger.warning("unexpected error in a measurement", extra={"path": candidate.path}, exc_info=exc)
        error = ExtractionError(candidate.path, f"unexpected {type(exc).__name__}: {one_line(exc)}")
    error.__cause__ = exc
    return Measured(candidate, error, seconds)


class Crew(Protocol):
    """Whoever measures: takes images while somebody is free, and hands over what has ended.

    Attributes
    ----------
    beside : bool
        It measures on processors of this host, which storing needs, too.
    """

    beside: bool

    @property
    def size(self) -> int:
        """Images that may be in hand at once."""

    @property
    def n_free(self) -> int:
        """Images that may be begun now."""

    def begin(self, candidate: Candidate, claim: Claim | None = None) -> None:
        """Give an image to somebody who is free; with its job, whoever stores it does so under that."""

    def collect(self, timeout_s: float) -> list[Measured]:
        """Return what has ended, after waiting at most `timeout_s`; nothing that happens to an image raises."""

    def stop(self, *, kill: bool) -> None:
        """End at once, or after what is in hand."""


class Here:
    """Measures in this process, one image at a time, when asked for what has ended; without limits.

    Parameters
    ----------
    settings : ExtractionSettings
    measure : callable
        See `Workers`.
    """

    size = 1
    beside = True

    def __init__(self, settings: ExtractionSettings, measure: Measure = measure_image) -> None:
        self._settings, self._measure = settings, measure
        self._begun: Candidate | None = None

    @property
    def n_free(self) -> int:
        """One, unless an image waits to be measured."""
        return 1 if self._begun is None else 0

    def begin(self, candidate: Candidate, claim: Claim | None = None) -> None:
        """Keep the image for `collect`."""
        self._begun = candidate

    def collect(self, timeout_s: float) -> list[Measured]:
        """Measure the image that was begun."""
        if self._begun is None:
            return []
        candidate, self._begun = self._begun, None
        started = time.perf_counter()
        try:
            result = self._measure(
                candidate.path, candidate.mask, self._settings, find_mask=False, **psfcat_option(candidate)
            )
        except Exception as exc:
            return [failed(candidate, exc, time.perf_counter() - started)]
        return [Measured(candidate, result, time.perf_counter() - started)]

    def stop(self, *, kill: bool) -> None:
        """Do nothing."""


class Workers:
    """Worker processes, what each is measuring, and what is to be tried again.

    Parameters
    ----------
    jobs : int
        Processes; each is started when it is first needed.
    settings : ExtractionSettings
    limits : Limits
        For one image.
    measure : callable
        ``measure(path, mask, settings, find_mask=False)``, importable by name; with ``psfcat_path`` where the image has
        a PSF catalogue.
    """

    beside = True

    def __init__(
        self, jobs: int, settings: ExtractionSettings, limits: Limits, measure: Measure = measure_image
    ) -> None:
        self._workers = [_Worker(settings, limits, measure) for _ in range(jobs)]
        self._limits = limits
        self._again: deque[_Attempt] = deque()

    @property
    def size(self) -> int:
        """Images that may be in hand at once."""
        return len(self._workers)

    @property
    def n_free(self) -> int:
        """Workers that have nothing to do and nothing to try again."""
        return sum(worker.attempt is None for worker in self._workers) - len(self._again)

    def begin(self, candidate: Candidate, claim: Claim | None = None) -> None:
        """Give an image to a free worker."""
        free = next(worker for worker in self._workers if worker.attempt is None)
        free.start(_Attempt(candidate, 1, time.perf_counter()))

    def collect(self, timeout_s: float) -> list[Measured]:
        """Return what has ended, after waiting at most `timeout_s` for something to end."""
        for worker in self._workers:
            if worker.attempt is None and self._again:
                worker.start(self._again.popleft())
        busy = [worker for worker in self._workers if worker.attempt is not None]
        if busy:
            self._wait(busy, timeout_s)
        return [ended for worker in busy if (ended := self._collect(worker)) is not None]

    def stop(self, *, kill: bool) -> None:
        """End the worker processes, at once or after what they are doing."""
        for worker in self._workers:
            worker.stop(kill=kill)

    def _wait(self, busy: list[_Worker], timeout_s: float) -> None:
        patience = min(timeout_s, min(worker.deadline for worker in busy) - time.perf_counter())
        futures = [worker.future for worker in busy if worker.future is not None]
        loky.wait(futures, timeout=max(patience, 0.0), return_when=FIRST_COMPLETED)

    def _collect(self, worker: _Worker) -> Measured | None:
        """Return what the worker's image came to; None while it is not done, or when it is tried again."""
        attempt, future = worker.attempt, worker.future
        assert attempt is not None
        assert future is not None
        seconds = time.perf_counter() - attempt.started
        if not future.done():
            if time.perf_counter() < worker.deadline:
                return None
            worker.stop(kill=True)
            late = MeasurementTimeout(attempt.candidate.path, f"stopped after {self._limits.timeout_s:g} s")
            return failed(attempt.candidate, late, seconds)
        worker.attempt = None
        try:
            return Measured(attempt.candidate, future.result(), seconds)
        except BrokenProcessPool:
            worker.stop(kill=True)
            if attempt.number < ATTEMPTS:
                self._again.append(replace(attempt, number=attempt.number + 1))
                return None
            died = WorkerDied(
                attempt.candidate.path, f"the worker process ended while it measured this, {ATTEMPTS} times"
            )
            return failed(attempt.candidate, died, seconds)
        except Exception as exc:
            return failed(attempt.candidate, exc, seconds, self._limits.memory_mb)


class _Worker:
    """One executor with one process, made when it is first needed and again after it was stopped."""

    def __init__(self, settings: ExtractionSettings, limits: Limits, measure: Measure) -> None:
        self._settings = settings
        self._limits = limits
        self._measure = measure
        self._executor: loky.ProcessPoolExecutor | None = None
        self.attempt: _Attempt | None = None
        self.future: Future[MeasuredImage] | None = None
        self.deadline = 0.0

    def start(self, attempt: _Attempt) -> None:
        """Begin to measure."""
        try:
            self.future = self._submit(attempt.candidate)
        except BrokenProcessPool:  # somebody ended the process while it had nothing to do
            self.stop(kill=True)
            self.future = self._submit(attempt.candidate)
        self.attempt = attempt
        self.deadline = time.perf_counter() + self._limits.timeout_s

    def _submit(self, candidate: Candidate) -> Future[MeasuredImage]:
        if self._executor is None:
            self._executor = new_executor(1, self._limits.memory_mb)
        future: Future[MeasuredImage] = self._executor.submit(
            self._measure, candidate.path, candidate.mask, self._settings, find_mask=False, **psfcat_option(candidate)
        )
        return future

    def stop(self, *, kill: bool) -> None:
        """End the process, and forget what it was doing."""
        self.attempt, self.future = None, None
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=kill)
            self._executor = None
