"""The queue of images on both engines: what is put in is taken once, and whoever lost a job cannot mark it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, update

from ztfdb.cli.app import application
from ztfdb.codes import JobState
from ztfdb.errors import LeaseLostError
from ztfdb.schema import DataRoot, IngestJob
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.ingest_queue import (
    JobFile,
    beat,
    claim_jobs,
    enqueue,
    fail,
    find_owners,
    finish,
    hold,
    put_back,
    release_quarantined,
    retry_failed,
    take_back,
)
from ztfdb.store.queue_reports import count_jobs, find_jobs, queue_summary, read_clock

ROOT = 1
NOW = 1_000_000.0
LEASE = 60.0


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    made = sessions(engine)
    with writing(made) as session:
        session.execute(insert(DataRoot), [{"data_root_id": k, "name": f"r{k}", "path": f"/r{k}"} for k in (1, 2)])
    yield made
    engine.dispose()


def files(n, root=ROOT, size=100):
    return [(JobFile(root, f"{k:06d}_sciimg.fits", size, 5), NOW) for k in range(n)]


def put(maker, entries, now=NOW):
    with writing(maker) as session:
        return len(enqueue(session, entries, now=now))


def take(maker, n=1, owner="me", now=NOW, roots=(ROOT,), lease_s=LEASE):
    with writing(maker) as session:
        return claim_jobs(session, roots, owner=owner, n=n, lease_s=lease_s, now=now)


def counts(maker):
    with maker() as session:
        return {state: n for state, n in count_jobs(session).items() if n}


def end(maker, claim, now=NOW):
    with writing(maker) as session:
        hold(session, claim, lease_s=LEASE, now=now)
        assert finish(session, claim, outcome="stored", image_id=7, now=now)


def test_a_job_goes_from_pending_to_done(maker):
    assert put(maker, files(3)) == 3
    assert counts(maker) == {"pending": 3}
    (claim,) = take(maker)
    assert claim.file == files(3)[0][0]
    assert counts(maker) == {"pending": 2, "leased": 1}
    end(maker, claim)
    assert counts(maker) == {"pending": 2, "done": 1}
    assert len(take(maker, n=9)) == 2
    assert take(maker, n=9) == []


def test_the_same_files_again_are_no_new_work(maker):
    put(maker, files(3))
    end(maker, take(maker)[0])
    assert put(maker, files(3)) == 0
    assert counts(maker) == {"pending": 2, "done": 1}


def test_a_changed_file_is_work_again_and_its_old_claim_is_void(maker):
    put(maker, files(2))
    done, under_way = take(maker, 2)
    end(maker, done)
    assert put(maker, files(2, size=101)) == 2
    with pytest.raises(LeaseLostError), writing(maker) as session:
        hold(session, under_way, lease_s=LEASE, now=NOW)
    assert [claim.file.size for claim in take(maker, 9)] == [101, 101]


def test_a_mask_that_arrives_is_work_and_one_that_goes_is_not(maker):
    bare = JobFile(ROOT, "a_sciimg.fits", 1, 1)
    masked = JobFile(ROOT, "a_sciimg.fits", 1, 1, 9, 9)
    assert put(maker, [(bare, NOW + 600)]) == 1
    assert take(maker) == []
    assert put(maker, [(masked, NOW)]) == 1
    end(maker, take(maker)[0])
    assert put(maker, [(bare, NOW)]) == 0
    assert put(maker, [(JobFile(ROOT, "a_sciimg.fits", 1, 1, 9, 10), NOW)]) == 1


def test_a_lease_that_ends_returns_the_job_and_fences_its_owner(maker):
    put(maker, files(1))
    (first,) = take(maker)
    assert take(maker, owner="other", now=NOW + LEASE - 1) == []
    (second,) = take(maker, owner="other", now=NOW + LEASE)
    with pytest.raises(LeaseLostError), writing(maker) as session:
        hold(session, first, lease_s=LEASE, now=NOW + LEASE)
    with writing(maker) as session:
        assert not finish(session, first, outcome="stored", image_id=1, now=NOW)
        assert not fail(session, first, error="E", reason="r", detail="d", retry_at=None, now=NOW)
        assert not put_back(session, first, due=NOW)
    end(maker, second)


def test_a_beating_owner_keeps_its_jobs_and_learns_of_lost_ones(maker):
    put(maker, files(2))
    (kept,) = take(maker)
    (lost,) = take(maker)
    put(maker, [(JobFile(ROOT, lost.file.path, 101, 5), NOW)])
    with writing(maker) as session:
        assert beat(session, [kept, lost], lease_s=LEASE, now=NOW + 50) == {kept.job_id}
    assert [claim.file.path for claim in take(maker, 9, owner="other", now=NOW + LEASE)] == [lost.file.path]


def test_failures_wait_and_are_set_aside_with_the_whole_error(maker):
    put(maker, files(1))
    for attempt in range(3):
        (claim,) = take(maker, now=NOW + 100 * attempt)
        assert claim.attempts == attempt
        retry_at = NOW + 100 * (attempt + 1) if attempt < 2 else None
        with writing(maker) as session:
            facts = {"error": "ImageReadError", "reason": "cut\0short", "detail": "Traceback…"}
            assert fail(session, claim, **facts, retry_at=retry_at, now=NOW)
        assert take(maker, now=NOW + 100 * attempt + 99) == []
    assert counts(maker) == {"quarantined": 1}
    with maker() as session:
        (job,) = find_jobs(session, [JobState.QUARANTINED])
    assert (job.error, job.reason, job.detail, job.attempts) == ("ImageReadError", "cut\\0short", "Traceback…", 3)
    assert take(maker, now=NOW + 1e9) == []
    with writing(maker) as session:
        assert release_quarantined(session, [job.job_id + 1], now=NOW) == 0
        assert release_quarantined(session, [job.job_id], now=NOW) == 1
    (claim,) = take(maker)
    assert claim.attempts == 0


def test_retry_does_not_wait(maker):
    put(maker, files(1))
    (claim,) = take(maker)
    with writing(maker) as session:
        fail(session, claim, error="E", reason="r", detail="", retry_at=NOW + 1000, now=NOW)
        assert retry_failed(session, now=NOW) == 1
    assert len(take(maker)) == 1


def test_jobs_of_roots_that_are_not_here_stay(maker):
    put(maker, [*files(2, root=2), *files(2)])
    assert {claim.file.data_root_id for claim in take(maker, 9)} == {1}
    assert len(take(maker, 9, roots=(1, 2))) == 2


def test_the_leases_of_the_dead_are_taken_back(maker):
    put(maker, files(4))
    take(maker, 2, owner="dead")
    take(maker, 1, owner="alive")
    with writing(maker) as session:
        assert find_owners(session) == ["alive", "dead"]
        assert take_back(session, ["dead"], now=NOW) == 2
    assert counts(maker) == {"pending": 3, "leased": 1}


def test_the_summary_counts_dates_and_names_errors(maker):
    put(maker, files(5))
    claims = take(maker, 3)
    end(maker, claims[0], now=NOW + 10)
    with writing(maker) as session:
        fail(session, claims[1], error="HeaderError", reason="no MAGZP", detail="", retry_at=None, now=NOW + 20)
    with maker() as session:
        facts = queue_summary(session, now=NOW + 30)
    assert facts["jobs"] == {"pending": 2, "leased": 1, "failed": 0, "done": 1, "quarantined": 1}
    assert (facts["rate_per_hour"], facts["oldest_waiting_s"]) == (1.0, 30.0)
    wanted = {"state": "quarantined", "attempts": 1, "error": "HeaderError", "reason": "no MAGZP"}
    assert facts["last_errors"] == [{"path": claims[1].file.path} | wanted]


def test_the_clock_is_the_server_s_where_there_is_one(maker):
    with maker() as session:
        now = read_clock(session, lambda: 42.0)
        if session.get_bind().dialect.name == "sqlite":
            assert now == 42.0
        else:
            assert abs(now - time.time()) < 60


def test_many_takers_never_get_the_same_job(engine_url, maker):
    put(maker, files(200))
    together = threading.Barrier(4)

    def work(name):
        engine = make_engine(engine_url)
        mine, own = [], sessions(engine)
        together.wait()
        while claims := take(own, 3, owner=str(name)):
            for claim in claims:
                end(own, claim)
            mine += [claim.file.path for claim in claims]
        engine.dispose()
        return mine

    with ThreadPoolExecutor(4) as pool:
        taken = Counter(path for mine in pool.map(work, range(4)) for path in mine)
    assert len(taken) == 200
    assert set(taken.values()) == {1}
    assert counts(maker) == {"done": 200}


def test_a_fence_that_waits_for_a_taker_sees_the_new_token(engine_url, maker):
    put(maker, files(1))
    (slow,) = take(maker, lease_s=0.0)
    refused = []

    def store():
        try:
            with writing(maker) as session:
                hold(session, slow, lease_s=LEASE, now=NOW)
        except LeaseLostError as exc:
            refused.append(exc)

    with writing(maker) as session:
        (fast,) = claim_jobs(session, [ROOT], owner="fast", n=1, lease_s=LEASE, now=NOW)
        thread = threading.Thread(target=store)
        thread.start()
        time.sleep(0.2)
        assert thread.is_alive()
    thread.join()
    assert len(refused) == 1
    end(maker, fast)


def test_a_job_that_is_being_stored_is_not_taken_though_its_lease_has_ended(engine_url, maker):
    if engine_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer: nobody can take a job meanwhile")
    put(maker, files(1))
    (claim,) = take(maker, lease_s=0.0)
    with writing(maker) as session:
        hold(session, claim, lease_s=LEASE, now=NOW)
        assert take(maker, owner="other") == []
        finish(session, claim, outcome="stored", image_id=1, now=NOW)


def test_two_watchers_may_put_in_the_same_files_at_once(engine_url, maker):
    together = threading.Barrier(3)

    def watch(_):
        together.wait()
        return put(maker, files(300))

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(watch, range(3))) == 300
    assert counts(maker) == {"pending": 300}


def test_a_lost_job_rolls_back_what_was_stored_with_it(maker):
    put(maker, files(1))
    (claim,) = take(maker)
    with writing(maker) as session:
        session.execute(update(IngestJob).values(token=1))

    def store():
        with writing(maker) as session:
            session.execute(insert(DataRoot), {"data_root_id": 9, "name": "trace", "path": "/trace"})
            hold(session, claim, lease_s=LEASE, now=NOW)

    with pytest.raises(LeaseLostError):
        store()
    with maker() as session:
        assert "trace" not in session.scalars(select(DataRoot.name)).all()


def test_no_secret_of_an_error_is_kept_or_shown(engine_url, maker):
    secret = "connection to postgresql://me:hunter2@host/db?sslpassword=hunter2 failed"
    put(maker, files(2))
    old, new = take(maker, 2)
    for claim in (old, new):
        with writing(maker) as session:
            fail(session, claim, error="E", reason=secret, detail=f"Traceback\n{secret}", retry_at=None, now=NOW)
    with writing(maker) as session:
        jobs = find_jobs(session, (JobState.QUARANTINED,))
        assert all("hunter2" not in f"{job.reason} {job.detail}" and "***" in (job.detail or "") for job in jobs)
        as_before = {"reason": secret, "detail": secret}
        session.execute(update(IngestJob).where(IngestJob.job_id == old.job_id).values(**as_before))
    show = ("quarantine", "show", str(old.job_id))
    assert CliRunner().invoke(application, ["--db", engine_url, "init"]).exit_code == 0
    for words in (("quarantine", "list"), show, ("status",), ("status", "--format", "json")):
        shown = CliRunner().invoke(application, ["--db", engine_url, *words])
        assert shown.exit_code == 0 and "***@host" in shown.output, (words, shown.output)
        assert "hunter2" not in shown.output, words
