"""Time of the whole chain, from a path to committed rows, against SExtractor writing its catalogue.

``pytest -m benchmark tests/benchmarks/test_ingest_speed.py -s`` prints the tables; plots go to the folder that
``ZTFDB_BENCHMARK_DIR`` names, else to pytest's temporary folder. On a machine that does other work the processor times
(user and system, all threads; without those of the PostgreSQL server) say more than the wall times.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from sqlalchemy import event, select

from tests.benchmarks.conftest import N_SMALL
from tests.support.postgres import ENGINES, Databases
from tests.support.sextractor import require_sextractor, run_sextractor
from ztfdb.ingest import loop as ingest_loop
from ztfdb.ingest.commit import commit_image
from ztfdb.ingest.report import IngestStep
from ztfdb.ingest.run import ingest_paths
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.schema import Image
from ztfdb.simulate.image import make_science_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import delete_image

pytestmark = pytest.mark.benchmark

REPEATS = 5
PAINTED = {"4000": 5_000, "60000": 100_000}
"""Stars to paint for so many sources to be found, about."""

SHARP, BLURRED = 1.3, 2.0
"""FWHM of the generated stars, pixels: the real quadrant's, and the median of ZTF."""

N_IMAGE = 10
"""Images of the comparison of one process with two."""

LARGEST_RATIO = 0.6
LARGEST_GROWTH = 1.1
LEAST_GAIN = 1.8
LARGEST_MEMORY_MB = 350

Images = tuple[Path, Path]


@dataclass(frozen=True)
class Cost:
    """Seconds of one run."""

    wall: float
    processor: float


