"""``ztfdb ingest --scheduler``: a Dask cluster measures, this process stores, and what cannot work says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url, text

from tests.support.crash import content_of
from tests.support.pretend import pretend_to_measure
from ztfdb.cli.app import application
from ztfdb.codes import JobState
from ztfdb.errors import ClusterError, LeaseLostError, MissingExtraError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest import dask_cluster as cluster_module
from ztfdb.ingest.cluster_worker import WorkerStorage, measure_and_store, url_for_workers
from ztfdb.ingest.dask_cluster import DaskCluster
from ztfdb.ingest.discover import FoundImage
from ztfdb.ingest.run import ingest_paths
from ztfdb.ingest.worker_limits import Limits
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.ingest_queue import Job, JobFile
from ztfdb.store.queue_reports import count_jobs

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

NIGHT = 59116.4317708


@contextmanager
def started(n_worker):
    """Start a local cluster of workers with one thread each, which find the tests as this process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        with local_cluster(n_worker) as made:
            assert len(made.workers) == n_worker
            yield made


def local_cluster(n_worker, starts=3):
    """Make a cluster; its loop is started again where a busy machine did not start it within 10 s."""
    try:
        return distributed.LocalCluster(
            n_workers=n_worker, threads_per_worker=1, processes=True, dashboard_address=":0"
        )
    except AssertionError:
        if starts == 1:
            raise
    return local_cluster(n_worker, starts - 1)


@pytest.fixture(scope="module")
def cluster():
    with started(2) as made:
        yield made


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    for k in range(4):
        make_science_image(folder, shape=(160, 160), n_star=10, seed=k, obsmjd=NIGHT + k)
    (folder / "ztf_20200924000001_000655_zr_c13_o_q3_sciimg.fits").write_text("no FITS file at all")
    return folder


def outcomes(report):
    return sorted(one.outcome.value for one in report.outcomes)


def test_the_cluster_measures_what_one_process_would_have(cluster, databases, engine_url, night):
    engine = make_engine(engine_url)
    maker = sessions(engine)
    first = ingest_paths(maker, [night], scheduler=cluster.scheduler_address)
    assert outcomes(first) == ["failed"] + ["stored"] * 4
    again = ingest_paths(maker, [night], scheduler=cluster.scheduler_address)
    assert outcomes(again) == ["failed"] + ["unchanged"] * 4
    with maker() as session:
        states = count_jobs(session)
    assert (states[JobState.DONE.value], states[JobState.LEASED.value]) == (4, 0)
    engine.dispose()
    alone = databases.migrated(engine_url.partition(":")[0].partition("+")[0])
    engine = make_engine(alone)
    ingest_paths(sessions(engine), [night])
    engine.dispose()
    assert content_of(engine_url) == content_of(alone)
    databases.drop(alone)


def test_a_worker_that_dies_costs_its_image_and_no_other(cluster, databases, tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)
    for k, word in enumerate(["star 0", "die", "star 2", "header", "slow 4"]):
        (tmp_path / f"{k}.txt").write_text(word)
    engine = make_engine(databases.migrated("sqlite"))
    report = ingest_paths(sessions(engine), [tmp_path / "*.txt"], scheduler=cluster.scheduler_address)
    engine.dispose()
    assert outcomes(report) == ["failed"] * 2 + ["stored"] * 3
    assert {one.error for one in report.failures} == {"WorkerDied", "HeaderError"}


def test_a_cluster_that_lost_its_workers_ends_the_ingest_and_leaves_no_lease(databases, tmp_path, monkeypatch):
    """A worker whose keeper has given up does not come back, as on a machine too busy to start one in time."""
    monkeypatch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)
    monkeypatch.setattr(cluster_module, "WORKERLESS_S", 1.0)
    monkeypatch.setattr(cluster_module, "COUNT_S", 0.2)
    for k in range(4):
        (tmp_path / f"{k}.txt").write_text(f"star {k}")
    maker = sessions(engine := make_engine(databases.migrated("sqlite")))
    with started(1) as own:

        def close(step):
            if step.done == 1:
                own.scale(0)

        with pytest.raises(ClusterError, match="no worker for 1 s"):
            ingest_paths(maker, [tmp_path / "*.txt"], scheduler=own.scheduler_address, progress=close)
    with maker() as session:
        states = count_jobs(session)
    assert states["leased"] == 0
    assert states["done"] + states["pending"] == 4
    engine.dispose()


