from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import pytest

from tests.support.pretend import pretend_to_measure
from ztfdb.errors import ExtractionError, HeaderError, MeasurementTimeout, WorkerDied
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.discover import Candidate
from ztfdb.ingest.workers import Limits, measure_all
from ztfdb.records import MeasuredImage


@pytest.fixture
def files(tmp_path):
    serial = count()

    def write(*words):
        paths = []
        for word in words:
            path = tmp_path / f"{next(serial):03d}.txt"
            path.write_text(word)
            paths.append(Candidate(str(path), None))
        return paths

    return write


def measure(candidates, **how):
    found = measure_all(candidates, ExtractionSettings(), measure=pretend_to_measure, **how)
    return {Path(one.candidate.path).read_text(): one.result for one in found}


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
    started = time.perf_counter()
    found = measure(files("hang", "star 1", "star 2"), jobs=2, limits=Limits(timeout_s=6.0))
    assert isinstance(found["hang"], MeasurementTimeout)
    assert found["hang"].retryable
    assert isinstance(found["star 2"], MeasuredImage)
    assert time.perf_counter() - started < 40


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


def test_closing_early_leaves_no_process(files):
    before = children()
    running = measure_all(files("star 1", "hang", "star 2"), ExtractionSettings(), jobs=2, measure=pretend_to_measure)
    next(running)
    running.close()
    time.sleep(0.2)
    left = {pid for pid in children() - before if "resource_tracker" not in _command(pid)}
    assert left == set()


def test_candidates_are_asked_for_only_when_a_worker_is_free(files):
    asked = []

    def candidates():
        for candidate in files(*(f"slow {k}" for k in range(6))):
            asked.append(candidate)
            yield candidate

    running = measure_all(candidates(), ExtractionSettings(), jobs=2, measure=pretend_to_measure)
    next(running)
    assert 2 <= len(asked) <= 4  # two being measured, and as many as ended so far
    running.close()


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return "resource_tracker"
