"""Asynchronous jobs: a SQLite file of their own, separate from the archive, with a folder of results next to it.

One process owns each queued or running job, and updates its heartbeat every few seconds. If that process has ended,
the job is in error, and the next reader records this. So however a process ends, no job keeps a wrong state.
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
from ztfdb.store.faults import driver_errors
from ztfdb.store.service_tokens import BUSY_S, state_made

DONE = ("COMPLETED", "ERROR", "ABORTED")
"""Final phases."""

SILENT_S = 20.0
"""A process without a heartbeat for longer has ended."""


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
        UWS's phase.
    parameters : tuple of (str, str)
    created, started, ended, destruction : float or None
        Seconds since 1970.
    duration : float
        Longest run time, s.
    abort : bool
        The client has requested its end.
    error, content_type : str or None
    size : int or None
        Bytes of its result.
    base : str
        URL of the service for its client.
    owner : str or None
        Name of the token that made it.
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
        """Return whether a caller (name of a token, or None) may see the job; jobs without an owner are public."""
        return self.owner is None or self.owner == caller


class JobStore:
    """The jobs of a service.

    Parameters
    ----------
    folder : Path
        Created if it does not exist, with access for its owner only.

    Raises
    ------
    ConfigError
        If the folder or its file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._worker = secrets.token_hex(8)  # a process that was killed may have had the same pid
        with state_made(folder):
            with self._reading() as connection:
                connection.execute("pragma journal_mode=wal")
            with self._writing() as connection:
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
        """Make a job in phase PENDING.

        `files` are uploads by parameter, `base` is the URL of the service, with which links begin, `owner` is the name
        of the token of the caller.
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
        """Store files that were uploaded with a job's parameters, by the names of their fields."""
        with zipfile.ZipFile(self._files_path(key), "w") as kept:
            kept.writestr("names", json.dumps(list(files)))
            for at, content in enumerate(files.values()):
                kept.writestr(str(at), content)

    def files(self, key: str) -> dict[str, bytes]:
        """Return the files that were uploaded with a job's parameters."""
        if not self._files_path(key).exists():
            return {}
        with zipfile.ZipFile(self._files_path(key)) as kept:
            names = json.loads(kept.read("names"))
            return {name: kept.read(str(at)) for at, name in enumerate(names)}

    def result(self, key: str, caller: str | None = None) -> bytes | None:
        """Return the result of a completed job; None if there is none that the caller may see."""
        job = self.get(key)
        if job is None or job.phase != "COMPLETED" or not job.seen_by(caller):
            return None
        return self.result_path(key).read_bytes()

    def _files_path(self, key: str) -> Path:
        return self.folder / f"{key}.result.files"

    def get(self, key: str) -> Job | None:
        """Return a job in its actual state; None if there is none with this id."""
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
        """Return the jobs of an owner in their actual states, oldest first.

        Parameters
        ----------
        owner : str
            Name of a token.
        after : float, optional
            Only jobs made later, seconds since 1970.
        """
        with self._reading() as connection:
            wanted = "select id from job where owner = ? and created > ? order by created, id"
            rows = connection.execute(wanted, (owner, after or 0.0)).fetchall()
        return [job for row in rows if (job := self.get(row["id"])) is not None]

    def change(self, key: str, **values: Any) -> None:
        """Change columns of a job that is not in a final phase."""
        words = ", ".join(f"{name} = ?" for name in values)
        with self._writing() as connection:
            connection.execute(f"update job set {words} where id = ? and phase not in {DONE}", (*values.values(), key))

    def change_destruction(self, key: str, when: float) -> None:
        """Set the time of removal of a job in any phase."""
        with self._writing() as connection:
            connection.execute("update job set destruction = ? where id = ?", (when, key))

    def change_parameters(self, key: str, parameters: list[tuple[str, str]]) -> None:
        """Set the parameters of a pending job."""
        self.change(key, parameters=json.dumps(parameters))

    def queue(self, key: str) -> None:
        """Put a job in the queue of this process."""
        self.change(key, phase="QUEUED", pid=os.getpid(), worker=self._worker, beat=time.time())

    def beat_queued(self) -> None:
        """Update the heartbeat of the jobs in the queue of this process."""
        with self._writing() as connection:
            connection.execute(
                "update job set beat = ? where phase = 'QUEUED' and worker = ?", (time.time(), self._worker)
            )

    def end_queued(self) -> None:
        """Set the jobs in the queue of this process to phase ERROR, because the process ends."""
        with self._writing() as connection:
            connection.execute(
                "update job set phase = 'ERROR', ended = ?, error = ? where phase = 'QUEUED' and worker = ?",
                (time.time(), ENDED, self._worker),
            )

    def start(self, key: str) -> bool:
        """Start a pending or queued job in this process; return whether that succeeded."""
        now = time.time()
        with self._writing() as connection:
            done = connection.execute(
                "update job set phase = 'EXECUTING', started = ?, pid = ?, worker = ?, beat = ? "
                "where id = ? and phase in ('PENDING', 'QUEUED') and abort = 0",
                (now, os.getpid(), self._worker, now, key),
            )
            return done.rowcount == 1

    def beat(self, key: str) -> bool:
        """Update the heartbeat of a running job; return whether it should continue."""
        with self._writing() as connection:
            connection.execute("update job set beat = ? where id = ?", (time.time(), key))
            row = connection.execute("select abort from job where id = ?", (key,)).fetchone()
        return row is not None and not row[0]

    def finish(self, key: str, phase: str, **values: Any) -> None:
        """Record how a job ended."""
        self.change(key, phase=phase, ended=time.time(), **values)

    def delete(self, key: str) -> None:
        """Remove a job and its result."""
        with self._writing() as connection:
            connection.execute("delete from job where id = ?", (key,))
        self.result_path(key).unlink(missing_ok=True)
        self._files_path(key).unlink(missing_ok=True)

    def result_path(self, key: str) -> Path:
        """Return the path of the result of a job; the id must be one of this store."""
        return self.folder / f"{key}.result"

    def sweep(self) -> None:
        """Remove expired jobs, and the files and states left by processes that have ended."""
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
        """Return the number of jobs in any phase."""
        with self._reading() as connection:
            return int(connection.execute("select count(*) from job").fetchone()[0])

    def spooled(self) -> int:
        """Return the size of results and uploads, bytes."""
        return sum(path.stat().st_size for path in self.folder.glob("*.result*") if path.exists())

    def _gone(self, job: Job) -> bool:
        """Return whether the process that owns a job has ended."""
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
        with driver_errors():
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
