"""How much a daemon does with one worker and with two, on whole quadrants, and how many cores keep up with ZTF.

The daemon confined to one core, with its worker and the server, tells what two cores do beside one, and the processor
time how busy they are.

``pytest -m benchmark tests/benchmarks/test_daemon_load.py -s``
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from pathlib import Path

import pytest

from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.service import executor_maker
from ztfdb.daemon.watch import Watcher
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.run import ingest_paths
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions

pytestmark = pytest.mark.benchmark

N_IMAGE = 16
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


@contextlib.contextmanager
def confined(databases, name, wanted):
    """Keep this process, the workers it starts and the server's new backends on one core."""
    processes = [0]
    if name == "postgresql":
        processes.append(int((databases.server.data / "postmaster.pid").read_text().split()[0]))
    everywhere = os.sched_getaffinity(0)
    try:
        if wanted:
            for pid in processes:
                os.sched_setaffinity(pid, {min(everywhere)})
        yield
    finally:
        for pid in processes:
            os.sched_setaffinity(pid, everywhere)


def busy_seconds():
    """Processor time of the whole machine so far: what this benchmark uses, where nothing else runs."""
    fields = Path("/proc/stat").read_text().split()[1:9]
    user, nice, system, _, _, irq, softirq, _ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def rate(url, night, jobs):
    """Images a second while every worker is warm and has one, sources of an image, and how many cores were busy."""
    engine = make_engine(url)
    maker = sessions(engine)
    ingest_paths(maker, [])
    ends, sources, busy = [], [], []

    def heard(outcome):
        assert outcome.outcome.value == "stored", outcome
        ends.append(time.perf_counter())
        busy.append(busy_seconds())
        sources.append(outcome.n_source)

    watcher = Watcher([night], settle_s=0.0, grace_s=0.0, scan_s=60.0, events=False)
    work = Inbox(maker, watcher, on_outcome=heard)
    Loop(maker, work, Operating(jobs=jobs), executor_maker(ExtractionSettings())).run(lambda: False, once=True)
    engine.dispose()
    assert len(ends) == N_IMAGE
    seconds = ends[-2] - ends[1]
    return (N_IMAGE - 3) / seconds, statistics.mean(sources), (busy[-2] - busy[1]) / seconds


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_two_workers_do_nearly_twice_the_work(name, databases, night):
    print(f"\n{name}: {N_IMAGE} quadrants, without the first two and the last of each run")
    gains, of_cores = [], []
    for _ in range(ROUNDS):
        rates, cores = [], []
        for jobs, one_core in ((1, True), (1, False), (2, False)):
            url = databases.migrated(name)
            with confined(databases, name, one_core):
                found, n_source, used = rate(url, night, jobs)
            rates.append(found)
            cores.append(used)
            databases.drop(url)
        gains.append(rates[2] / rates[1])
        of_cores.append(rates[2] / rates[0])
        print(
            f"{n_source:,.0f} sources, images/s (cores busy): one worker on one core {rates[0]:.2f} ({cores[0]:.2f}), "
            f"one worker {rates[1]:.2f} ({cores[1]:.2f}), two {rates[2]:.2f} ({cores[2]:.2f}); two workers do "
            f"{of_cores[-1]:.2f} and {gains[-1]:.2f} times as much; ZTF's {ZTF_RATE} images/s need "
            f"{ZTF_RATE / rates[0]:.1f} cores"
        )
    assert statistics.median(gains) >= LEAST_GAIN, (gains, of_cores)
