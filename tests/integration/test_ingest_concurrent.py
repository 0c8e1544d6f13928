"""Several writers, and writers that are killed: every image once and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.support.children import children_of
from tests.support.measured import EXPID, make_measured
from tests.support.pretend import gate_of, pretend_to_measure
from tests.support.waiting import DEADLINE_S, wait_until
from ztfdb.ingest.commit import commit_image
from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Config, DataRoot, Image, ImageCell, Source
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.image_files import Stored

SCRIPT = """
import sys
import ztfdb.ingest.run as run
from tests.support.pretend import pretend_to_measure
from ztfdb.store.engine import make_engine, sessions
run.measure_image = pretend_to_measure
engine = make_engine(sys.argv[1])
print("ready", flush=True)
report = run.ingest_paths(sessions(engine), sys.argv[3:], jobs=int(sys.argv[2]))
print(report, flush=True)
"""


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


@pytest.fixture
def files(tmp_path):
    return write(tmp_path, ["slow"] * 12)


def write(folder, words):
    gate_of(folder / "00.txt").unlink(missing_ok=True)  # of an earlier test, whose folder had the same name
    for k, word in enumerate(words):
        (folder / f"{k:02d}.txt").write_text(f"{word} {k}")
    return str(folder / "*.txt")


def start_ingest(url, jobs, *paths):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, url, str(jobs), *paths],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def check_whole(maker, n_image):
    with maker.begin() as session:
        assert count_orphans(session, OURS) == 0
        images = session.execute(select(Image.image_id, Image.n_source)).all()
        assert len(images) == n_image
        sources = dict(session.execute(select(Source.image_id, func.count()).group_by(Source.image_id)).all())
        cells = dict(session.execute(select(ImageCell.image_id, func.count()).group_by(ImageCell.image_id)).all())
    assert sources == dict(images)
    assert cells == dict.fromkeys(dict(images), 80)


def stored_so_far(maker):
    with maker.begin() as session:
        return session.scalar(select(func.count()).select_from(Image))


def test_the_same_image_from_many_writers_is_stored_once(engine_url):
    together = threading.Barrier(6)

    def store(_):
        engine = make_engine(engine_url)
        together.wait()
        outcome = commit_image(sessions(engine), make_measured(n_source=500))
        engine.dispose()
        return outcome

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(store, range(6)))
    assert sorted(outcome.value for outcome in outcomes) == ["stored"] + ["unchanged"] * 5
    engine = make_engine(engine_url)
    check_whole(sessions(engine), 1)
    engine.dispose()


def test_different_images_from_many_writers_are_all_stored(engine_url):
    together = threading.Barrier(4)

    def store(k):
        engine = make_engine(engine_url)
        together.wait()
        outcomes = [
            commit_image(
                sessions(engine),
                make_measured(f"/data/{k}_{n}_sciimg.fits", content=f"{k} {n}", expid=EXPID + 10 * k + n),
            )
            for n in range(3)
        ]
        engine.dispose()
        return outcomes

    with ThreadPoolExecutor(4) as pool:
        assert {outcome for outcomes in pool.map(store, range(4)) for outcome in outcomes} == {Stored.STORED}
    engine = make_engine(engine_url)
    check_whole(sessions(engine), 12)
    with sessions(engine).begin() as session:
        assert session.scalar(select(func.count()).select_from(DataRoot)) == 1
        assert session.scalar(select(func.count()).select_from(Config)) == 1
    engine.dispose()


def test_two_processes_ingest_the_same_files(engine_url, maker, files):
    ingest_paths(maker, [])
    processes = [start_ingest(engine_url, 1, files) for _ in range(2)]
    reports = [process.communicate(timeout=DEADLINE_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all("12 found" in report and " 0 failed" in report for report in reports)
    check_whole(maker, 12)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_ingest_leaves_whole_images_and_goes_on(engine_url, maker, tmp_path, how):
    files = write(tmp_path, ["star"] * 4 + ["gate"] * 8)
    process = start_ingest(engine_url, 2, files)
    workers: set[int] = set()
    while stored_so_far(maker) < 4:
        workers |= children_of(process.pid)
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode != 0
    check_whole(maker, 4)
    wait_until(lambda: not any(running(pid) for pid in workers))
    gate_of(tmp_path / "00.txt").touch()
    report = ingest_again(maker, files)
    assert (report.unchanged, report.stored, report.failed) == (4, 8, 0)
    check_whole(maker, 12)


def ingest_again(maker, files):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)
        return ingest_paths(maker, [files])


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
