"""Asynchronous jobs: a SQLite file of their own, apart from the archive, with a folder of results beside it.

A job that waits or runs is in the hands of one process, which says every few seconds that it is still there. A job
whose process is gone is in error, and the next who looks at it writes that down: however a process ends, no job stays
in a state that is not true.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ztfdb.sky.times import SECONDS_PER_DAY
from ztfdb.store.service_tokens import BUSY_S

DONE = ("COMPLETED", "ERROR", "ABORTED")
"""Phases that last."""

SILENT_S = 20.0
"""A process that has said nothing for longer is gone."""


_TABLE = """
create table if not exists job (
    id text primary key, phase text not null, parameters text not null, created real not null, started real,
    ended real, destruction real not null, duration real not null, pid integer, beat real, abort integer not null
    default 0, error text, content_type text, size integer, overflow integer, base text not null default '', owner text,
    worker text)
"""
_LATER = {"base": "text not null default ''", "owner": "text", "worker": "text"}
"""Columns that the table of an earlier ztfdb lacks."""

ENDED = "the service ended before this job was done"


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    id : str
        128 random bits.
    phase : str
        UWS's word.
    parameters : tuple of (str, str)
    created, started, ended, destruction : float or None
        Seconds since 1970.
    duration : float
        Seconds that it may take.
    abort : bool
        Whether its client wants it to end.
    error, content_type : str or None
    size : int or None
        Bytes of its result.
    base : str
        Address at which its client sees the service.
    owner : str or None
        Name of the token with which it was made.
    """

    id: str
    phase: str
    parameters: tuple[tuple[str, str], ...]
    created: float
    started: float | None
    ended: float | None
    destruction: float
    duration: float
    pid: int | None = field(repr=False)
    beat: float | None = field(repr=False)
    abort: bool
    error: str | None
    content_type: str | None
    size: int | None
    base: str = ""
    owner: str | None = None
    worker: str | None = field(default=None, repr=False)

    def seen_by(self, caller: str | None) -> bool:
        """Tell whether a caller, the name of a token or None, may see the job: one without an owner, all may."""
        return self.owner is None or self.owner == caller


