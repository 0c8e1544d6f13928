"""Jobs of a service: whose they are, and a true state however the process that worked on them ended."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from ztfdb.errors import ConfigError
from ztfdb.store import tap_jobs
from ztfdb.store.service_tokens import TokenStore
from ztfdb.store.tap_jobs import SILENT_S, JobStore

DAYS = {"days": 7.0, "duration": 60.0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1_800_000_000.0

        def time(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(tap_jobs, "time", made)
    return made


def held_by(folder, pid, phase="EXECUTING"):
    """A job in the hands of a process of some number."""
    store = JobStore(folder)
    key = store.create([("QUERY", "x")], **DAYS).id
    store.queue(key) if phase == "QUEUED" else store.start(key)
    with sqlite3.connect(folder / "jobs.sqlite") as connection:
        connection.execute("update job set pid = ?, worker = 'another' where id = ?", (pid, key))
    connection.close()
    return key


def ended_pid():
    """Number of a process that is no more."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize("phase", ["QUEUED", "EXECUTING"])
def test_a_job_of_a_process_that_ended_is_in_error(tmp_path, phase):
    key = held_by(tmp_path, ended_pid(), phase)
    found = JobStore(tmp_path).get(key)
    assert (found.phase, "ended" in found.error, found.ended is not None) == ("ERROR", True, True)


@pytest.mark.parametrize("phase", ["QUEUED", "EXECUTING"])
def test_a_process_with_the_number_of_a_killed_one_is_another(tmp_path, phase):
    """In a container, the process after a restart often has the number of the one before."""
    key = held_by(tmp_path, os.getpid(), phase)
    assert JobStore(tmp_path).get(key).phase == "ERROR"


@pytest.mark.parametrize("phase", ["QUEUED", "EXECUTING"])
def test_a_job_of_another_process_that_still_speaks_is_left_alone(tmp_path, clock, phase):
    key = held_by(tmp_path, os.getppid(), phase)
    store = JobStore(tmp_path)
    clock.now += SILENT_S - 1
    store.sweep()
    assert store.get(key).phase == phase
    clock.now += 2
    store.sweep()
    assert store.get(key).phase == "ERROR"


def test_a_job_may_wait_in_the_queue_for_long(tmp_path, clock):
    store, other = JobStore(tmp_path), JobStore(tmp_path)
    key = store.create([], **DAYS).id
    store.queue(key)
    for _ in range(20):
        clock.now += SILENT_S - 1
        store.beat_queued()
        other.beat_queued()  # another process speaks for its own
    assert store.get(key).phase == "QUEUED"
    assert store.start(key)
    store.finish(key, "COMPLETED")
    clock.now += 10 * SILENT_S
    store.sweep()
    assert store.get(key).phase == "COMPLETED"


def test_a_process_that_ends_puts_its_own_queue_in_error(tmp_path):
    store, other = JobStore(tmp_path), JobStore(tmp_path)
    mine, pending, theirs = (one.create([], **DAYS).id for one in (store, store, other))
    store.queue(mine)
    other.queue(theirs)
    store.end_queued()
    assert [other.get(key).phase for key in (pending, theirs)] == ["PENDING", "QUEUED"]
    assert store.get(mine).phase == "ERROR"


def test_jobs_are_seen_by_their_owner_alone(tmp_path, clock):
    store = JobStore(tmp_path)
    made = []
    for owner in ("anna", "boris", None, "anna"):
        made.append(store.create([], owner=owner, **DAYS))
        clock.now += 1
    assert [job.id for job in store.owned("anna")] == [made[0].id, made[3].id]
    assert [job.id for job in store.owned("anna", after=made[0].created)] == [made[3].id]
    assert store.owned("nobody") == []
    assert [job.seen_by("anna") for job in made] == [True, False, True, True]
    assert [job.seen_by(None) for job in made] == [False, False, True, False]


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.execute(
            "create table job (id text primary key, phase text not null, parameters text not null, created real not "
            "null, started real, ended real, destruction real not null, duration real not null, pid integer, beat real,"
            " abort integer not null default 0, error text, content_type text, size integer, overflow integer)"
        )
        connection.execute("insert into job values ('a', 'PENDING', '[]', 1, null, null, 9e9, 60, null, null, 0, "
                           "null, null, null, null)")  # fmt: skip
    connection.close()
    store = JobStore(tmp_path)
    job = store.get("a")
    assert (job.phase, job.owner, job.base, job.seen_by("anna")) == ("PENDING", None, "", True)
    assert store.start("a")


@pytest.mark.parametrize(("store", "name"), [(JobStore, "jobs.sqlite"), (TokenStore, "tokens.sqlite")])
def test_a_file_that_cannot_be_used_is_told(tmp_path, store, name):
    store(tmp_path)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / (name + suffix)).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=r"state, .*, cannot be used: .*unable to open database file"):
        store(tmp_path)
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text("no database " * 100)
    with pytest.raises(ConfigError, match=r"state, .*, cannot be used: .*file is not a database"):
        store(tmp_path)
