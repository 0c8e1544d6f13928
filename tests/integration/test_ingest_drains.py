"""``ztfdb ingest`` works through the archive's queue: alone, beside daemons, and after an end that was none."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from sqlalchemy import func, select, text, update

from tests.support.crash import CrashRun, pretend_files
from tests.support.pretend import pretend_to_measure
from tests.support.waiting import wait_until
from ztfdb.codes import JobState
from ztfdb.ingest import loop
from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Image, IngestJob
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.ingest_queue import claim_jobs, fail
from ztfdb.store.queue_reports import count_jobs, find_jobs, read_clock


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    made = sessions(engine)
    ingest_paths(made, [])  # freezes the settings
    yield made
    engine.dispose()


@pytest.fixture
def night(tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)
    folder = tmp_path / "night"
    folder.mkdir()
    return folder


def counts(maker):
    with maker() as session:
        return {state: n for state, n in count_jobs(session).items() if n}


def outcomes(report):
    return [one.outcome.value for one in report.outcomes]


def test_every_image_is_a_job_and_a_second_run_writes_nothing(maker, night):
    pretend_files(night, ["star"] * 5)
    assert outcomes(ingest_paths(maker, [night])) == ["stored"] * 5
    assert counts(maker) == {"done": 5}
    # on PostgreSQL xmin is the transaction that wrote a row
    rows = "select *, xmin from ingest_job order by job_id" if is_postgresql(maker) else "select * from ingest_job"
    with maker() as session:
        before = session.execute(text(rows)).all()
    assert outcomes(ingest_paths(maker, [night])) == ["unchanged"] * 5
    with maker() as session:
        assert session.execute(text(rows)).all() == before


def is_postgresql(maker):
    with maker() as session:
        return session.get_bind().dialect.name == "postgresql"


def test_a_second_run_does_not_wait_for_a_writer(engine_url, maker, night):
    """It reads alone: another process may hold SQLite's only lock meanwhile."""
    pretend_files(night, ["star"] * 3)
    ingest_paths(maker, [night])
    other = make_engine(engine_url)
    with other.connect() as connection:
        connection.exec_driver_sql("insert into data_root (name, path) values ('x', '/x')")  # and no commit
        started = time.monotonic()
        assert outcomes(ingest_paths(maker, [night])) == ["unchanged"] * 3
        assert time.monotonic() - started < 20.0  # SQLite's patience with a lock is 30 s
    other.dispose()


def test_failures_stay_in_the_queue_and_the_next_ingest_tries_them_at_once(maker, night):
    bad, worse = pretend_files(night, ["header", "bug"])
    report = ingest_paths(maker, [night])
    assert outcomes(report) == ["failed"] * 2
    assert counts(maker) == {"quarantined": 2}
    with maker() as session:
        told = {job.path: job for job in find_jobs(session, [JobState.QUARANTINED])}
    assert (told[bad.name].error, told[bad.name].reason) == ("HeaderError", "no MAGZP")
    assert "ZeroDivisionError" in told[worse.name].detail
    assert outcomes(ingest_paths(maker, [night])) == ["failed"] * 2
    with maker() as session:
        assert {job.attempts for job in find_jobs(session, [JobState.QUARANTINED])} == {1}
    bad.write_text("star 0".ljust(20))
    assert sorted(outcomes(ingest_paths(maker, [night]))) == ["failed", "stored"]
    assert counts(maker) == {"quarantined": 1, "done": 1}


def test_other_jobs_of_the_queue_are_left_alone(maker, night, tmp_path):
    pretend_files(night, ["star"] * 3)
    ingest_paths(maker, [night])
    with writing(maker) as session:
        session.execute(update(IngestJob).values(state="pending", due=0.0))
    other = tmp_path / "other"
    other.mkdir()
    (path,) = pretend_files(other, ["star"])
    path.write_text("star 77".ljust(16))
    assert outcomes(ingest_paths(maker, [other])) == ["stored"]
    assert counts(maker) == {"pending": 3, "done": 1}


def test_force_takes_a_job_from_whoever_has_it(maker, night):
    pretend_files(night, ["star"])
    ingest_paths(maker, [night])
    with writing(maker) as session:
        session.execute(update(IngestJob).values(state="pending", due=0.0))
        (claim,) = claim_jobs(session, [1], owner="someone", n=1, lease_s=1000.0, now=read_clock(session))
    assert outcomes(ingest_paths(maker, [night], force=True)) == ["replaced"]
    with writing(maker) as session:
        assert not fail(session, claim, error="E", reason="r", detail="", retry_at=None, now=0.0)
    assert counts(maker) == {"done": 1}


@pytest.mark.parametrize("end", ["failed", "done", "put back"])
def test_what_somebody_else_has_taken_is_waited_for(maker, night, end):
    pretend_files(night, ["star"] * 2)
    ingest_paths(maker, [night])
    with writing(maker) as session:  # as if the first image had never been stored, and a daemon had it now
        for name in ("source", "image_cell", "image_file", "image_header", "image"):
            session.execute(text(f"delete from {name}"))
        session.execute(update(IngestJob).values(state="pending", due=0.0))
        (claim,) = claim_jobs(session, [1], owner="someone", n=1, lease_s=1000.0, now=read_clock(session))
    reports = []
    thread = threading.Thread(target=lambda: reports.append(ingest_paths(maker, [night])))
    thread.start()
    while counts(maker) != {"leased": 1, "done": 1}:
        time.sleep(0.05)
    thread.join(0.6)
    assert thread.is_alive()
    changed = {
        "failed": {"state": "quarantined", "due": None, "error": "HeaderError", "reason": "no GAIN"},
        "done": {"state": "done", "due": None, "image_id": 7},
        "put back": {"state": "pending", "due": 0.0},
    }[end]
    with writing(maker) as session:
        nobody = {"owner": None, "token": None}
        session.execute(update(IngestJob).where(IngestJob.job_id == claim.job_id).values(**changed, **nobody))
    thread.join()
    (report,) = reports
    first = report.outcomes[0]
    wanted = {"failed": ("failed", "no GAIN"), "done": ("unchanged", ""), "put back": ("stored", "")}[end]
    assert (first.outcome.value, first.reason) == wanted
    assert report.outcomes[1].outcome.value == "stored"


def test_a_daemon_and_an_ingest_share_the_work_and_each_image_is_stored_once(engine_url, maker, night):
    pretend_files(night, ["slow"] * 30)
    run = CrashRun(engine_url, night, measure="pretend", jobs=1)
    run.start()
    wait_until(lambda: counts(maker).get("done", 0) > 0)
    report = ingest_paths(maker, [night])
    wait_until(lambda: counts(maker) == {"done": 30})
    assert run.end(signal.SIGTERM) == 0
    assert (report.found, report.failed) == (30, 0)
    assert report.stored + sum(run.reported().values()) == 30
    with maker() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 30


@pytest.mark.parametrize("together", [1, 2])
def test_an_interrupt_leaves_no_lease_and_the_rest_in_the_queue(maker, night, monkeypatch, together):
    """Also where images share a transaction, whose images are reported when it is over."""
    monkeypatch.setattr(loop, "MOST_IN_GROUP", together)
    pretend_files(night, ["star"] * 6)

    def interrupt(step):
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_paths(maker, [night], progress=interrupt)
    left = counts(maker)
    assert left.pop("done") == 2
    assert set(left) == {"pending"}  # at most four: on a slow machine the last ones were not looked at yet
    report = ingest_paths(maker, [night])
    assert (report.unchanged, report.stored) == (2, 4)
