"""How much a daemon does with one worker and with two, on whole quadrants, and how many cores keep up with ZTF.

``pytest -m benchmark tests/benchmarks/test_daemon_load.py -s``
"""

from __future__ import annotations

import os
import statistics
import time

import pytest

from ztfdb.daemon.arrivals import Arrivals
from ztfdb.daemon.service import crew_maker
from ztfdb.daemon.watch import Watcher
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest import ingest_paths
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions

pytestmark = pytest.mark.benchmark

N_IMAGE = 12
N_STAR = 17_000
"""Stars to paint for some 12,000 sources to be found, as many as on the real quadrant."""

ROUNDS = int(os.environ.get("ZTFDB_BENCHMARK_ROUNDS", "2"))
LEAST_GAIN = 1.8
ZTF_RATE = 64 / 40
"""Quadrants a second while ZTF observes: 64 in every 40 s."""


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    first = make_science_image(folder, n_star=N_STAR, seed=1, shape=QUADRANT_SHAPE, fwhm=2.0, obsmjd=58500.2)
    assert first.msk is not None
    for k in range(1, N_IMAGE):
        make_science_image(folder, n_star=N_STAR, seed=1 + k, shape=QUADRANT_SHAPE, fwhm=2.0, obsmjd=58500.2 + k)
    return folder


def rate(url, night, jobs):
    """Images a second once every worker is warm, and sources of an image."""
    engine = make_engine(url)
    maker = sessions(engine)
    ingest_paths(maker, [])
    ends, sources = [], []

    def heard(outcome):
        assert outcome.outcome.value == "stored", outcome
        ends.append(time.perf_counter())
        sources.append(outcome.n_source)

    watcher = Watcher([night], settle_s=0.0, grace_s=0.0, scan_s=60.0, events=False)
    work = Arrivals(watcher, heard=heard)
    Loop(maker, work, Operating(jobs=jobs), crew_maker(ExtractionSettings())).run(lambda: False, once=True)
    engine.dispose()
    assert len(ends) == N_IMAGE
    return (N_IMAGE - 2) / (ends[-1] - ends[1]), statistics.mean(sources)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_two_workers_do_nearly_twice_the_work(name, databases, night):
    print(f"\n{name}: {N_IMAGE} quadrants, without the first two of each run")
    gains, best = [], 0.0
    for _ in range(ROUNDS):
        rates = []
        for jobs in (1, 2):
            url = databases.migrated(name)
            found, n_source = rate(url, night, jobs)
            rates.append(found)
            databases.drop(url)
        gains.append(rates[1] / rates[0])
        best = max(best, rates[0])
        cores = ZTF_RATE / rates[0]
        told = f"one worker {rates[0]:.2f} images/s, two {rates[1]:.2f}: {gains[-1]:.2f}"
        print(f"{n_source:,.0f} sources: {told}; ZTF's {ZTF_RATE} images/s need {cores:.1f} cores")
    assert statistics.median(gains) >= LEAST_GAIN, gains
