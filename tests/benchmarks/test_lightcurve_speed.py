"""How fast an archive of millions of detections answers: one light curve, ten thousand, and which images saw a spot.

Set ``ZTFDB_BENCHMARK_STARS`` to another number of stars (300 epochs each; 10,000 by default, 3 million detections;
100,000 for 30 million), and ``ZTFDB_BENCHMARK_ARCHIVE`` to a folder that keeps the SQLite file, to ask it again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ztfdb
from tests.support.archives import Plan, Stars, build_archive, stars_of
from ztfdb.archive import Archive
from ztfdb.schema import Source
from ztfdb.server import PostgresServer
from ztfdb.store.backends import engine_class
from ztfdb.store.engine import make_engine

pytestmark = pytest.mark.benchmark

N_STAR = int(os.environ.get("ZTFDB_BENCHMARK_STARS", "10000"))
KEPT = os.environ.get("ZTFDB_BENCHMARK_ARCHIVE")
N_EPOCH = 300
N_POSITION = 10_000
BYTES_PER_ROW = 700
"""Room for a detection with its indexes, and for the write-ahead log of loading it."""


@dataclass(frozen=True)
class Loaded:
    """An archive of `N_STAR` stars seen `N_EPOCH` times, loaded in the order of the exposures."""

    engine: str
    url: str
    archive: Archive
    stars: Stars


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The archive on each engine in turn; removed at the end."""
    folder = tmp_path_factory.mktemp("speed")
    wanted, free = N_STAR * N_EPOCH * BYTES_PER_ROW, shutil.disk_usage(folder).free
    if free < wanted:
        pytest.skip(f"{wanted / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free")
    server: PostgresServer | None = None
    if request.param == "postgresql":
        server = PostgresServer(durable=True, settings={"shared_buffers": "1GB", "max_wal_size": "8GB"})
        server.start()
        url = server.create_database("speed")
    else:
        url = f"sqlite:///{Path(KEPT or folder) / f'speed{N_STAR}.sqlite'}"
    start = time.perf_counter()
    if server is None and Path(url.removeprefix("sqlite:///")).exists():
        stars = stars_of(plan())
    else:
        ztfdb.open(url, create=True).close()
        stars = build_archive(url, plan())[0]
    seconds = time.perf_counter() - start
    n_row = N_STAR * N_EPOCH
    print(f"\n{request.param}: {n_row:,} detections generated and loaded in {seconds:.0f} s, {n_row / seconds:,.0f}/s")
    _settle(url)
    archive = ztfdb.open(url)
    yield Loaded(request.param, url, archive, stars)
    archive.close()
    if server is not None:
        server.close()
    shutil.rmtree(folder, ignore_errors=True)


def _settle(url: str) -> None:
    """Do what autovacuum does within minutes of a bulk load; what comes later is not vacuumed before it is asked."""
    engine = make_engine(url)
    engine_class(engine).settle_table(engine, Source.__table__)
    engine.dispose()


def plan(n_epoch: int = N_EPOCH, first_epoch: int = 0) -> Plan:
    """The stars, all detected on every exposure; the seed leaves out nothing."""
    return Plan(N_STAR, n_epoch, trouble=0.02, first_epoch=first_epoch)


def timed(question: Callable[[int], Any], n: int, warm: int = 10) -> tuple[float, float, Any]:
    """Median wall and CPU milliseconds of a question asked `n` times, and its last answer."""
    wall, cpu = [], []
    answer = None
    for k in range(warm + n):
        start, used = time.perf_counter(), time.process_time()
        answer = question(k)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return 1e3 * float(np.median(wall[warm:])), 1e3 * float(np.median(cpu[warm:])), answer


def report(what: str, engine: str, bar: str, *figures: str) -> None:
    """One line of the table."""
    print(f"{engine:<11} {what:<46} {bar:<22} {'  '.join(figures)}")


def test_one_light_curve(loaded: Loaded) -> None:
    stars, rng = loaded.stars, np.random.default_rng(1)
    chosen = rng.integers(N_STAR, size=1000)

    def ask(k: int) -> Any:
        return loaded.archive.light_curve(stars.ra[chosen[k]], stars.dec[chosen[k]]).to_pandas()

    wall, cpu, frame = timed(ask, 200)
    report(f"light curve, {len(frame)} epochs x {frame.shape[1]} columns", loaded.engine, "<= 5 ms",
           f"{wall:.2f} ms", f"(client CPU {cpu:.2f} ms)")  # fmt: skip
    assert len(frame) >= N_EPOCH
    assert wall <= 5.0


def test_one_light_curve_right_after_an_ingest(loaded: Loaded) -> None:
    stars, wall = loaded.stars, []
    for k in range(5):
        build_archive(loaded.url, plan(1, N_EPOCH + k))
        for star in range(100 * k, 100 * k + 40):
            start = time.perf_counter()
            frame = loaded.archive.light_curve(stars.ra[star], stars.dec[star]).to_pandas()
            wall.append(1e3 * (time.perf_counter() - start))
            assert len(frame) >= N_EPOCH + k + 1
    report("the same right after one more exposure", loaded.engine, "<= 5 ms", f"{np.median(wall):.2f} ms",
           f"(the first one {np.median(wall[::40]):.2f} ms)")  # fmt: skip
    assert np.median(wall) <= 5.0


def test_ten_thousand_positions_in_one_call(loaded: Loaded) -> None:
    positions = {"ra": loaded.stars.ra[:N_POSITION], "dec": loaded.stars.dec[:N_POSITION]}
    start, used = time.perf_counter(), time.process_time()
    frame = loaded.archive.light_curves(positions)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    report(f"{len(positions['ra']):,} light curves, {len(frame):,} epochs", loaded.engine, ">= 200,000 epochs/s",
           f"{len(frame) / wall:,.0f} epochs/s", f"({wall:.1f} s, client CPU {cpu:.1f} s)")  # fmt: skip
    assert frame["position"].nunique() == len(positions["ra"])
    assert len(frame) / wall >= 200_000


def test_images_that_cover_a_position(loaded: Loaded) -> None:
    wall, cpu, frame = timed(lambda k: loaded.archive.images(loaded.stars.ra[k], loaded.stars.dec[k]), 50)
    report(f"images, {len(frame)} hits x {frame.shape[1]} columns", loaded.engine, "<= 20 ms",
           f"{wall:.1f} ms", f"(client CPU {cpu:.1f} ms)")  # fmt: skip
    assert len(frame) >= N_EPOCH
    assert wall <= 20.0


def test_a_cone(loaded: Loaded) -> None:
    wall, cpu, frame = timed(lambda k: loaded.archive.cone(loaded.stars.ra[k], loaded.stars.dec[k], 5.0), 50)
    report(f"cone, {len(frame)} sources x {frame.shape[1]} columns", loaded.engine, "-",
           f"{wall:.1f} ms", f"(client CPU {cpu:.1f} ms)")  # fmt: skip
    assert len(frame) >= N_EPOCH


def test_what_the_archive_takes_on_disk(loaded: Loaded) -> None:
    if loaded.engine == "sqlite":
        n_byte = Path(loaded.url.removeprefix("sqlite:///")).stat().st_size
    else:
        size = "select pg_total_relation_size('source') as n"
        n_byte = int(loaded.archive.sql(size, force=True)["n"][0])
    report("detections on disk, index included", loaded.engine, "-", f"{n_byte / (N_STAR * N_EPOCH):.0f} bytes each")
    assert n_byte > 0