def test_the_command_reports_as_ever(cluster, archive, engine_url, night):
    words = ["--db", engine_url, "ingest", str(night), "--list", "--scheduler", cluster.scheduler_address]
    result = CliRunner().invoke(application, words)
    assert result.exit_code == 1
    assert "5 found = 4 stored + 0 unchanged + 0 known copies + 1 failed" in result.stderr
    assert len(result.stdout.splitlines()) == 5


def collected(executor):
    ended = []
    while not ended:
        ended = executor.collect(0.5)
    return ended


def test_an_image_that_takes_too_long_is_given_up(tmp_path):
    (tmp_path / "hang.txt").write_text("hang")
    with started(1) as own:  # its worker sleeps on
        executor = DaskCluster(own.scheduler_address, ExtractionSettings(), Limits(timeout_s=1.0), pretend_to_measure)
        executor.begin(FoundImage(str(tmp_path / "hang.txt"), None))
        ended = collected(executor)
        executor.stop(kill=True)
    assert type(ended[0].result).__name__ == "MeasurementTimeout"


@pytest.mark.parametrize("lost", [distributed.TimeoutError, distributed.comm.CommClosedError])
def test_an_answer_that_was_lost_with_its_worker_is_waited_for(cluster, tmp_path, monkeypatch, lost):
    (tmp_path / "star.txt").write_text("star 7")
    executor = DaskCluster(cluster.scheduler_address, ExtractionSettings(), Limits(timeout_s=60.0), pretend_to_measure)
    executor.begin(FoundImage(str(tmp_path / "star.txt"), None))
    (future,) = executor._measuring
    answer = future.result  # dask's question times out while the image is measured anew, or breaks off

    def broken(timeout):
        raise lost

    monkeypatch.setattr(future, "result", broken)
    while not future.done():
        assert executor.collect(0.1) == []
    assert executor.collect(0.1) == []
    monkeypatch.setattr(future, "result", answer)
    (one,) = collected(executor)
    executor.stop(kill=False)
    assert one.image.path == str(tmp_path / "star.txt")
    assert not isinstance(one.result, BaseException)


def test_other_versions_on_a_worker_are_named(cluster, monkeypatch):
    monkeypatch.setattr(cluster_module, "software_versions", lambda: {"ztfdb": "99.0", "numpy": "1.0"})
    with pytest.raises(ClusterError, match=r"the worker tcp://.* has .*ztfdb 0.* instead of 99\.0"):
        DaskCluster(cluster.scheduler_address, ExtractionSettings(), Limits())


def test_a_worker_without_ztfdb_is_named(cluster):
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.run(_forget_ztfdb)
        with pytest.raises(ClusterError, match=r"ztfdb cannot be imported on the worker tcp://"):
            DaskCluster(cluster.scheduler_address, ExtractionSettings(), Limits())
        client.run(_recall_ztfdb)


def _forget_ztfdb():
    names = [name for name in sys.modules if name.partition(".")[0] == "ztfdb"]
    sys.forgotten = {name: sys.modules.pop(name) for name in names}
    sys.modules["ztfdb"] = None


def _recall_ztfdb():
    del sys.modules["ztfdb"]
    sys.modules.update(sys.__dict__.pop("forgotten"))


def test_a_scheduler_that_does_not_answer_is_one_line(archive, engine_url, night, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1.0)
    result = CliRunner().invoke(
        application, ["--db", engine_url, "ingest", str(night), "--scheduler", "tcp://127.0.0.1:9"]
    )
    assert result.exit_code == 1
    assert "the scheduler does not answer" in result.stderr
    assert "Traceback" not in result.stderr
    bad = CliRunner().invoke(application, ["--db", engine_url, "ingest", str(night), "--scheduler", "nonsense://"])
    assert bad.exit_code == 1
    assert "nonsense://" in bad.stderr


@pytest.mark.parametrize(("late", "ends"), [(2, False), (3, True)])
def test_a_loop_that_starts_late_is_started_again(cluster, monkeypatch, late, ends):
    starts, client = [], distributed.Client

    def start(*words, **more):
        starts.append(words)
        assert len(starts) > late  # as distributed.utils.LoopRunner
        return client(*words, **more)

    monkeypatch.setattr(distributed, "Client", start)
    with pytest.raises(ClusterError, match="this machine is too busy") if ends else nullcontext():
        DaskCluster(cluster.scheduler_address, ExtractionSettings(), Limits()).stop(kill=False)
    assert len(starts) == 3


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"ztfdb\[dask\]"):
        DaskCluster("tcp://127.0.0.1:9", ExtractionSettings(), Limits())


