"""Which of several waiting jobs is next."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from types import SimpleNamespace

from ztfdb.serve.limits import Limits
from ztfdb.serve.tap import jobs
from ztfdb.store.tap_jobs import JobStore

WAIT_S = 30.0
ANSWER = {"content_type": "text/csv", "size": 0, "overflow": 0, "n_row": 0}


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """One that answers one job after the other, once it may begin; `begun` are their owners."""
    monkeypatch.setattr(jobs, "THREADS", 1)
    made = jobs.JobRunner(JobStore(tmp_path), SimpleNamespace(), Limits())
    made.may_begin, made.begun, made.n_left, made.over = threading.Event(), [], 0, threading.Event()

    def answer(job):
        assert made.may_begin.wait(WAIT_S)
        made.begun.append(job.owner)
        if len(made.begun) == made.n_left:
            made.over.set()
        return ANSWER

    monkeypatch.setattr(made, "_answer", answer)
    yield made
    made.may_begin.set()
    made.close()


def put(runner, owners):
    runner.n_left += len(owners)
    return [job for owner in owners for job in [runner.store.create([], days=1, duration=60, owner=owner)]
            if runner.submit(job)]  # fmt: skip


def test_many_jobs_of_one_owner_do_not_hold_up_the_others(runner):
    put(runner, ["ann"] * 5 + ["bob"] * 2 + [None])
    runner.may_begin.set()
    assert runner.over.wait(WAIT_S)
    assert runner.begun == ["ann", "bob", None, "ann", "bob", "ann", "ann", "ann"]


def test_jobs_of_one_owner_run_in_their_order(runner):
    made = put(runner, [None] * 4)
    runner.may_begin.set()
    assert runner.over.wait(WAIT_S)
    runner.close()
    started = [runner.store.get(job.id).started for job in made]
    assert started == sorted(started)


def test_an_aborted_job_takes_no_turn_of_its_owner(runner):
    made = put(runner, ["ann", "bob", "bob"])
    runner.store.change(made[1].id, abort=1)
    runner.store.finish(made[1].id, "ABORTED")
    runner.n_left = 2
    runner.may_begin.set()
    assert runner.over.wait(WAIT_S)
    assert runner.begun == ["ann", "bob"]
    assert runner.store.get(made[1].id).phase == "ABORTED"


def test_the_owner_with_the_fewest_running_jobs_is_next():
    turns = jobs.Turns()
    for at, owner in enumerate(["ann", "ann", "bob", "bob"]):
        turns.add(SimpleNamespace(id=f"{owner}{at}", owner=owner))
    with turns.turn() as first, turns.turn() as second:
        assert (first, second) == ("ann0", "bob2")
        turns.add(SimpleNamespace(id="cy4", owner="cy"))
        with turns.turn() as third:
            assert third == "cy4"
