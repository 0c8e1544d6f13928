"""Measuring on a Dask cluster: the same function on other hosts.

Where PostgreSQL is the archive and the workers reach it, they also store what they have measured, under the lease of
this process; otherwise what comes back is stored here, as ever.

Every host of the cluster must see the image files under the same paths as this one, and have the same ztfdb.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from ztfdb.errors import ClusterError, MeasurementTimeout, MissingExtraError, WorkerDied
from ztfdb.extract.measure import measure_image, software_versions
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.cluster_worker import WorkerStorage, measure_and_store, reach_archive
from ztfdb.ingest.discover import FoundImage
from ztfdb.ingest.executors import Measure, Measurement, begun, measure_arguments
from ztfdb.ingest.worker_limits import Limits
from ztfdb.store.ingest_queue import Job
from ztfdb.texts import one_line

CONNECT_S = 10.0
"""How long a scheduler, and its first worker, may take to answer."""

STARTS = 3
"""How often distributed's loop is started: it has 10 s, which are too few now and then on a busy machine."""

COUNT_S = 5.0
"""How often the threads of the cluster are counted: workers come and go."""

WORKERLESS_S = 300.0
"""How long a cluster may have no worker at all; a worker that died is started again within a minute."""

logger = logging.getLogger(__name__)


class DaskCluster:
    """The workers of a Dask cluster; see `ztfdb.ingest.executors.Executor`.

    One image is sent to each thread of the cluster. ``sep`` holds Python's lock, so workers of one thread each do most.
    Memory is limited by the workers' own settings.

    Parameters
    ----------
    scheduler : str
        Its address, ``tcp://host:8786``.
    settings : ExtractionSettings
    limits : Limits
        The time; an image that takes longer is given up here, and its worker left to end it.
    measure : callable
        See `ztfdb.ingest.executors.WorkerProcesses`.
    storage : WorkerStorage, optional
        How the workers store; by default they do not.

    Raises
    ------
    MissingExtraError
        If the package ``distributed`` is not installed.
    ClusterError
        If the scheduler does not answer, has no worker, or one without ztfdb or with other versions.
    """

    on_this_host = False
    in_this_process = False

    def __init__(
        self,
        scheduler: str,
        settings: ExtractionSettings,
        limits: Limits,
        measure: Measure = measure_image,
        storage: WorkerStorage | None = None,
    ) -> None:
        try:
            import distributed
        except ImportError as exc:
            raise MissingExtraError("measuring on a Dask cluster", "dask") from exc
        self._dask: Any = distributed
        self._scheduler, self._settings, self._limits, self._measure = scheduler, settings, limits, measure
        self._storage = storage
        self._measuring: dict[Any, Measurement] = {}
        self._n_thread, self._counted, self._peopled = 0, float("-inf"), time.monotonic()
        self._client: Any = self._connected()
        try:
            self._check()
            self._check_storing()
        except BaseException:
            self._client.close()
            raise

    def _connected(self, starts: int = STARTS) -> Any:
        try:
            return self._dask.Client(self._scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as exc:  # TimeoutError is an OSError
            raise ClusterError(self._scheduler, f"the scheduler does not answer: {one_line(exc)}") from exc
        except AssertionError as exc:  # all that distributed says of a loop that has not started
            if starts == 1:
                raise ClusterError(self._scheduler, "distributed does not start: this machine is too busy") from exc
        return self._connected(starts - 1)

    @property
    def size(self) -> int:
        """Threads of the cluster, at least one.

        Raises
        ------
        ClusterError
            If it has had no worker for `WORKERLESS_S`.
        """
        if time.monotonic() > self._counted + COUNT_S:
            n_thread = sum(self._client.nthreads().values())
            if n_thread == 0 and self._n_thread > 0:
                logger.warning("the cluster has no workers left", extra={"scheduler": self._scheduler})
            self._n_thread, self._counted = n_thread, time.monotonic()
            self._peopled = self._counted if n_thread > 0 else self._peopled
            if self._counted > self._peopled + WORKERLESS_S:
                raise ClusterError(self._scheduler, f"it has had no worker for {WORKERLESS_S:g} s")
        return max(self._n_thread, 1)

    @property
    def n_free(self) -> int:
        """Threads without an image."""
        return max(min(self.size, self._n_thread) - len(self._measuring), 0)

    @property
    def stores(self) -> bool:
        """Whether the workers store what they have measured."""
        return self._storage is not None

    def begin(self, image: FoundImage, job: Job | None = None) -> None:
        """Send an image to the cluster."""
        if self._storage is not None and job is not None:
            words = (self._measure, image, self._settings, job, self._storage)
            future = self._client.submit(measure_and_store, *words, pure=False)
        else:
            words, options = measure_arguments(image, self._settings)
            future = self._client.submit(self._measure, *words, pure=False, **options)
        self._measuring[future] = begun(image)

    def collect(self, timeout_s: float) -> list[Measurement]:
        """Return what has ended, after waiting at most `timeout_s` for something to end.

        Raises
        ------
        ClusterError
            If the scheduler has gone away.
        """
        if self._measuring:
            with self._client.as_current(), contextlib.suppress(self._dask.TimeoutError, self._dask.CancelledError):
                self._dask.wait(list(self._measuring), timeout=timeout_s, return_when="FIRST_COMPLETED")
        if self._client.status != "running":
            raise ClusterError(self._scheduler, "the scheduler has gone away")
        return [ended for future in list(self._measuring) if (ended := self._ended(future)) is not None]

    def stop(self, *, kill: bool) -> None:
        """Leave the cluster; what it measures for us is given up."""
        with contextlib.suppress(Exception):  # it may have gone away
            self._client.cancel(list(self._measuring), force=True)
        self._measuring.clear()
        self._client.close()

    def _ended(self, future: Any) -> Measurement | None:
        measurement = self._measuring[future]
        path = measurement.image.path
        if not future.done():
            return self._late(future)
        measured = future.status == "finished"
        try:
            ended = measurement.ended(future.result(timeout=CONNECT_S))
        except self._dask.CancelledError as exc:  # not by us: the connection was lost
            raise ClusterError(self._scheduler, "the scheduler has gone away") from exc
        except self._dask.KilledWorker as exc:
            reason = f"the cluster's worker ended while it measured this: {one_line(exc)}"
            ended = measurement.failed(WorkerDied(path, reason))
        except Exception as exc:
            if measured and isinstance(exc, OSError):  # a timeout among them
                # not the image's fault: its worker ended before it gave the answer, or the scheduler did
                return self._late(future)
            ended = measurement.failed(exc)
        del self._measuring[future]
        return ended

    def _late(self, future: Any) -> Measurement | None:
        """Give an image up that takes longer than it may."""
        measurement = self._measuring[future]
        if time.perf_counter() - measurement.started < self._limits.timeout_s:
            return None
        future.cancel(force=True)
        del self._measuring[future]
        reason = f"given up after {self._limits.timeout_s:g} s"
        return measurement.failed(MeasurementTimeout(measurement.image.path, reason))

    def _check(self) -> None:
        """Refuse a cluster whose workers cannot do what this process does."""
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as exc:
            raise ClusterError(self._scheduler, f"no worker joined the scheduler within {CONNECT_S:g} s") from exc
        here = software_versions()
        for worker, there in self._client.run(_asker(), on_error="return").items():
            if isinstance(there, ImportError):
                raise ClusterError(self._scheduler, f"ztfdb cannot be imported on the worker {worker}: {there}")
            if isinstance(there, BaseException):
                raise ClusterError(self._scheduler, f"the worker {worker} does not work: {one_line(there)}") from there
            other = [
                f"{name} {there.get(name)} instead of {here.get(name)}"
                for name in sorted(here.keys() | there.keys())
                if there.get(name) != here.get(name)
            ]
            if other:
                raise ClusterError(self._scheduler, f"the worker {worker} has {', '.join(other)}")

    def _check_storing(self) -> None:
        """Store in this process where a worker does not reach the archive."""
        if self._storage is None:
            return
        for worker, reason in self._client.run(reach_archive, self._storage.url, on_error="return").items():
            if reason is not None:
                words = {"scheduler": self._scheduler, "worker": worker, "reason": one_line(reason)}
                logger.warning("the cluster does not reach the archive: this process stores", extra=words)
                self._storage = None
                return


def _asker() -> Callable[[], dict[str, str]]:
    """Return a function that is sent by value: a worker without ztfdb must be able to say so."""

    def ask() -> dict[str, str]:
        from ztfdb.extract.measure import software_versions

        return software_versions()

    return ask
