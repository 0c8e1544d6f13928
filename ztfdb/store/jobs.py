"""Asynchronous jobs: a SQLite file of their own, apart from the archive, with a folder of results beside it.

A job is worked on by one process, which says every few seconds that it is still there. A job whose process is gone is
in error, and the next who looks at it writes that down: however a process ends, no job stays in a state that is not
true.
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

DONE = ("COMPLETED", "ERROR", "ABORTED")
"""Phases that last."""

SILENT_S = 20.0
"""A process that has said nothing for longer is gone."""

DAY_S = 86400.0
_BUSY_S = 30.0

_TABLE = """
create table if not exists job (
    id text primary key, phase text not null, parameters text not null, created real not null, started real,
    ended real, destruction real not null, duration real not null, pid integer, beat real, abort integer not null
    default 0, error text, content_type text, size integer, overflow integer, base text not null default '')
"""


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


class JobStore:
    """The jobs of a service.

    Parameters
    ----------
    folder : Path
        Made where it is not there, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._reading() as connection:
            connection.execute("pragma journal_mode=wal")
            connection.execute(_TABLE)
            if "base" not in {row["name"] for row in connection.execute("pragma table_info(job)")}:
                connection.execute("alter table job add column base text not null default ''")  # of an earlier ztfdb

    def create(
        self,
        parameters: list[tuple[str, str]],
        *,
        days: float,
        duration: float,
        files: Mapping[str, bytes] | None = None,
        base: str = "",
    ) -> Job:
        """Make a job that waits to be run.

        `files` are those that came with its parameters, `base` is the address of the service that links begin with.
        """
        now, key = time.time(), secrets.token_hex(16)
        with self._writing() as connection:
            connection.execute(
                "insert into job (id, phase, parameters, created, destruction, duration, base) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                (key, "PENDING", json.dumps(parameters), now, now + days * DAY_S, duration, base),
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

    def result(self, key: str) -> bytes | None:
        """Return the result of a job that was completed, None where there is none."""
        job = self.get(key)
        if job is None or job.phase != "COMPLETED":
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
        if job.phase == "EXECUTING" and _gone(job):
            self.finish(key, "ERROR", error="the process that worked on this job ended")
            return self.get(key)
        return job

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

    def start(self, key: str) -> bool:
        """Take a job that waits, in this process; return whether it was there to take."""
        now = time.time()
        with self._writing() as connection:
            done = connection.execute(
                "update job set phase = 'EXECUTING', started = ?, pid = ?, beat = ? "
                "where id = ? and phase in ('PENDING', 'QUEUED') and abort = 0",
                (now, os.getpid(), now, key),
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
            if job.phase in ("EXECUTING", "QUEUED") and (_gone(job) or job.pid is None):
                self.finish(job.id, "ERROR", error="the service ended before this job was done")
        for path in self.folder.glob("*.result*"):
            if path.name.partition(".")[0] not in known:
                path.unlink(missing_ok=True)

    def spooled(self) -> int:
        """Return the bytes that results take."""
        return sum(path.stat().st_size for path in self.folder.glob("*.result*") if path.exists())

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection:
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.folder / "jobs.sqlite", timeout=_BUSY_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()


def _job(row: Mapping[str, Any]) -> Job:
    names = ("id", "phase", "created", "started", "ended", "destruction", "duration", "pid", "beat", "error",
             "content_type", "size", "base")  # fmt: skip
    parameters = tuple((str(name), str(value)) for name, value in json.loads(row["parameters"]))
    return Job(**{name: row[name] for name in names}, parameters=parameters, abort=bool(row["abort"]))


def _gone(job: Job) -> bool:
    """Tell whether the process of a job has ended."""
    if job.beat is None or job.pid is None:
        return False
    if time.time() - job.beat > SILENT_S:
        return True
    try:
        os.kill(job.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
