"""The daemon on both engines: what arrives is stored once, what fails is told, and leaving leaves nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from tests.support.crash import CrashRun, pretend_files
from tests.support.pretend import gate_of, pretend_to_measure
from tests.support.waiting import wait_until
from ztfdb.codes import JobState
from ztfdb.daemon import watch
from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.service import executor_maker
from ztfdb.daemon.watch import Watcher
from ztfdb.errors import DatabaseUnavailableError
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.length import missing_bytes
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Image, IngestJob
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_files import find_files
from ztfdb.store.ingest_queue import claim_jobs, release_quarantined, retry_failed
from ztfdb.store.queue_reports import count_jobs, find_jobs, read_clock

NIGHT = 59116.4317708


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    made = sessions(engine)
    ingest_paths(made, [])  # freezes the settings
    yield made
    engine.dispose()


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    return folder


def work(maker, folder, *, measure=pretend_to_measure, stop=lambda: False, once=True, **how):
    """Run the daemon until everything that is there has been dealt with."""
    operating = Operating(jobs=how.pop("jobs", 1), idle_s=0.02, **how)
    watcher = Watcher([folder], settle_s=0.0, scan_s=0.1, grace_s=0.0, events=False)
    Loop(maker, Inbox(maker, watcher), operating, executor_maker(ExtractionSettings(), measure)).run(stop, once=once)


def counts(maker):
    with maker() as session:
        return {state: n for state, n in count_jobs(session).items() if n}


def n_image(maker):
    with maker() as session:
        return session.scalar(select(func.count()).select_from(Image))


def test_real_pixels_arrive_and_a_second_look_finds_nothing_to_do(maker, night):
    for k in range(2):
        make_science_image(night, shape=(160, 160), n_star=10, seed=k, obsmjd=NIGHT + k)
    work(maker, night, measure=measure_image, jobs=2)
    assert (counts(maker), n_image(maker)) == ({"done": 2}, 2)
    report = ingest_paths(maker, [night])
    assert (report.unchanged, report.found) == (2, 2)
    work(maker, night, measure=measure_image)
    assert (counts(maker), n_image(maker)) == ({"done": 2}, 2)


def test_a_renamed_folder_is_followed(maker, night):
    for k in range(2):
        make_science_image(night, shape=(160, 160), n_star=10, seed=k, obsmjd=NIGHT + k)
    work(maker, night, measure=measure_image)
    after = night.rename(night.with_name("after"))
    work(maker, after, measure=measure_image)
    with maker() as session:
        files = find_files(session, list(session.scalars(select(Image.image_id))))
        outcomes = sorted(session.scalars(select(IngestJob.outcome)))
    assert len(files) == 4
    assert all(Path(file.absolute).parent == after for file in files)
    assert outcomes == ["moved", "moved", "stored", "stored"]
    assert n_image(maker) == 2


def test_a_new_daemon_reads_no_header_of_a_file_that_the_queue_has(maker, night, monkeypatch):
    made = [make_science_image(night, shape=(160, 160), n_star=10, seed=k, obsmjd=NIGHT + k) for k in range(4)]
    work(maker, night)
    read = []
    monkeypatch.setattr(watch, "missing_bytes", lambda path: read.append(path) or missing_bytes(path))
    work(maker, night)
    assert read == []
    os.utime(made[0].sci, ns=(10**18, 10**18))
    os.utime(made[1].msk, ns=(10**18, 10**18))
    made[2].msk.unlink()
    made[3].sci.rename(night / made[3].sci.name.replace("_000", "_001"))
    work(maker, night)
    changed = {str(path) for one in made[:2] for path in (one.sci, one.msk)}
    renamed = str(night / made[3].sci.name.replace("_000", "_001"))
    assert {str(path) for path in read} == {*changed, str(made[2].sci), renamed}


def test_failures_wait_longer_each_time_and_the_rest_are_set_aside(maker, night):
    pretend_files(night, ["star", "header", "die", "bug"])
    work(maker, night, retry_s=1000.0)
    assert counts(maker) == {"done": 1, "failed": 1, "quarantined": 2}
    with maker() as session:
        set_aside = {job.error: job for job in find_jobs(session, [JobState.QUARANTINED])}
        (waits,) = find_jobs(session, [JobState.FAILED])
        now = read_clock(session)
    assert set_aside["HeaderError"].reason == "no MAGZP"
    assert "ZeroDivisionError: no such luck" in set_aside["ExtractionError"].detail
    assert waits.error == "WorkerDied" and 900 < waits.due - now <= 1000
    for expected in (4000.0, 14400.0):
        with writing(maker) as session:
            assert retry_failed(session, now=read_clock(session)) == 1
        work(maker, night, retry_s=1000.0)
        with maker() as session:
            (waits,) = find_jobs(session, [JobState.FAILED])
            assert waits.due - read_clock(session) == pytest.approx(expected, abs=60)
    with writing(maker) as session:
        retry_failed(session, now=read_clock(session))
    work(maker, night, retry_s=1000.0, attempts=4)
    assert counts(maker) == {"done": 1, "quarantined": 3}


def test_a_released_image_and_a_mended_file_are_tried_again(maker, night):
    first, second = pretend_files(night, ["header", "header"])
    work(maker, night)
    assert counts(maker) == {"quarantined": 2}
    first.write_text("star 0".ljust(20))
    work(maker, night)
    assert counts(maker) == {"quarantined": 1, "done": 1}
    os.utime(second, ns=(second.stat().st_mtime_ns,) * 2)
    with writing(maker) as session:
        assert release_quarantined(session, now=read_clock(session)) == 1
    work(maker, night)
    with maker() as session:
        (job,) = find_jobs(session, [JobState.QUARANTINED])
    assert job.attempts == 1


def test_a_file_that_goes_before_its_turn_is_a_failure_with_its_reason(maker, night):
    (path,) = pretend_files(night, ["star"])
    work(maker, night, stop=stop_after(maker, 1))
    path.unlink()
    with writing(maker) as session:
        session.execute(update(IngestJob).values(state="pending", due=0.0))
    work(maker, night)
    with maker() as session:
        (job,) = find_jobs(session, [JobState.FAILED])
    assert (job.error, job.reason) == ("FileMissingError", "the file is gone")


def test_images_of_a_data_root_that_is_not_here_wait(maker, night, caplog):
    pretend_files(night, ["header"] * 2)
    work(maker, night)
    with writing(maker) as session:
        release_quarantined(session, now=read_clock(session))
    away = night.rename(night.with_name("unmounted"))
    night_again = night.with_name("other")
    night_again.mkdir()
    work(maker, night_again)
    assert counts(maker) == {"pending": 2}
    assert "data roots are not here" in caplog.text
    away.rename(night)
    work(maker, night)
    assert counts(maker) == {"quarantined": 2}


def test_a_read_only_data_root_is_as_good_as_any(maker, night):
    pretend_files(night, ["star"])
    night.chmod(0o500)
    work(maker, night)
    night.chmod(0o700)
    assert counts(maker) == {"done": 1}


def test_asked_to_leave_it_finishes_what_is_in_hand_and_puts_back_the_rest(maker, night):
    pretend_files(night, ["slow"] * 20)
    work(maker, night, stop=stop_after(maker, 2), jobs=2)
    found = counts(maker)
    assert set(found) == {"done", "pending"}
    assert 2 <= found["done"] <= 5
    assert n_image(maker) == found["done"]


def stop_after(maker, n):
    return lambda: n_image(maker) >= n


def test_the_database_may_go_away_and_come_back(maker, night, monkeypatch, caplog):
    import ztfdb.ingest.loop as loop

    pretend_files(night, ["star"] * 3)
    real, calls = loop.commit_image, []

    def refuse_twice(*args, **how):
        calls.append(1)
        if len(calls) in (1, 3):
            raise DatabaseUnavailableError("database or disk is full")
        return real(*args, **how)

    monkeypatch.setattr(loop, "commit_image", refuse_twice)
    work(maker, night)
    assert (counts(maker), n_image(maker), len(calls)) == ({"done": 3}, 3, 5)
    waits = [record for record in caplog.records if record.message == "the database is not available"]
    assert [record.reason for record in waits] == ["database or disk is full"] * 2


def test_whoever_lost_a_job_stores_nothing(maker, night):
    pretend_files(night, ["slow"])

    def steal():
        with writing(maker) as session:
            now = read_clock(session)
            taken = claim_jobs(session, [1], owner="thief", n=1, lease_s=1000.0, now=now + 1e6) if busy(maker) else []
        return bool(taken)

    work(maker, night, stop=steal)
    assert (counts(maker), n_image(maker)) == ({"leased": 1}, 0)


def busy(maker):
    return counts(maker).get("leased", 0) > 0


def test_sigterm_lets_the_command_finish_its_image(engine_url, maker, night):
    files = pretend_files(night, ["star"] + ["gate"] * 9)
    run = CrashRun(engine_url, night, measure="pretend", jobs=1)
    run.start()
    wait_until(lambda: n_image(maker) == 1 and counts(maker).get("leased", 0) > 0)
    run.send(signal.SIGTERM)
    gate_of(files[0]).touch()
    assert run.end(signal.SIGTERM) == 0
    found = counts(maker)
    assert set(found) == {"done", "pending"}
    assert n_image(maker) == found["done"] < 10
