"""A daemon, its workers and its server are killed hundreds of times while real pixels are measured.

``pytest -m benchmark tests/benchmarks/test_crash_campaign.py -s``; ``ZTFDB_BENCHMARK_KILLS`` and
``ZTFDB_BENCHMARK_SEED`` let it run in pieces.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.support.crash import CrashRun, content_of
from ztfdb.server import PostgresServer
from ztfdb.simulate import make_science_image
from ztfdb.store.migrate import upgrade

pytestmark = pytest.mark.benchmark

N_KILL = int(os.environ.get("ZTFDB_BENCHMARK_KILLS", "210"))
SEED = int(os.environ.get("ZTFDB_BENCHMARK_SEED", "1"))
AT_ONCE = 2
"""Images that arrive before each kill, so that there is always something in hand."""

N_WORKER = 2


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    return folder


@pytest.fixture
def stock(tmp_path):
    """Small images with their masks, which have not arrived yet; half of the stars are the same on each."""
    folder = tmp_path / "stock"
    folder.mkdir()
    made = [
        make_science_image(folder, shape=(200, 200), n_star=60, seed=k % 20, obsmjd=58500.2 + 0.01 * k)
        for k in range(AT_ONCE * (N_KILL + 1))
    ]
    return [(one.sci, one.msk) for one in made]


def test_killed_hundreds_of_times_it_loses_no_image_and_stores_none_twice(engine_url, night, stock, databases):
    if engine_url.startswith("sqlite"):
        campaign(engine_url, night, stock, None, databases.migrated("sqlite"))
        return
    with PostgresServer(durable=True) as server:
        with server.connect() as connection:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.execute(f"show {name}").fetchone() == ("on",)
        url, undisturbed = server.create_database("crash"), server.create_database("calm")
        upgrade(url)
        upgrade(undisturbed)
        campaign(url, night, stock, server, undisturbed)


def campaign(url, night, stock, server, undisturbed):
    n_image, waiting = len(stock), list(stock)

    def arrive():
        for _ in range(AT_ONCE):
            for path in reversed(waiting.pop()):  # the mask first
                path.rename(night / path.name)

    run = CrashRun(url, night, measure="real", jobs=N_WORKER, server=server, seed=SEED)
    started = time.monotonic()
    run.kill_often(N_KILL, arrive)
    run.finish(n_image)
    seconds = time.monotonic() - started
    calm = CrashRun(undisturbed, night, measure="real", jobs=N_WORKER)
    calm.start()
    calm.finish(n_image)
    held = content_of(url)
    assert held == content_of(undisturbed)
    told = f"{sum(run.kills.values())} kills {run.kills}, {n_image} images, {len(held['source'])} sources"
    print(f"\n{url.partition(':')[0]}: {told}, seed {SEED}, {seconds:.0f} s; reported {len(run.reported())}")
