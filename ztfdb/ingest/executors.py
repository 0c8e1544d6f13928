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
from typing import Any, Protocol

import loky

from ztfdb.derive.pool import new_executor
from ztfdb.errors import ExtractionError, MeasurementTimeout, WorkerDied, ZtfdbError
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.discover import FoundImage
from ztfdb.ingest.report import ImageOutcome
from ztfdb.ingest.worker_limits import Limits
from ztfdb.records import MeasuredImage
from ztfdb.store.ingest_queue import Job
from ztfdb.texts import one_line

Measure = Callable[..., MeasuredImage]

ATTEMPTS = 2
"""Attempts per image when its worker dies. One death may be unrelated to the image; two in a row are not."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement:
    """One image with an executor, from its beginning to its end.

    Attributes
    ----------
    image : FoundImage
    started : float
        By `time.perf_counter`.
    attempt : int
        1 for the first; see `ATTEMPTS`.
    result : MeasuredImage, ImageOutcome, ZtfdbError or None
        A record, what a worker has stored itself, or an error; None while it is being measured.
    seconds : float
        Of all attempts.
    """

    image: FoundImage
    started: float
    attempt: int = 1
    result: MeasuredImage | ImageOutcome | ZtfdbError | None = None
    seconds: float = 0.0

    def ended(self, result: MeasuredImage | ImageOutcome | ZtfdbError) -> Measurement:
        """Return it with its result, now."""
        return replace(self, result=result, seconds=time.perf_counter() - self.started)

    def failed(self, exc: Exception, memory_mb: int | None = None) -> Measurement:
        """Return it with whatever the measurement raised as the error of its image."""
        if isinstance(exc, ZtfdbError):
            return self.ended(exc)
        path = self.image.path
        if isinstance(exc, MemoryError):
            limit = "" if memory_mb is None else f" of {memory_mb} MB"
            error = ExtractionError(path, f"the memory{limit} did not suffice to measure this image")
        else:
            # Not one of ours: a mistake in ztfdb or in a library, which must cost one image and be shown in full.
            logger.warning("unexpected error in a measurement", extra={"path": path}, exc_info=exc)
            error = ExtractionError(path, f"unexpected {type(exc).__name__}: {one_line(exc)}")
        error.__cause__ = exc
        return self.ended(error)


def begun(image: FoundImage) -> Measurement:
    """Return a measurement that begins now."""
    return Measurement(image, time.perf_counter())


def measure_arguments(image: FoundImage, settings: ExtractionSettings) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a `Measure` is called with for an image."""
    psfcat = {} if image.psfcat is None else {"psfcat_path": image.psfcat}
    return (image.path, image.mask, settings), {"find_mask": False, **psfcat}


def run_measure(measure: Measure, image: FoundImage, settings: ExtractionSettings) -> MeasuredImage:
    """Measure an image in this process."""
    words, options = measure_arguments(image, settings)
    return measure(*words, **options)


class Executor(Protocol):
    """Measures images: takes them while workers are free, and returns what has ended.

    Attributes
    ----------
    on_this_host : bool
        It measures on processors of this host, which storing needs, too.
    in_this_process : bool
        It measures in this process, which stores nothing meanwhile.
    """

    on_this_host: bool
    in_this_process: bool

    @property
    def size(self) -> int:
        """Images that may be measured at once."""

    @property
    def n_free(self) -> int:
        """Images that may be begun now."""

    def begin(self, image: FoundImage, job: Job | None = None) -> None:
        """Begin to measure an image; a worker that stores it itself does so under the lease of its job."""

    def collect(self, timeout_s: float) -> list[Measurement]:
        """Return what has ended, after waiting at most `timeout_s`; nothing that happens to an image raises."""

    def stop(self, *, kill: bool) -> None:
        """End at once, or after the images that are being measured."""


