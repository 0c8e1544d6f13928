"""Time of the pixel half against SExtractor: paired runs on the real quadrant and on generated ones.

``pytest -m benchmark tests/benchmarks/test_extract_speed.py -s`` prints the tables; plots go to the folder that
``ZTFDB_BENCHMARK_DIR`` names, else to pytest's temporary folder.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.sextractor import require_sextractor, run_sextractor
from ztfdb.extract.measure import measure_image
from ztfdb.simulate.image import make_science_image

pytestmark = pytest.mark.benchmark

REPEATS = 5
QUADRANT = (3080, 3072)
DETECTED = {4_000: 5_000, 60_000: 100_000}
"""Stars to paint for so many sources to be found, about."""

LARGEST_RATIO = 0.6


def generated(folder: Path, n_star: int) -> tuple[Path, Path]:
    made = make_science_image(folder / str(n_star), n_star=n_star, seed=1, shape=QUADRANT, fwhm=2.0)
    assert made.msk is not None
    return made.sci, made.msk


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def paired(name: str, images: tuple[Path, Path], folder: Path) -> float:
    """Print one row of the table and the profile by step; return the median of the paired ratios."""
    sci, msk = images
    n, steps = 0, []
    ours, theirs = [], []
    measure_image(sci, msk)
    run_sextractor(sci, msk, folder / "warm.fits")
    for _ in range(REPEATS):
        start = time.perf_counter()
        measured = measure_image(sci, msk)
        ours.append(time.perf_counter() - start)
        theirs.append(seconds(lambda: run_sextractor(sci, msk, folder / "sextractor.fits")))
        n = len(measured.sources)
        steps.append(measured.seconds)
    ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
    print(f"\n{name:>10} | {n:>6} sources | ztfdb {statistics.median(ours):.3f} s", end=" | ")
    print(f"SExtractor {statistics.median(theirs):.3f} s | ratio {ratio:.2f}")
    for step in steps[0]:
        print(f"{'':>10} | {step:>20} {1e3 * statistics.median(s[step] for s in steps):7.1f} ms")
    return ratio


def test_measuring_takes_less_time_than_sextractor(quadrant: tuple[Path, Path], tmp_path: Path) -> None:
    require_sextractor()
    ratios = {"real": paired("real", quadrant, tmp_path)}
    for n, n_star in DETECTED.items():
        ratios[str(n)] = paired(f"{n}", generated(tmp_path, n_star), tmp_path)
    # The reading and the database have to fit in too: tests/benchmarks/test_ingest_speed.py has the whole chain.
    assert all(ratio <= LARGEST_RATIO for ratio in ratios.values()), ratios


def test_time_grows_no_faster_than_the_sources(tmp_path: Path) -> None:
    number, spent = [], []
    for n_star in (1_000, 5_000, 15_000, 40_000, 100_000, 200_000):
        sci, msk = generated(tmp_path, n_star)
        n = len(measure_image(sci, msk).sources)
        number.append(n)
        spent.append(min(seconds(lambda s=sci, m=msk: measure_image(s, m)) for _ in range(3)))
        print(f"{n:>7} sources {spent[-1]:7.3f} s {1e6 * spent[-1] / n:8.1f} µs each")
    _plot(number, spent, tmp_path)
    many = [(n, t) for n, t in zip(number, spent, strict=True) if n > 5_000]
    slope = np.polyfit(*np.log(np.array(many)).T, 1)[0]
    print(f"growth n^{slope:.2f} above 5,000 sources")
    assert slope <= 1.1


def _plot(number: list[int], spent: list[float], fallback: Path) -> None:
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(number, spent, "o-", label="measure_image")
    axes.loglog(number, spent[-1] * np.array(number) / number[-1], ":", label="∝ n")
    axes.set(xlabel="sources", ylabel="seconds", title="Time of one quadrant")
    axes.legend()
    folder = Path(os.environ.get("ZTFDB_BENCHMARK_DIR", fallback))
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "extract_scaling.png", dpi=120)
    print(f"plot: {folder / 'extract_scaling.png'}")


WORKER = """import sys, time
from ztfdb.extract.measure import measure_image
measure_image(*sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    measure_image(*sys.argv[1:])
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def _throughput(n_process: int, images: tuple[Path, Path]) -> tuple[float, float]:
    """Images per second of so many processes at once, and the largest peak memory, MB."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, *map(str, images)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(n_process)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    start = time.perf_counter()
    peaks = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        peaks.append(int(worker.communicate()[0]) / 1024)
    return 5 * n_process / (time.perf_counter() - start), max(peaks)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_two_processes_do_nearly_twice_the_work(quadrant: tuple[Path, Path]) -> None:
    rounds = [(_throughput(1, quadrant), _throughput(2, quadrant)) for _ in range(3)]
    gain = statistics.median(two[0] / one[0] for one, two in rounds)
    memory = max(two[1] for _, two in rounds)
    print(
        f"\none process {rounds[0][0][0]:.2f} images/s, two {rounds[0][1][0]:.2f}: {gain:.2f} ×; {memory:.0f} MB each"
    )
    assert gain >= 1.8
    assert memory <= 350