class JobStore:
    """The jobs of a service.

    Parameters
    ----------
    folder : Path
        Made where it is not there, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._worker = secrets.token_hex(8)  # a process that was killed may have had the number of this one
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._reading() as connection:
            connection.execute("pragma journal_mode=wal")
            connection.execute(_TABLE)
            there = {row["name"] for row in connection.execute("pragma table_info(job)")}
            for name in _LATER.keys() - there:
                connection.execute(f"alter table job add column {name} {_LATER[name]}")

    def create(
        self,
        parameters: list[tuple[str, str]],
        *,
        days: float,
        duration: float,
        files: Mapping[str, bytes] | None = None,
        base: str = "",
        owner: str | None = None,
    ) -> Job:
        """Make a job that waits to be run.

        `files` are those that came with its parameters, `base` is the address of the service that links begin with,
        `owner` the name of the token of who makes it.
        """
        now, key = time.time(), secrets.token_hex(16)
        with self._writing() as connection:
            connection.execute(
                "insert into job (id, phase, parameters, created, destruction, duration, base, owner) "
                "values (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, "PENDING", json.dumps(parameters), now, now + days * SECONDS_PER_DAY, duration, base, owner),
            )
        if files:
            self.keep_files(key, files)
        found = self.get(key)
        assert found is not None
        return found

    def keep_files(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep files that came with a job's parameters, by the names of their fields."""
        with zipfile.ZipFile(self._files_path(key), "w") as kept:
            kept.writestr("names", json.dumps(list(files)))
            for at, content in enumerate(files.values()):
                kept.writestr(str(at), content)

    def files(self, key: str) -> dict[str, bytes]:
        """Return the files that came with a job's parameters."""
        if not self._files_path(key).exists():
            return {}
        with zipfile.ZipFile(self._files_path(key)) as kept:
            names = json.loads(kept.read("names"))
            return {name: kept.read(str(at)) for at, name in enumerate(names)}

    def result(self, key: str, caller: str | None = None) -> bytes | None:
        """Return the result of a job that was completed, None where there is none that the caller may see."""
        job = self.get(key)
        if job is None or job.phase != "COMPLETED" or not job.seen_by(caller):
            return None
        return self.result_path(key).read_bytes()

    def _files_path(self, key: str) -> Path:
        return self.folder / f"{key}.result.files"

    def get(self, key: str) -> Job | None:
        """Return a job in its true state, None where there is none of this id."""
        with self._reading() as connection:
            row = connection.execute("select * from job where id = ?", (key,)).fetchone()
        if row is None:
            return None
        job = _job(row)
        if self._gone(job):
            self.finish(key, "ERROR", error=ENDED)
            return self.get(key)
        return job

    def owned(self, owner: str, *, after: float | None = None) -> list[Job]:
        """Return the jobs of an owner in their true states, oldest first.

        Parameters
        ----------
        owner : str
            Name of a token.
        after : float, optional
            Only jobs that were made later, seconds since 1970.
        """
        with self._reading() as connection:
            wanted = "select id from job where owner = ? and created > ? order by created, id"
            rows = connection.execute(wanted, (owner, after or 0.0)).fetchall()
        return [job for row in rows if (job := self.get(row["id"])) is not None]

    def change(self, key: str, **values: Any) -> None:
        """Change columns of a job that is not over."""
        words = ", ".join(f"{name} = ?" for name in values)
        with self._writing() as connection:
            connection.execute(f"update job set {words} where id = ? and phase not in {DONE}", (*values.values(), key))

    def change_destruction(self, key: str, when: float) -> None:
        """Set when a job is removed, in whatever phase it is."""
        with self._writing() as connection:
            connection.execute("update job set destruction = ? where id = ?", (when, key))

    def change_parameters(self, key: str, parameters: list[tuple[str, str]]) -> None:
        """Set the parameters of a job that waits."""
        self.change(key, parameters=json.dumps(parameters))

    def queue(self, key: str) -> None:
        """Put a job in the queue of this process."""
        self.change(key, phase="QUEUED", pid=os.getpid(), worker=self._worker, beat=time.time())

    def beat_queued(self) -> None:
        """Say that this process will work on the jobs in its queue."""
        with self._writing() as connection:
            connection.execute(
                "update job set beat = ? where phase = 'QUEUED' and worker = ?", (time.time(), self._worker)
            )

    def end_queued(self) -> None:
        """Put the jobs in the queue of this process in error, because it ends."""
        with self._writing() as connection:
            connection.execute(
                "update job set phase = 'ERROR', ended = ?, error = ? where phase = 'QUEUED' and worker = ?",
                (time.time(), ENDED, self._worker),
            )

    def start(self, key: str) -> bool:
        """Take a job that waits, in this process; return whether it was there to take."""
        now = time.time()
        with self._writing() as connection:
            done = connection.execute(
                "update job set phase = 'EXECUTING', started = ?, pid = ?, worker = ?, beat = ? "
                "where id = ? and phase in ('PENDING', 'QUEUED') and abort = 0",
                (now, os.getpid(), self._worker, now, key),
            )
            return done.rowcount == 1

    def beat(self, key: str) -> bool:
        """Say that this process still works on a job; return whether it should go on."""
        with self._writing() as connection:
            connection.execute("update job set beat = ? where id = ?", (time.time(), key))
            row = connection.execute("select abort from job where id = ?", (key,)).fetchone()
        return row is not None and not row[0]

    def finish(self, key: str, phase: str, **values: Any) -> None:
        """Write down how a job ended."""
        self.change(key, phase=phase, ended=time.time(), **values)

    def delete(self, key: str) -> None:
        """Remove a job and its result."""
        with self._writing() as connection:
            connection.execute("delete from job where id = ?", (key,))
        self.result_path(key).unlink(missing_ok=True)
        self._files_path(key).unlink(missing_ok=True)

    def result_path(self, key: str) -> Path:
        """Return where the result of a job is kept; the id is one that this store made."""
        return self.folder / f"{key}.result"

    def sweep(self) -> None:
        """Remove jobs whose time has come, and what processes that ended left behind."""
        with self._reading() as connection:
            rows = connection.execute("select * from job").fetchall()
        known = set()
        for row in rows:
            job = _job(row)
            if job.destruction < time.time() and job.phase != "EXECUTING":
                self.delete(job.id)
                continue
            known.add(job.id)
            if self._gone(job):
                self.finish(job.id, "ERROR", error=ENDED)
        for path in self.folder.glob("*.result*"):
            if path.name.partition(".")[0] not in known:
                path.unlink(missing_ok=True)

    def count(self) -> int:
        """Return how many jobs there are, in whatever phase."""
        with self._reading() as connection:
            return int(connection.execute("select count(*) from job").fetchone()[0])

    def spooled(self) -> int:
        """Return the bytes that results take, and tables that were sent with jobs."""
        return sum(path.stat().st_size for path in self.folder.glob("*.result*") if path.exists())

    def _gone(self, job: Job) -> bool:
        """Tell whether the process in whose hands a job is has ended."""
        if job.phase not in ("QUEUED", "EXECUTING"):
            return False
        if job.beat is None or job.pid is None or time.time() - job.beat > SILENT_S:
            return True
        if job.pid == os.getpid():
            return job.worker != self._worker
        try:
            os.kill(job.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.folder / "jobs.sqlite", timeout=BUSY_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()


def _job(row: Mapping[str, Any]) -> Job:
    names = ("id", "phase", "created", "started", "ended", "destruction", "duration", "pid", "beat", "error",
             "content_type", "size", "base", "owner", "worker")  # fmt: skip
    parameters = tuple((str(name), str(value)) for name, value in json.loads(row["parameters"]))
    return Job(**{name: row[name] for name in names}, parameters=parameters, abort=bool(row["abort"]))