SCHEDULER = """
import os, sys
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
import distributed
if __name__ == "__main__":
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0")
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


def test_a_scheduler_that_goes_away_ends_the_ingest_and_leaves_no_lease(databases, tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)
    for k in range(6):
        (tmp_path / f"{k}.txt").write_text(f"star {k}")
    script = tmp_path / "scheduler.py"
    script.write_text(SCHEDULER)
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    maker = sessions(engine := make_engine(databases.migrated("sqlite")))

    def kill(step):
        if step.done == 2:
            os.killpg(process.pid, signal.SIGKILL)

    try:
        with pytest.raises(ClusterError, match="gone away"):
            ingest_paths(maker, [tmp_path / "*.txt"], scheduler=address, progress=kill)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    with maker() as session:
        states = count_jobs(session)
    assert states["leased"] == 0
    assert states["done"] + states["pending"] == 6 and states["done"] >= 2
    assert ingest_paths(maker, [tmp_path / "*.txt"]).failed == 0
    engine.dispose()


def test_where_postgresql_is_the_archive_the_workers_store(cluster, databases, night, monkeypatch):
    def here(*words, **more):
        raise AssertionError("this process has stored an image")

    monkeypatch.setattr("ztfdb.ingest.loop.commit_image", here)
    engine = make_engine(databases.migrated("postgresql"))
    maker = sessions(engine)
    first = ingest_paths(maker, [night], scheduler=cluster.scheduler_address)
    assert outcomes(first) == ["failed"] + ["stored"] * 4
    assert all(one.n_source > 0 and one.image_id for one in first.outcomes if one.outcome.value == "stored")
    forced = ingest_paths(maker, [night], scheduler=cluster.scheduler_address, force=True)
    assert outcomes(forced) == ["failed"] + ["replaced"] * 4
    with maker() as session:
        states = count_jobs(session)
    assert (states[JobState.DONE.value], states[JobState.LEASED.value]) == (4, 0)
    engine.dispose()


def test_a_killed_worker_stores_each_image_once(cluster, databases, tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)
    for k, word in enumerate(["star", "die-once", "slow", "star"]):
        (tmp_path / f"{k}.txt").write_text(f"{word} {k}")
    url = databases.migrated("postgresql")
    engine = make_engine(url)
    report = ingest_paths(sessions(engine), [tmp_path / "*.txt"], scheduler=cluster.scheduler_address)
    with sessions(engine)() as session:
        stored = session.execute(text("select count(*), count(distinct image_id) from image")).one()
        runs = session.execute(text("select count(*), count(distinct image_id) from source group by image_id")).all()
    engine.dispose()
    assert outcomes(report) == ["stored"] * 4
    assert tuple(stored) == (4, 4) and len(runs) == 4
    databases.drop(url)


def test_a_worker_whose_lease_is_lost_stores_nothing(databases, tmp_path):
    (tmp_path / "0.txt").write_text("star 0")
    url = databases.migrated("postgresql")
    engine = make_engine(url)
    job = Job(1, 12345, 0, JobFile(1, "0.txt", 6, 0))
    storage = WorkerStorage(url, 60.0, False, {})
    image = FoundImage(str(tmp_path / "0.txt"), None)
    result = measure_and_store(pretend_to_measure, image, ExtractionSettings(), job, storage)
    assert isinstance(result, LeaseLostError)
    with sessions(engine)() as session:
        assert session.execute(text("select count(*) from image")).scalar() == 0
    engine.dispose()


def test_workers_that_do_not_reach_the_archive_only_measure(cluster, caplog):
    storage = WorkerStorage("postgresql+psycopg://nobody@127.0.0.1:9/none", 60.0, False, {})
    executor = DaskCluster(cluster.scheduler_address, ExtractionSettings(), Limits(), pretend_to_measure, storage)
    assert not executor.stores
    assert "the cluster does not reach the archive: this process stores" in caplog.text
    executor.stop(kill=False)


@pytest.mark.parametrize(
    ("url", "scheduler", "told"),
    [
        ("postgresql+psycopg://me:secret@db/ztf", "tcp://head:8786", "postgresql+psycopg://me@db/ztf"),
        ("postgresql+psycopg://me:secret@db/ztf", "tls://head:8786", "postgresql+psycopg://me:secret@db/ztf"),
        ("sqlite:////data/ztf.sqlite", "tcp://head:8786", None),
    ],
)
def test_a_password_travels_on_encrypted_connections_alone(url, scheduler, told):
    assert url_for_workers(make_url(url), scheduler) == told