class Chain:
    """Ingest into one archive, again and again: what was stored is deleted between the runs, outside of their time."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        self._sessions = sessions(self._engine)
        self.steps: dict[str, float] = {}
        self.n_source = 0

    def ingest(self, path: Path) -> Cost:
        """Ingest one image, of which the archive has nothing."""
        with patch.object(ingest_loop, "commit_image", self._commit):
            start, used = time.perf_counter(), time.process_time()
            (outcome,) = ingest_paths(self._sessions, path).outcomes
            cost = Cost(time.perf_counter() - start, time.process_time() - used)
        assert outcome.outcome.value == "stored", outcome
        self.n_source = outcome.n_source or 0
        self.steps["discover, queue, report"] = cost.wall - sum(self.steps.values())
        self._clear()
        return cost

    def ends(self, folder: Path, jobs: int) -> list[float]:
        """Ingest a folder of images and return when each of them had ended, seconds from the start."""
        start, ends = time.perf_counter(), []

        def note(step: IngestStep) -> None:
            if step.outcome is not None:
                ends.append(time.perf_counter() - start)

        report = ingest_paths(self._sessions, folder, jobs=jobs, progress=note)
        assert report.stored == len(ends)
        self._clear()
        return ends

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _commit(self, maker: Any, measured: Any, **options: Any) -> Any:
        start = time.perf_counter()
        stored = commit_image(maker, measured, **options)
        self.steps = {**measured.seconds, "commit": time.perf_counter() - start}
        return stored

    def _clear(self) -> None:
        with writing(self._sessions) as session:
            for image_id in session.scalars(select(Image.image_id)).all():
                delete_image(session, image_id)


@pytest.fixture
def chains(databases: Databases) -> Iterator[dict[str, Chain]]:
    urls = {engine: databases.migrated(engine) for engine in ENGINES}
    made = {engine: Chain(url) for engine, url in urls.items()}
    yield made
    for engine, chain in made.items():
        chain.close()
        databases.drop(urls[engine])


def generated(folder: Path, n_star: int, *, fwhm: float = BLURRED, **settings: Any) -> Images:
    made = make_science_image(folder, n_star=n_star, seed=1, shape=QUADRANT_SHAPE, fwhm=fwhm, **settings)
    assert made.msk is not None
    return made.sci, made.msk


def plot_folder(fallback: Path) -> Path:
    folder = Path(os.environ.get("ZTFDB_BENCHMARK_DIR", fallback))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sextractor_cost(images: Images, catalogue: Path) -> Cost:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run_sextractor(*images, catalogue)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compare(name: str, images: Images, chains: dict[str, Chain], catalogue: Path) -> dict[str, float]:
    """Print the rows of the table and the profile by step; return the medians of the paired ratios by engine."""
    costs: dict[str, list[Cost]] = {engine: [] for engine in (*chains, "SExtractor")}
    steps: dict[str, list[dict[str, float]]] = {engine: [] for engine in chains}
    for repeat in range(REPEATS + 1):  # the first one warms up
        for engine, chain in chains.items():
            cost = chain.ingest(images[0])
            if repeat:
                costs[engine].append(cost)
                steps[engine].append(chain.steps)
        cost = sextractor_cost(images, catalogue)
        if repeat:
            costs["SExtractor"].append(cost)
    ratios = {}
    for engine, chain in chains.items():
        pairs = list(zip(costs[engine], costs["SExtractor"], strict=True))
        wall, processor = (
            [statistics.median(column) for column in zip(*rows, strict=True)]
            for rows in (
                [(o.wall, t.wall, o.wall / t.wall) for o, t in pairs],
                [(o.processor, t.processor, o.processor / t.processor) for o, t in pairs],
            )
        )
        ratios[engine] = wall[2]
        print(f"| {name:>6} | {chain.n_source:>7} | {engine:<10}", end=" ")
        print(*(f"| {a:6.3f} s | {b:6.3f} s | {ratio:5.2f} " for a, b, ratio in (wall, processor)), "|", sep="")
    for step in steps["sqlite"][0]:
        medians = (f"{1e3 * statistics.median(s[step] for s in steps[engine]):8.1f} ms" for engine in chains)
        print(f"    {step:<26}", *medians)
    return ratios


def test_the_whole_chain_takes_less_time_than_sextractor(
    quadrant: Images, chains: dict[str, Chain], tmp_path: Path
) -> None:
    require_sextractor()
    images = {"real": quadrant, **{name: generated(tmp_path / name, n) for name, n in PAINTED.items()}}
    print("\nseconds: wall, then processor")
    print("| image  | sources | archive    | ztfdb | SExtractor | ratio | ztfdb | SExtractor | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    ratios = {name: compare(name, pair, chains, tmp_path / "catalogue.fits") for name, pair in images.items()}
    assert all(ratio <= LARGEST_RATIO for engines in ratios.values() for ratio in engines.values()), ratios


def test_time_grows_no_faster_than_the_sources(chains: dict[str, Chain], tmp_path: Path) -> None:
    growth = {fwhm: _growth(chains["sqlite"], fwhm, tmp_path) for fwhm in (SHARP, BLURRED)}
    _plot(growth, plot_folder(tmp_path))
    slopes = {}
    for fwhm, (number, spent) in growth.items():
        # above 5,000 sources, where the time of the pixels alone no longer counts for most
        many = np.array(number) > 5_000
        slopes[fwhm] = np.polyfit(np.log(np.array(number)[many]), np.log(np.array(spent)[many]), 1)[0]
        print(f"FWHM {fwhm} px: time grows as n^{slopes[fwhm]:.2f} above 5,000 sources")
    # The blurred ones grow faster: ever more of their sources are parts of blends, which cost more than single ones.
    assert max(slopes.values()) <= LARGEST_GROWTH, slopes


def _growth(chain: Chain, fwhm: float, folder: Path) -> tuple[list[int], list[float]]:
    """Print and return number of sources and seconds of processor time for images of ever more stars."""
    number, spent = [], []
    print(f"\n| sources, FWHM {fwhm} px | processor time | per source |\n|---|---|---|")
    for n_star in (1_000, 5_000, 15_000, 40_000, 100_000, 200_000):
        sci, msk = generated(folder, n_star, fwhm=fwhm)
        spent.append(min(chain.ingest(sci).processor for _ in range(3)))
        number.append(chain.n_source)
        print(f"| {number[-1]:>7} | {spent[-1]:6.3f} s | {1e6 * spent[-1] / number[-1]:8.1f} µs |")
        sci.unlink()
        msk.unlink()
    return number, spent


def _plot(growth: dict[float, tuple[list[int], list[float]]], folder: Path) -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    for fwhm, (number, spent) in growth.items():
        axes.loglog(number, spent, "o-", label=f"file to committed rows, FWHM {fwhm} px")
    axes.loglog(number, spent[-1] * np.array(number) / number[-1], ":", label="∝ n")
    axes.set(xlabel="sources", ylabel="seconds of processor time", title="Ingest of one quadrant (SQLite)")
    axes.legend()
    figure.savefig(folder / "ingest_scaling.png", dpi=120)
    print(f"plot: {folder / 'ingest_scaling.png'}")


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_two_processes_do_nearly_twice_the_work(chains: dict[str, Chain], tmp_path: Path) -> None:
    for k in range(N_IMAGE):
        generated(tmp_path, 17_000, obsmjd=58500.2 + k)
    print(f"\n{N_IMAGE} images, without the first two of each run")
    print("| archive | one process | two | gain |\n|---|---|---|---|")
    gains = {}
    for engine, chain in chains.items():
        rounds = [(_rate(chain.ends(tmp_path, 1)), _rate(chain.ends(tmp_path, 2))) for _ in range(3)]
        one, two = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        gains[engine] = statistics.median(b / a for a, b in rounds)
        print(f"| {engine} | {one:.2f} images/s | {two:.2f} images/s | {gains[engine]:.2f} |")
    assert min(gains.values()) >= LEAST_GAIN, gains


def _rate(ends: list[float]) -> float:
    """Images per second once all workers are warm: they start with the first image each."""
    return (len(ends) - 2) / (ends[-1] - ends[1])


WORKER = """import sys
from ztfdb.extract.measure import measure_image
for _ in range(3):
    measure_image(*sys.argv[1:])
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell the peak memory")
def test_a_worker_stays_small(quadrant: Images, tmp_path: Path) -> None:
    images = {"real": quadrant, **{name: generated(tmp_path / name, n) for name, n in PAINTED.items()}}
    peaks = {}
    for name, pair in images.items():
        command = [sys.executable, "-c", WORKER, *map(str, pair)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[name] = int(done.stdout) / 1024
        print(f"\npeak memory of a worker, three times {name}: {peaks[name]:.0f} MB", end="")
    print()
    assert max(peaks.values()) <= LARGEST_MEMORY_MB


MOST_STATEMENTS = 18.0
MOST_COMMITS = 1.0


def test_small_frames_share_statements_and_commits(small_frames: Path, databases: Databases) -> None:
    print("\n| archive | processor time per small frame | statements | commits |\n|---|---|---|---|")
    for engine in ENGINES:
        url = databases.migrated(engine)
        archive = make_engine(url)
        counts = {"statements": 0, "commits": 0}

        def count(name: str, counts: dict[str, int] = counts) -> Any:
            def more(*_: Any) -> None:
                counts[name] += 1

            return more

        event.listen(archive, "before_cursor_execute", count("statements"))
        event.listen(archive, "commit", count("commits"))
        used = time.process_time()
        report = ingest_paths(sessions(archive), small_frames, jobs=1)
        spent = time.process_time() - used
        archive.dispose()
        databases.drop(url)
        assert report.stored == N_SMALL
        statements, commits = (counts[name] / N_SMALL for name in ("statements", "commits"))
        print(f"| {engine} | {1e3 * spent / N_SMALL:.1f} ms | {statements:.1f} | {commits:.2f} |")
        assert statements <= MOST_STATEMENTS
        assert commits <= MOST_COMMITS
