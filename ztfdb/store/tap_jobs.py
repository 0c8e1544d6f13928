"""Asynchronous jobs: a SQLite file of their own, separate from the archive, with a folder of results next to it.

One process owns each queued or running job. It holds a lock on a file of its own, which the system releases however
the process ends. If that process has ended, the job is in error, and the next reader records this. So no job keeps a
wrong state, and no clock is compared with another time: a process may be suspended, and the clock may be set.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
import time
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ztfdb.errors import QueryError
from ztfdb.sky.times import SECONDS_PER_DAY
from ztfdb.store.faults import driver_errors
from ztfdb.store.service_tokens import BUSY_S, state_made

DONE = ("COMPLETED", "ERROR", "ABORTED")
"""Final phases."""

ACTIVE = ("QUEUED", "EXECUTING")
"""Phases in which a process owns the job."""


_TABLE = """
create table if not exists job (
    id text primary key, phase text not null, parameters text not null, created real not null, started real,
    ended real, destruction real not null, duration real not null, pid integer, beat real, abort integer not null
    default 0, error text, content_type text, size integer, overflow integer, base text not null default '', owner text,
    worker text, n_row integer)
"""
"""An earlier ztfdb, to which an operator may return, needs ``pid`` and ``beat``."""

_LATER = {"base": "text not null default ''", "owner": "text", "worker": "text", "n_row": "integer"}
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
    size, n_row : int or None
        Bytes and rows of its result.
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
    abort: bool
    error: str | None
    content_type: str | None
    size: int | None
    base: str = ""
    owner: str | None = None
    worker: str | None = field(default=None, repr=False)
    n_row: int | None = None

    @property
    def is_expired(self) -> bool:
        """Whether the time of its removal has come."""
        return self.destruction <= time.time()

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
            self._let_go = weakref.finalize(self, _let_go, *self._held())
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
            try:
                self.keep_files(key, files)
            except BaseException:
                self.delete(key)
                raise
        found = self.get(key)
        assert found is not None
        return found

    def keep_files(self, key: str, files: Mapping[str, bytes]) -> None:
        """Store files that were uploaded with a job's parameters, by the names of their fields, with earlier ones."""
        path, content = self._files_path(key), self.files(key) | dict(files)
        part = path.with_name(f"{path.name}.part")
        try:
            with zipfile.ZipFile(part, "w") as kept:
                kept.writestr("names", json.dumps(list(content)))
                for at, one in enumerate(content.values()):
                    kept.writestr(str(at), one)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def files(self, key: str) -> dict[str, bytes]:
        """Return the files that were uploaded with a job's parameters."""
        if not self._files_path(key).exists():
            return {}
        with zipfile.ZipFile(self._files_path(key)) as kept:
            names = json.loads(kept.read("names"))
            return {name: kept.read(str(at)) for at, name in enumerate(names)}

    def result(self, key: str, most_rows: int, *, caller: str | None = None) -> bytes | None:
        """Return the result of a completed job; None if there is none that the caller may see.

        Raises
        ------
        QueryError
            If it has more than `most_rows` rows.
        """
        job = self.get(key)
        if job is None or job.phase != "COMPLETED" or not job.seen_by(caller):
            return None
        if job.n_row is not None and job.n_row > most_rows:
            raise QueryError(
                f"the result of the job has {job.n_row:,} rows, at most {most_rows:,} are taken as an upload"
            )
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            return self.result_path(key).read_bytes()
        return None

    def _files_path(self, key: str) -> Path:
        return self.folder / f"{key}.result.files"

    def get(self, key: str) -> Job | None:
        """Return a job in its actual state; None if there is none with this id, or its time has come."""
        with self._reading() as connection:
            row = connection.execute("select * from job where id = ?", (key,)).fetchone()
        if row is None:
            return None
        job = _job(row)
        if self._gone(job):
            self._end([job])
            return self.get(key)
        return None if job.is_expired and job.phase != "EXECUTING" else job

    def owned(self, owner: str, *, after: float | None = None) -> list[Job]:
        """Return the jobs of an owner in their actual states, oldest first.

        Parameters
        ----------
        owner : str
            Name of a token.
        after : float, optional
            Only jobs made later, seconds since 1970.
        """
        self._end_orphans()
        with self._reading() as connection:
            wanted = "select * from job where owner = ? and created > ? order by created, id"
            rows = connection.execute(wanted, (owner, after or 0.0)).fetchall()
        return [job for row in rows if not (job := _job(row)).is_expired or job.phase == "EXECUTING"]

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

    def queue(self, key: str) -> bool:
        """Put a pending job in the queue of this process; return whether that succeeded."""
        return self._take(key, "phase = 'QUEUED'", "phase = 'PENDING'")

    def end_queued(self) -> None:
        """Set the jobs in the queue of this process to phase ERROR, because the process ends."""
        with self._writing() as connection:
            connection.execute(
                "update job set phase = 'ERROR', ended = ?, error = ? where phase = 'QUEUED' and worker = ?",
                (time.time(), ENDED, self._worker),
            )

    def start(self, key: str) -> bool:
        """Start a pending or queued job in this process; return whether that succeeded."""
        return self._take(key, "phase = 'EXECUTING', started = ?", "phase in ('PENDING', 'QUEUED')", time.time())

    def _take(self, key: str, change: str, condition: str, *values: float) -> bool:
        with self._writing() as connection:
            done = connection.execute(
                f"update job set {change}, worker = ? where id = ? and {condition} and abort = 0",
                (*values, self._worker, key),
            )
            return done.rowcount == 1

    def orders(self, key: str) -> tuple[bool, float]:
        """Return whether a running job should end, and its longest run time, s; both may change while it runs."""
        with self._reading() as connection:
            row = connection.execute("select abort, destruction, duration from job where id = ?", (key,)).fetchone()
        if row is None:
            return True, 0.0
        return bool(row["abort"]) or row["destruction"] <= time.time(), float(row["duration"])

    def finish(self, key: str, phase: str, **values: Any) -> None:
        """Record how a job ended; the tables sent with it are no longer needed."""
        self.change(key, phase=phase, ended=time.time(), **values)
        self._files_path(key).unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Remove a job and its result: first its files, which gives a full disk the space to record it."""
        self.result_path(key).unlink(missing_ok=True)
        self._files_path(key).unlink(missing_ok=True)
        with self._writing() as connection:
            connection.execute("delete from job where id = ?", (key,))

    def close(self) -> None:
        """Let others know that this process has ended; its jobs must have ended before."""
        self._let_go()

    def result_path(self, key: str) -> Path:
        """Return the path of the result of a job; the id must be one of this store."""
        return self.folder / f"{key}.result"

    def sweep(self) -> None:
        """Remove expired jobs, and the files and states left by processes that have ended."""
        files = list(self.folder.glob("*.result*"))  # before the jobs: the files of a job made meanwhile are not here
        locks = list(self.folder.glob("*.alive"))
        self._end_orphans()
        with self._reading() as connection:
            rows = connection.execute("select id, phase, destruction from job").fetchall()
        phases = {}
        for row in rows:
            if row["destruction"] <= time.time() and row["phase"] != "EXECUTING":
                self.delete(row["id"])
            else:
                phases[row["id"]] = row["phase"]
        for path in files:
            phase = phases.get(path.name.partition(".")[0])
            needed = phase not in DONE or (phase == "COMPLETED" and path.suffix == ".result")
            if phase is None or not needed:
                path.unlink(missing_ok=True)
        for path in locks:
            if not _is_locked(path):
                path.unlink(missing_ok=True)

    def count(self) -> int:
        """Return the number of jobs in any phase."""
        with self._reading() as connection:
            return int(connection.execute("select count(*) from job").fetchone()[0])

    def spooled(self) -> int:
        """Return the size of results and uploads, bytes."""
        total = 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if ".result" in entry.name:
                    with contextlib.suppress(FileNotFoundError):  # its job was deleted, or has just ended
                        total += entry.stat().st_size
        return total

    def _held(self) -> tuple[int, Path, sqlite3.Connection]:
        """Return what is held until this object ends.

        A lock shows others that this process lives. An idle connection keeps SQLite's log and its index: without one,
        each other connection makes and removes them, which takes time, and space that a full disk does not have.
        """
        path, made = self._lock_path(self._worker), self.folder / f"{self._worker}.starting"
        handle = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        idle = None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            idle = self._connected()
            for statement in ("pragma journal_mode=wal", "select count(*) from sqlite_master"):  # which opens the log
                idle.execute(statement).fetchall()
            made.rename(path)  # nobody sees it unlocked
        except BaseException:
            _let_go(handle, made, idle)
            raise
        return handle, path, idle

    def _lock_path(self, worker: str) -> Path:
        return self.folder / f"{worker}.alive"

    def _gone(self, job: Job) -> bool:
        """Return whether the process that owns a job has ended."""
        if job.phase not in ACTIVE:
            return False
        return job.worker is None or not _is_locked(self._lock_path(job.worker))

    def _end_orphans(self) -> None:
        """Set the jobs of processes that have ended to phase ERROR."""
        with self._reading() as connection:
            rows = connection.execute(f"select * from job where phase in {ACTIVE}").fetchall()
        alive = {
            worker: worker is not None and _is_locked(self._lock_path(worker)) for worker in {r["worker"] for r in rows}
        }
        self._end([_job(row) for row in rows if not alive[row["worker"]]])

    def _end(self, jobs: Iterable[Job]) -> None:
        """Set jobs to phase ERROR, unless another process has taken them."""
        if gone := [(time.time(), ENDED, job.id, job.worker) for job in jobs]:
            with self._writing() as connection:
                connection.executemany(
                    "update job set phase = 'ERROR', ended = ?, error = ? "
                    f"where id = ? and worker is ? and phase in {ACTIVE}",
                    gone,
                )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with driver_errors():
            connection = self._connected()
            try:
                yield connection
            finally:
                connection.close()

    def _connected(self) -> sqlite3.Connection:
        path = self.folder / "jobs.sqlite"
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection


def _job(row: Mapping[str, Any]) -> Job:
    names = ("id", "phase", "created", "started", "ended", "destruction", "duration", "error", "content_type", "size",
             "base", "owner", "worker", "n_row")  # fmt: skip
    parameters = tuple((str(name), str(value)) for name, value in json.loads(row["parameters"]))
    return Job(**{name: row[name] for name in names}, parameters=parameters, abort=bool(row["abort"]))


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _let_go(handle: int, path: Path, idle: sqlite3.Connection | None = None) -> None:
    if idle is not None:
        idle.close()
    path.unlink(missing_ok=True)
    os.close(handle)
