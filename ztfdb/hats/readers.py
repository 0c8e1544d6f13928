"""The processes of an export, which all read the same snapshot of the archive."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import loky
from sqlalchemy import URL
from sqlalchemy.orm import Session

from ztfdb.derive.pool import ONE_THREAD
from ztfdb.errors import DatabaseUnavailableError, ExportError
from ztfdb.hats.context import Context, read_context
from ztfdb.hats.tasks import Task
from ztfdb.store.engine import make_engine
from ztfdb.store.snapshot import CommitWatch, export_snapshot, reading

TRIES = 5
"""Attempts to open SQLite's readers without a commit in between."""

OPENING_S = 120.0
"""Time limit for opening readers."""

WAITING_TASKS = 2
"""Tasks queued ahead for each process."""


@dataclass
class Reader:
    """One process's view of the archive.

    Attributes
    ----------
    session : Session
        A transaction with a fixed snapshot.
    context : Context
    """

    session: Session
    context: Context


_STACK = ExitStack()
_READER: Reader | None = None


class Readers:
    """A snapshot of the archive, read by this process and, with `jobs` above 1, by as many others.

    Parameters
    ----------
    url : URL
        URL of the archive, with its password.
    jobs : int
        Processes that write partitions; with 1 this process writes them.
    calibration : str
        See `ztfdb.hats.context.read_context`.

    Raises
    ------
    DatabaseUnavailableError
        If a SQLite archive is written to so often that the processes could not open the same snapshot.
    """

    def __init__(self, url: URL, jobs: int, calibration: str) -> None:
        self._url, self._jobs, self._calibration = url, jobs, calibration
        self._stack = ExitStack()
        self._executor: loky.ProcessPoolExecutor | None = None
        self.own: Reader

    def __enter__(self) -> Readers:
        with ExitStack() as opening:
            opening.callback(self.close)
            engine = make_engine(self._url, read_only=True)
            self._stack.callback(engine.dispose)
            self._open(engine)
            opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the transactions and the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None
        self._stack.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Yield the results of tasks as they are done, in any order.

        Raises
        ------
        ExportError
            If a process died during a task.
        """
        if self._executor is None:
            for task in tasks:
                yield task.run(self.own.session, self.own.context)
            return
        waiting, todo = set(), iter(tasks)
        try:
            for task in todo:
                waiting.add(self._executor.submit(_run, task))
                if len(waiting) < WAITING_TASKS * self._jobs:
                    continue
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        except BrokenProcessPool as exc:
            raise ExportError("a process of the export died; run the command again to resume") from exc

    def _open(self, engine: Any) -> None:
        watch = CommitWatch(self._url)
        self._stack.callback(watch.close)
        for _ in range(TRIES):
            attempt = ExitStack()
            session = attempt.enter_context(reading(engine))
            if self._jobs > 1:
                self._open_workers(export_snapshot(session))
            if not watch.committed() or self._jobs == 1:
                self._stack.push(attempt.pop_all())
                self.own = Reader(session, read_context(session, self._calibration))
                return
            attempt.close()
            assert self._executor is not None
            self._executor.shutdown(wait=True, kill_workers=True)
        raise DatabaseUnavailableError(
            f"the archive was written to while {self._jobs} processes opened it, {TRIES} times; try --jobs 1"
        )

    def _open_workers(self, snapshot: str | None) -> None:
        """Start the processes and open the archive in each; tasks wait until all have opened it."""
        self._executor = loky.ProcessPoolExecutor(max_workers=self._jobs, env=ONE_THREAD)
        url = self._url.render_as_string(hide_password=False)
        with tempfile.TemporaryDirectory(prefix="ztfdb-") as folder:
            opened = [
                self._executor.submit(_open_reader, url, snapshot, self._calibration, folder, self._jobs)
                for _ in range(self._jobs)
            ]
            for one in opened:
                one.result()


def _open_reader(url: str, snapshot: str | None, calibration: str, folder: str, jobs: int) -> None:
    """Open the archive in a worker, and wait for the others; runs once in each worker."""
    global _READER
    engine = make_engine(url, read_only=True)
    _STACK.callback(engine.dispose)
    session = _STACK.enter_context(reading(engine, snapshot))
    (Path(folder) / str(os.getpid())).touch()
    until = time.monotonic() + OPENING_S
    while len(list(Path(folder).iterdir())) < jobs:
        if time.monotonic() > until:
            raise ExportError("the processes of the export did not all start")
        time.sleep(0.01)
    _READER = Reader(session, read_context(session, calibration))


def _run(task: Task) -> Any:
    assert _READER is not None
    return task.run(_READER.session, _READER.context)
