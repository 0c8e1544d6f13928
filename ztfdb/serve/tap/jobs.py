"""Run asynchronous jobs: own threads, results in files, stopped by the client or a time limit."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

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

AGAIN_S = 1.0
"""Seconds until the state of a job is written again, if that failed: the disk was full, for example."""

MEASURE_BYTES = 16 * MB
"""Bytes of a result after which the space that all jobs use is measured again."""

SWEEP_S = 600.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class Aborted(ServiceError):
    """The client aborted its job."""

    def __init__(self) -> None:
        super().__init__("aborted by its client")


class Turns:
    """Jobs that wait: many jobs of one owner do not hold up those of others."""

    def __init__(self) -> None:
        self._waiting: dict[str | None, deque[str]] = {}
        self._running: Counter[str | None] = Counter()
        self._last: Counter[str | None] = Counter()
        self._turns = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, job: Job) -> None:
        """Let a job wait."""
        with self._lock:
            self._waiting.setdefault(job.owner, deque()).append(job.id)

    @contextmanager
    def turn(self) -> Iterator[str]:
        """Yield the id of the next job, which runs until the end of the block.

        It is the oldest of the owner with the fewest running jobs; of several such owners, of the one whose last turn
        is longest ago.
        """
        with self._lock:
            owner = min(self._waiting, key=lambda one: (self._running[one], self._last[one]))
            key = self._waiting[owner].popleft()
            if not self._waiting[owner]:
                del self._waiting[owner]
            self._running[owner] += 1
            self._last[owner] = next(self._turns)
        try:
            yield key
        finally:
            with self._lock:
                self._running[owner] -= 1


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
        self._turns = Turns()
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

    def submit(self, job: Job) -> bool:
        """Put a pending job in the queue; return whether that succeeded."""
        if not self.store.queue(job.id):
            return False
        self._turns.add(job)
        self._pool.submit(self._run_next)
        return True

    def close(self) -> None:
        """Stop the running jobs; they end in the phase ERROR, because the service ends."""
        self._ending.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._sweeper.join()
        try:
            self.store.end_queued()
            self.store.sweep()
        except StoreError as exc:  # who reads these jobs next records that their process has ended
            log.error("the end of queued jobs cannot be recorded", extra={"reason": str(exc)})
        self.store.close()

    def _run_next(self) -> None:
        with self._turns.turn() as key:
            self._run(key)

    def _run(self, key: str) -> None:
        if not self._ending.is_set() and self._written(self.store.start, key):
            job = self._written(self.store.get, key)
            if job is not None:
                phase, values = self._outcome(job)
                self._written(partial(self.store.finish, **values), key, phase)

    def _outcome(self, job: Job) -> tuple[str, dict[str, Any]]:
        """Run a job, and return its final phase and what is to be recorded of its end."""
        work = Work()
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(job, work, over), daemon=True)
        watch.start()
        try:
            with work.running():
                return "COMPLETED", self._answer(job)
        except Aborted:
            return "ABORTED", {}
        except Exception as exc:
            return "ERROR", {"error": tell(exc, job.id).message}
        finally:
            over.set()
            watch.join()

    def _written(self, write: Callable[..., T], *values: Any) -> T | None:
        """Change the state of a job, again and again until it succeeds; None if the service ends before."""
        while True:
            try:
                return write(*values)
            except StoreError as exc:
                log.error("the state of a job cannot be written now", extra={"job": values[0], "reason": str(exc)})
            if self._ending.wait(AGAIN_S):
                return None

    def _answer(self, job: Job) -> dict[str, Any]:
        """Write the result of a job, and return what is to be recorded of it."""
        from ztfdb.serve.tap.query import read_query, translated, write_answer  # a service without jobs needs no ADQL

        params = Parameters(job.parameters, self.store.files(job.id))
        results = partial(self.store.result, most_rows=self._limits.upload_rows, caller=job.owner)
        query = read_query(params, self._limits, self._limits.max_rows_async, results)
        translation = translated(query, self._reader, self._limits, job.base)
        path = self.store.result_path(job.id)
        part = path.with_suffix(".result.part")
        try:
            with part.open("wb") as stream:
                written = write_answer(query, translation, self._reader, self._put(stream.write), strict=True)
            size = part.stat().st_size
            part.replace(path)
        except OSError as exc:
            log.error("the result of a job cannot be stored", extra={"job": job.id, "reason": str(exc)})
            raise Busy("the service has no space for this result now: delete other jobs, or try again later") from exc
        finally:
            part.unlink(missing_ok=True)  # before the end of the job is recorded, which also needs space
        return {
            "content_type": query.form.content_type, "size": size, "overflow": int(written.overflow),
            "n_row": written.n_row,
        }  # fmt: skip

    def _put(self, write: Callable[[bytes], int]) -> Callable[[bytes], None]:
        """Return a function that writes pieces of a result while all results have space."""
        room = unmeasured = 0

        def put(piece: bytes) -> None:
            nonlocal room, unmeasured
            if unmeasured <= 0 or room < len(piece):  # other jobs write at the same time
                room, unmeasured = self._limits.spool_mb * MB - self.store.spooled(), MEASURE_BYTES
            room -= len(piece)
            unmeasured -= len(piece)
            if room < 0:
                raise QueryError("the results of all jobs use all available space: delete some, or request less")
            write(piece)

        return put

    def _watch(self, job: Job, work: Work, over: threading.Event) -> None:
        """Stop a job when its time is up, its client aborts it, its time of removal comes, or the service ends."""
        began, must_end, duration = time.monotonic(), False, job.duration
        while not over.wait(LOOK_S):
            try:
                must_end, duration = self.store.orders(job.id)
            except StoreError as exc:
                log.warning("a job cannot be looked up now", extra={"job": job.id, "reason": str(exc)})
            if must_end:
                work.stop(Aborted())
            elif self._ending.is_set():
                work.stop(ServiceError("the service ended before this job was done"))
            elif time.monotonic() - began >= duration:
                work.stop(TimeLimit(duration))

    def _sweep(self) -> None:
        while True:
            try:
                self.store.sweep()
            except Exception:
                log.exception("jobs could not be swept")
            if self._ending.wait(SWEEP_S):
                return
