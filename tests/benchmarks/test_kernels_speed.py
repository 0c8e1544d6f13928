"""Time of the compiled kernels against sep's: the sums of one measurement of an image, each in turn.

``pytest -m benchmark tests/benchmarks/test_kernels_speed.py -s`` prints the table. The times are those of the thread's
processor, the least of several.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ztfdb.extract import aperture, kron, position
from ztfdb.extract import kernels as module
from ztfdb.extract.measure import measure_image

pytestmark = pytest.mark.benchmark

compiled = pytest.importorskip("ztfdb_kernels", reason="ztfdb-kernels is not installed: no C compiler")

SUMS = {"circle_fluxes": aperture, "window_centres": position, "first_moments": kron, "ellipse_fluxes": kron}
REPEATS = 9
LARGEST_RATIO = 0.5
"""Of all sums together."""


def calls_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Measure an image and note the arguments of every call."""
    calls: dict[str, list[tuple[Any, ...]]] = {name: [] for name in SUMS}
    with ExitStack() as stack:
        for name, caller in SUMS.items():
            function = getattr(module, name)

            def note(*arguments: Any, name: str = name, function: Any = function) -> Any:
                calls[name].append(arguments)
                return function(*arguments)

            stack.enter_context(patch.object(caller, name, note))
        measure_image(path)
    return calls


def seconds(name: str, calls: list[tuple[Any, ...]], measuring: Any) -> float:
    with patch.object(module, "kernels", lambda: measuring):
        start = time.thread_time()
        for arguments in calls:
            getattr(module, name)(*arguments)
        return time.thread_time() - start


def test_the_kernels_take_less_than_half_of_sep_s_time(quadrant: tuple[Path, Path], small_frames: Path) -> None:
    ratios = {}
    print("\n| image | sums | sep | kernels | ratio |\n|---|---|---|---|---|")
    for image, path in {"real quadrant": quadrant[0], "small frame": min(small_frames.glob("*sciimg.fits"))}.items():
        totals = [0.0, 0.0]
        for name, calls in calls_of(path).items():
            rounds = [[seconds(name, calls, one) for one in (None, compiled)] for _ in range(REPEATS)]
            sep, ours = (min(column) for column in zip(*rounds, strict=True))
            totals = [totals[0] + sep, totals[1] + ours]
            print(f"| {image} | {name} | {1e3 * sep:.1f} ms | {1e3 * ours:.1f} ms | {ours / sep:.2f} |")
        ratios[image] = totals[1] / totals[0]
        print(f"| {image} | all | {1e3 * totals[0]:.1f} ms | {1e3 * totals[1]:.1f} ms | {ratios[image]:.2f} |")
    assert max(ratios.values()) <= LARGEST_RATIO, ratios