class InProcess:
    """Measures in this process, one image at a time, when `collect` is called; without limits.

    Parameters
    ----------
    settings : ExtractionSettings
    measure : callable
        See `WorkerProcesses`.
    """

    size = 1
    on_this_host = True
    in_this_process = True

    def __init__(self, settings: ExtractionSettings, measure: Measure = measure_image) -> None:
        self._settings, self._measure = settings, measure
        self._begun: FoundImage | None = None

    @property
    def n_free(self) -> int:
        """One, unless an image waits to be measured."""
        return 1 if self._begun is None else 0

    def begin(self, image: FoundImage, job: Job | None = None) -> None:
        """Keep the image for `collect`."""
        self._begun = image

    def collect(self, timeout_s: float) -> list[Measurement]:
        """Measure the image that was begun."""
        if self._begun is None:
            return []
        image, self._begun = self._begun, None
        measurement = begun(image)
        try:
            return [measurement.ended(run_measure(self._measure, image, self._settings))]
        except Exception as exc:
            return [measurement.failed(exc)]

    def stop(self, *, kill: bool) -> None:
        """Do nothing."""


class WorkerProcesses:
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

    on_this_host = True
    in_this_process = False

    def __init__(
        self, jobs: int, settings: ExtractionSettings, limits: Limits, measure: Measure = measure_image
    ) -> None:
        self._workers = [_Worker(settings, limits, measure) for _ in range(jobs)]
        self._limits = limits
        self._again: deque[Measurement] = deque()

    @property
    def size(self) -> int:
        """Images that may be measured at once."""
        return len(self._workers)

    @property
    def n_free(self) -> int:
        """Workers that have nothing to do and nothing to try again."""
        return sum(worker.measurement is None for worker in self._workers) - len(self._again)

    def begin(self, image: FoundImage, job: Job | None = None) -> None:
        """Give an image to a free worker."""
        free = next(worker for worker in self._workers if worker.measurement is None)
        free.start(begun(image))

    def collect(self, timeout_s: float) -> list[Measurement]:
        """Return what has ended, after waiting at most `timeout_s` for something to end."""
        for worker in self._workers:
            if worker.measurement is None and self._again:
                worker.start(self._again.popleft())
        busy = [worker for worker in self._workers if worker.measurement is not None]
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

    def _collect(self, worker: _Worker) -> Measurement | None:
        """Return what the worker's image came to; None while it is not done, or when it is tried again."""
        measurement, future = worker.measurement, worker.future
        assert measurement is not None
        assert future is not None
        path = measurement.image.path
        if not future.done():
            if time.perf_counter() < worker.deadline:
                return None
            worker.stop(kill=True)
            return measurement.failed(MeasurementTimeout(path, f"stopped after {self._limits.timeout_s:g} s"))
        worker.measurement = None
        try:
            return measurement.ended(future.result())
        except BrokenProcessPool:
            worker.stop(kill=True)
            if measurement.attempt < ATTEMPTS:
                self._again.append(replace(measurement, attempt=measurement.attempt + 1))
                return None
            reason = f"the worker process ended while it measured this, {ATTEMPTS} times"
            return measurement.failed(WorkerDied(path, reason))
        except Exception as exc:
            return measurement.failed(exc, self._limits.memory_mb)


class _Worker:
    """One executor with one process, made when it is first needed and again after it was stopped."""

    def __init__(self, settings: ExtractionSettings, limits: Limits, measure: Measure) -> None:
        self._settings = settings
        self._limits = limits
        self._measure = measure
        self._executor: loky.ProcessPoolExecutor | None = None
        self.measurement: Measurement | None = None
        self.future: Future[MeasuredImage] | None = None
        self.deadline = 0.0

    def start(self, measurement: Measurement) -> None:
        """Begin to measure."""
        try:
            self.future = self._submit(measurement.image)
        except BrokenProcessPool:  # the process was ended while it had nothing to do
            self.stop(kill=True)
            self.future = self._submit(measurement.image)
        self.measurement = measurement
        self.deadline = time.perf_counter() + self._limits.timeout_s

    def _submit(self, image: FoundImage) -> Future[MeasuredImage]:
        if self._executor is None:
            self._executor = new_executor(1, self._limits.memory_mb)
        words, options = measure_arguments(image, self._settings)
        future: Future[MeasuredImage] = self._executor.submit(self._measure, *words, **options)
        return future

    def stop(self, *, kill: bool) -> None:
        """End the process, and forget what it was doing."""
        self.measurement, self.future = None, None
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=kill)
            self._executor = None
