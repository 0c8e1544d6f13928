"""Jobs of a service: whose they are, and a true state however the process that worked on them ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from ztfdb.errors import ConfigError, QueryError
from ztfdb.store import tap_jobs
from ztfdb.store.service_tokens import TokenStore
from ztfdb.store.tap_jobs import JobStore

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


HOLDER = """
import pathlib, sys
from ztfdb.store.tap_jobs import JobStore
store = JobStore(pathlib.Path(sys.argv[1]))
for phase in ("QUEUED", "EXECUTING"):
    key = store.create([("QUERY", "x")], days=7.0, duration=60.0).id
    store.queue(key) if phase == "QUEUED" else store.start(key)
    print(key, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_process(folder):
    """A process with one job in its queue and one that runs: itself and the ids of the jobs."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, [process.stdout.readline().strip() for _ in range(2)]
        finally:
            process.kill()


def phases_of(store, keys):
    return [store.get(key).phase for key in keys]


def test_jobs_of_a_killed_process_are_in_error(tmp_path):
    with another_process(tmp_path) as (process, keys):
        store = JobStore(tmp_path)
        assert phases_of(store, keys) == ["QUEUED", "EXECUTING"]
        assert len(list(tmp_path.glob("*.alive"))) == 2
        process.kill()
        process.wait()
    for found in map(store.get, keys):
        assert (found.phase, "ended" in found.error, found.ended is not None) == ("ERROR", True, True)
    store.sweep()
    assert len(list(tmp_path.glob("*.alive"))) == 1


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_the_clock_may_be_set(tmp_path, clock, step):
    """And a process may be suspended: both look as if it had been silent for long."""
    clock.now = time.time()
    store = JobStore(tmp_path)
    mine = store.create([], **DAYS).id
    assert store.start(mine)
    with another_process(tmp_path) as (process, keys):
        os.kill(process.pid, signal.SIGSTOP)
        clock.now += step
        store.sweep()
        assert phases_of(store, [*keys, mine]) == ["QUEUED", "EXECUTING", "EXECUTING"]


def test_a_job_is_taken_once(tmp_path):
    """Two clients that run the same job, each by another process of the service."""
    store, other = JobStore(tmp_path), JobStore(tmp_path)
    key = store.create([], **DAYS).id
    assert store.queue(key) and not other.queue(key)
    assert store.start(key) and not store.queue(key) and not other.start(key)
    assert other.get(key).phase == "EXECUTING"


def test_an_ended_process_leaves_no_jobs_and_no_lock(tmp_path):
    store, other = JobStore(tmp_path), JobStore(tmp_path)
    key = store.create([], **DAYS).id
    store.start(key)
    store.close()
    assert other.get(key).phase == "ERROR"
    assert len(list(tmp_path.glob("*.alive"))) == 1


def test_files_that_nobody_needs_are_removed(tmp_path):
    """Halves of results and the tables sent with ended jobs, which would fill the space of all for a week."""
    store = JobStore(tmp_path)
    keys = {phase: store.create([], files={"a": b"table"}, **DAYS).id for phase in ("PENDING", "COMPLETED", "ERROR")}
    gone = store.create([], **DAYS).id
    for phase in ("COMPLETED", "ERROR"):
        store.start(keys[phase])
    for key in (*keys.values(), gone):
        store.result_path(key).write_bytes(b"result")
        store.result_path(key).with_suffix(".result.part").write_bytes(b"half")
    for phase in ("COMPLETED", "ERROR"):
        store.finish(keys[phase], phase)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.execute("delete from job where id = ?", (gone,))
    connection.close()
    store.sweep()
    left = sorted(path.name for path in tmp_path.glob("*.result*"))
    pending = [keys["PENDING"] + suffix for suffix in (".result", ".result.files", ".result.part")]
    assert left == sorted([*pending, f"{keys['COMPLETED']}.result"])


def test_a_sweep_leaves_the_files_of_jobs_made_meanwhile(tmp_path, monkeypatch):
    store = JobStore(tmp_path)
    old = store.create([], files={"a": b"table"}, **DAYS).id
    store.change_destruction(old, 0.0)
    delete, made = JobStore.delete, []

    def slow_delete(self, key):
        delete(self, key)
        made.append(self.create([], files={"a": b"table"}, **DAYS).id)

    monkeypatch.setattr(JobStore, "delete", slow_delete)
    store.sweep()
    assert [store.files(key) for key in (old, *made)] == [{}, {"a": b"table"}]


def test_a_job_whose_time_has_come_is_not_there(tmp_path, clock):
    store = JobStore(tmp_path)
    waiting, running = (store.create([], owner="anna", **DAYS).id for _ in range(2))
    store.start(running)
    assert store.orders(running) == (False, 60.0)
    for key in (waiting, running):
        store.change_destruction(key, clock.now)
    assert store.get(waiting) is None
    assert [job.id for job in store.owned("anna")] == [running]
    assert store.orders(running) == (True, 60.0)
    store.finish(running, "ABORTED")
    assert store.get(running) is None
    assert store.owned("anna") == []


def test_many_jobs_are_listed_at_once(tmp_path, monkeypatch):
    store = JobStore(tmp_path)
    keys = [store.create([], owner="anna", **DAYS).id for _ in range(20)]
    opened = []
    connect = sqlite3.connect

    def counted(*args, **options):
        opened.append(args)
        return connect(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", counted)
    assert [job.id for job in store.owned("anna")] == keys
    assert len(opened) <= 2


def test_tables_sent_later_are_added(tmp_path):
    store = JobStore(tmp_path)
    key = store.create([], files={"a": b"1", "b": b"2"}, **DAYS).id
    store.keep_files(key, {"b": b"3", "c": b"4"})
    assert store.files(key) == {"a": b"1", "b": b"3", "c": b"4"}
    assert not list(tmp_path.glob("*.part"))


def test_a_result_with_too_many_rows_is_not_read(tmp_path):
    store = JobStore(tmp_path)
    key = store.create([], **DAYS).id
    store.start(key)
    store.finish(key, "COMPLETED", n_row=1001)
    with pytest.raises(QueryError, match="has 1,001 rows, at most 1,000 are taken"):
        store.result(key, 1000)
    store.result_path(key).write_bytes(b"rows")
    assert store.result(key, 1001) == b"rows"


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
