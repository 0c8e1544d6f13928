from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import pytest

from tests.support.pretend import pretend_to_measure
from tests.support.waiting import DEADLINE_S, wait_until
from ztfdb.errors import ExtractionError, HeaderError, MeasurementTimeout, WorkerDied
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.discover import FoundImage
from ztfdb.ingest.executors import InProcess, WorkerProcesses
from ztfdb.ingest.worker_limits import Limits
from ztfdb.records import MeasuredImage


@pytest.fixture
def files(tmp_path):
    serial = count()

    def write(*words):
        paths = []
        for word in words:
            path = tmp_path / f"{next(serial):03d}.txt"
            path.write_text(word)
            paths.append(FoundImage(str(path), None))
        return paths

    return write


def executor_of(jobs, limits=None):
    if jobs == 1:
        return InProcess(ExtractionSettings(), pretend_to_measure)
    return WorkerProcesses(jobs, ExtractionSettings(), limits or Limits(), pretend_to_measure)


def measure(images, **how):
    executor, waiting, found = executor_of(**how), list(reversed(images)), []
    while len(found) < len(images):
        while waiting and executor.n_free > 0:
            executor.begin(waiting.pop())
        found += executor.collect(1.0)
    executor.stop(kill=False)
    return {Path(one.image.path).read_text(): one.result for one in found}


def children():
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_image_ends_once_whatever_the_others_do(files, jobs):
    found = measure(files("star 1", "header", "star 2", "bug", "star 3"), jobs=jobs)
    assert isinstance(found["header"], HeaderError)
    assert isinstance(found["bug"], ExtractionError)
    assert "unexpected ZeroDivisionError: no such luck" in str(found["bug"])
    assert all(isinstance(found[f"star {k}"], MeasuredImage) for k in (1, 2, 3))
    assert len(found) == 5


def test_a_dead_worker_costs_its_own_image_only(files):
    found = measure(files("star 1", "die", "star 2", "star 3", "die-once 4"), jobs=2)
    assert isinstance(found["die"], WorkerDied)
    assert found["die"].retryable
    assert sum(isinstance(result, MeasuredImage) for result in found.values()) == 4


def test_a_stuck_worker_is_stopped_and_replaced(files):
    started = time.perf_counter()  # the limit holds for the start of a worker, too
    found = measure(files("hang", "star 1", "star 2"), jobs=2, limits=Limits(timeout_s=30.0))
    assert isinstance(found["hang"], MeasurementTimeout)
    assert found["hang"].retryable
    assert isinstance(found["star 2"], MeasuredImage)
    assert time.perf_counter() - started < DEADLINE_S


def test_memory_is_limited(files):
    found = measure(files("hog", "star 1"), jobs=2, limits=Limits(memory_mb=1024))
    assert isinstance(found["hog"], ExtractionError)
    assert "memory of 1024 MB" in str(found["hog"])
    assert isinstance(found["star 1"], MeasuredImage)


def test_a_worker_imports_the_pixel_half_only(files):
    assert "loaded: []" in str(measure(files("modules", "star 1"), jobs=2)["modules"])


def test_no_images_start_no_worker():
    before = children()
    assert measure([], jobs=3) == {}
    assert children() == before


def test_stopping_early_leaves_no_process(files):
    before = children()
    executor = executor_of(2)
    for image in files("star 1", "hang"):
        executor.begin(image)
    assert executor.n_free == 0
    while not executor.collect(1.0):
        pass
    executor.stop(kill=True)
    wait_until(lambda: all("resource_tracker" in _command(pid) for pid in children() - before))


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return "resource_tracker"
