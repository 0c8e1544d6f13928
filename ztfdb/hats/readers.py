"""The processes of an export, which all read the same snapshot of the archive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ztfdb.errors import DatabaseUnavailableError
from ztfdb.hats.context import Context, read_context
from ztfdb.hats.processes import Process
from ztfdb.hats.tasks import Task
from ztfdb.store.address import Address
from ztfdb.store.connections import Connections, Reading
from ztfdb.store.snapshot import CommitWatch, export_snapshot, snapshot

TRIES = 5
"""Attempts to open SQLite's readers without a commit in between."""


@dataclass
class Reader:
    """One process's view of the archive.

    Attributes
    ----------
    session : Reading
        A transaction with a fixed snapshot.
    context : Context
    """

    session: Reading
    context: Context

    def run(self, task: Task) -> Any:
        """Run a task."""
        return task.run(self.session, self.context)


class Readers:
    """A snapshot of the archive, read by this process and by others.

    Parameters
    ----------
    address : Address
        Of the archive, with its password.
    others : sequence of Process
        They run tasks, as this process does.
    calibration : str
        See `ztfdb.hats.context.read_context`.

    Raises
    ------
    DatabaseUnavailableError
        If a SQLite archive is written to so often that the processes could not open the same snapshot.
    """

    def __init__(self, address: Address, others: Sequence[Process], calibration: str) -> None:
        self._address, self._others, self._calibration = address, others, calibration
        self._stack = ExitStack()
        self.own: Reader

    def __enter__(self) -> Readers:
        with ExitStack() as opening:
            opening.callback(self.close)
            for other in self._others:
                other.begin(_connect, self._address)
            self._open()
            opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the transaction of this process."""
        self._stack.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Yield the results of tasks as they are done, in any order; this process does its share.

        Raises
        ------
        ExportError
            If a process died during a task.
        """
        waiting, done = _Waiting(tasks), queue.SimpleQueue[Future[Any]]()
        threads = [threading.Thread(target=_feed, args=(other, waiting, done), daemon=True) for other in self._others]
        for thread in threads:
            thread.start()
        try:
            for task in waiting:
                yield self.own.run(task)
                yield from _ready(done)
            for thread in threads:
                thread.join()
            yield from _ready(done)
        finally:
            waiting.stop()

    def _open(self) -> None:
        connections = Connections(self._address, read_only=True)
        self._stack.callback(connections.close)
        watch = CommitWatch(self._address)
        self._stack.callback(watch.close)
        for other in self._others:
            other.result()
        for _ in range(TRIES):
            watch.committed()
            with ExitStack() as attempt:
                session = attempt.enter_context(snapshot(connections))
                if self._others:
                    self._call_all(_open, export_snapshot(session))
                    if watch.committed():
                        continue
                self.own = Reader(session, read_context(session, self._calibration))
                self._call_all(_keep, self.own.context)
                self._stack.push(attempt.pop_all())
                return
        jobs = 1 + len(self._others)
        raise DatabaseUnavailableError(
            f"the archive was written to while {jobs} processes opened it, {TRIES} times; try --jobs 1"
        )

    def _call_all(self, function: Callable[..., None], *arguments: Any) -> None:
        for other in self._others:
            other.begin(function, *arguments)
        for other in self._others:
            other.result()


class _Waiting(Iterator[Task]):
    """Tasks that several threads take from."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks, self._lock = iter(tasks), threading.Lock()

    def __next__(self) -> Task:
        with self._lock:
            return next(self._tasks)

    def stop(self) -> None:
        """Give out no more."""
        with self._lock:
            self._tasks = iter(())


def _feed(other: Process, waiting: _Waiting, done: queue.SimpleQueue[Future[Any]]) -> None:
    """Let a process run tasks, one at a time, until none is left or one fails."""
    for task in waiting:
        result: Future[Any] = Future()
        try:
            result.set_result(other.call(_run, task))
        except Exception as exc:
            waiting.stop()
            result.set_exception(exc)
        done.put(result)


def _ready(done: queue.SimpleQueue[Future[Any]]) -> Iterator[Any]:
    while not done.empty():
        yield done.get().result()


# In the other processes ------------------------------------------------------------------------------------------


@dataclass
class _Here:
    """What this process holds for the one that started it."""

    connections: Connections
    transaction: ExitStack = field(default_factory=ExitStack)
    session: Reading | None = None
    reader: Reader | None = None


_HERE: list[_Here] = []


def _connect(address: Address) -> None:
    _HERE.append(_Here(Connections(address, read_only=True)))


def _open(name: str | None) -> None:
    """Begin a transaction, after the end of the last one."""
    (here,) = _HERE
    here.transaction.close()
    here.session = here.transaction.enter_context(snapshot(here.connections, name))


def _keep(context: Context) -> None:
    (here,) = _HERE
    assert here.session is not None
    here.reader = Reader(here.session, context)


def _run(task: Task) -> Any:
    (here,) = _HERE
    assert here.reader is not None
    return here.reader.run(task)
