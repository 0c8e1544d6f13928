"""Run asynchronous jobs: own threads, results in files, stopped by the client or a time limit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ztfdb.errors import QueryError, StoreError
from ztfdb.serve.errors import Busy, ServiceError, TimeLimit, tell
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import MB, Parameters
from ztfdb.store.interrupt import Work
from ztfdb.store.readonly_stream import Reader
from ztfdb.store.tap_jobs import Job, JobStore

THREADS = 2
"""Concurrent jobs of one process."""

LOOK_S = 0.25
"""Seconds between checks whether a job must end."""

MOST_JOBS = 100_000
"""Maximum number of stored jobs; each takes a few kilobytes."""

BEAT_S = 5.0
"""Seconds between this process's signs of life for its queued jobs."""

SWEEP_S = 600.0

log = logging.getLogger(__name__)


class Aborted(ServiceError):
    """The client aborted its job."""

    def __init__(self) -> None:
        super().__init__("aborted by its client")


class JobRunner:
    """Runs the jobs of a store in this process.

    Parameters
    ----------
    store : JobStore
    reader : Reader
    limits : Limits
    """

    def __init__(self, store: JobStore, reader: Reader, limits: Limits) -> None:
        self.store = store
        self._reader = reader
        self._limits = limits
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ztfdb-job")
        self._ending = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, daemon=True)
        self._sweeper.start()

    def check_room(self, parameters: Iterable[tuple[str, str]], files: Mapping[str, bytes]) -> None:
        """Raise `ServiceError` if parameters are too long, or there is no space for another job and its files."""
        longest = 2 * self._limits.query_kb  # the statement and the other parameters
        if sum(len(name) + len(value) for name, value in parameters) > longest * 1024:
            raise ServiceError(f"the parameters of a job are longer than {longest} kB", 413)
        size = sum(map(len, files.values()))
        if self.store.count() >= MOST_JOBS or (size and self.store.spooled() + size > self._limits.spool_mb * MB):
            raise Busy("the jobs of all clients use all available space: delete some, or try again later")

    def submit(self, key: str) -> None:
        """Put a job in the queue."""
        self.store.queue(key)
        self._pool.submit(self._run, key)

    def close(self) -> None:
        """Stop the running jobs; they end in the phase ERROR, because the service ends."""
        self._ending.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._sweeper.join()
        self.store.end_queued()
        self.store.sweep()

    def _run(self, key: str) -> None:
        job = self.store.get(key)
        if job is None or self._ending.is_set() or not self.store.start(key):
            return
        work = Work()
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(job, work, over), daemon=True)
        watch.start()
        try:
            with work.running():
                self._answer(job)
        except Aborted:
            self.store.finish(key, "ABORTED")
        except Exception as exc:
            message = tell(exc, key).message
            try:
                self.store.finish(key, "ERROR", error=message)
            except StoreError as trouble:  # without heartbeats it will be in error
                log.error("the end of a job cannot be recorded", extra={"job": key, "reason": str(trouble)})
        finally:
            over.set()
            watch.join()

    def _answer(self, job: Job) -> None:
        from ztfdb.serve.tap.query import read_query, translated, write_answer  # a service without jobs needs no ADQL

        params = Parameters(job.parameters, self.store.files(job.id))
        results = partial(self.store.result, caller=job.owner)
        query = read_query(params, self._limits, self._limits.max_rows_async, results)
        translation = translated(query, self._reader, self._limits, job.base)
        path = self.store.result_path(job.id)
        part = path.with_suffix(".result.part")
        try:
            with part.open("wb") as stream:
                overflow = write_answer(query, translation, self._reader, self._put(stream.write), strict=True)
            size = part.stat().st_size
            part.replace(path)
        except OSError as exc:
            log.error("the result of a job cannot be stored", extra={"job": job.id, "reason": str(exc)})
            raise Busy("the service has no space for this result now: delete other jobs, or try again later") from exc
        finally:
            part.unlink(missing_ok=True)  # before the end of the job is recorded, which also needs space
        self.store.finish(job.id, "COMPLETED", content_type=query.form.content_type, size=size, overflow=int(overflow))

    def _put(self, write: Callable[[bytes], int]) -> Callable[[bytes], None]:
        room = self._limits.spool_mb * MB - self.store.spooled()

        def put(piece: bytes) -> None:
            nonlocal room
            room -= len(piece)
            if room < 0:
                raise QueryError("the results of all jobs use all available space: delete some, or request less")
            write(piece)

        return put

    def _watch(self, job: Job, work: Work, over: threading.Event) -> None:
        """Stop a job when its time is up, its client aborts it, or the service ends."""
        left = job.duration
        while not over.wait(LOOK_S):
            left -= LOOK_S
            try:
                continues = self.store.beat(job.id)
            except StoreError as exc:
                log.warning("a job cannot be kept alive now", extra={"job": job.id, "reason": str(exc)})
                continues = True
            if not continues:
                work.stop(Aborted())
            elif self._ending.is_set():
                work.stop(ServiceError("the service ended before this job was done"))
            elif left <= 0:
                work.stop(TimeLimit(job.duration))

    def _sweep(self) -> None:
        swept = -SWEEP_S
        while True:
            try:
                self.store.beat_queued()
                if time.monotonic() - swept >= SWEEP_S:
                    self.store.sweep()
                    swept = time.monotonic()
            except Exception:
                log.exception("jobs could not be swept")
            if self._ending.wait(BEAT_S):
                return
