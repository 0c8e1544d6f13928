"""Whole processes that ask one question: processor time and memory, against an earlier commit and ``import pandas``.

``ZTFDB_BENCHMARK_BASE`` names a checkout of that commit with its environment in ``.venv``; without it, only the bars
that need no other commit. ``pytest -m benchmark -s tests/benchmarks/test_startup_speed.py``
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.sidebyside import BASE, HERE

pytestmark = [pytest.mark.benchmark, pytest.mark.skipif(not hasattr(os, "wait4"), reason="no wait4 on this system")]

N_RUN = 7
COMMANDS = {
    "lightcurve": ("lightcurve", "{ra}", "{dec}", "--format", "csv"),
    "cone": ("cone", "{ra}", "{dec}", "2", "--format", "csv"),
    "images": ("images", "{ra}", "{dec}", "--format", "csv"),
    "status": ("status",),
}
SCRIPT = "import ztfdb; print(len(ztfdb.open({url!r}).light_curve({ra}, {dec}).to_pandas()))"

OF_BASE = {"sqlite": 0.25, "postgresql": 0.35}
OF_PANDAS = 0.6
MOST_MB = 60.0
SCRIPT_OF_BASE = 0.5


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def asked(request, databases):
    """An archive of a hundred epochs of each star, and a star."""
    url = databases.migrated(request.param)
    ztfdb.open(url, create=True).close()
    (stars,) = build_archive(url, Plan(2_000, 100))
    yield request.param, {"url": url, "ra": str(stars.ra[0]), "dec": str(stars.dec[0])}
    databases.drop(url)


RUN = """
import os, sys
child = os.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)
"""
"""A small process in between: Linux counts the memory of who starts a process among the peak of that process."""


def ended(python: Path, words: list[str], tree: Path) -> tuple[float, float, bytes]:
    """Run a process; return its processor seconds, its peak memory (MB) and its output."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [python, "-S", "-c", RUN, python, *words], capture_output=True, cwd=tree, env=environ, check=True
    )
    code, seconds, peak = done.stderr.splitlines()[-1].split()
    assert int(code) == 0, done.stderr
    return float(seconds), float(peak), done.stdout


def interpreter(tree: Path) -> Path:
    own = tree / ".venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def in_turn(*runs: tuple[list[str], Path]) -> list[tuple[float, float, bytes]]:
    """Return the median seconds, the highest peak and the last output of each, run in turn after one for the cache."""
    found = [[ended(interpreter(tree), words, tree) for words, tree in runs] for _ in range(N_RUN + 1)][1:]
    return [
        (statistics.median(one[0] for one in some), max(one[1] for one in some), some[-1][2])
        for some in zip(*found, strict=True)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_asks_one_question(asked, name):
    engine, place = asked
    words = ["-m", "ztfdb", "--db", place["url"], *(word.format(**place) for word in COMMANDS[name])]
    runs = [(words, HERE), (["-c", "import pandas"], HERE)]
    if BASE is not None:
        runs.append((words, Path(BASE)))
    (seconds, peak, content), (pandas, _, _), *base = in_turn(*runs)
    print(f"\n{engine} {name}: {seconds:.3f} s, {seconds / pandas:.2f} x import pandas, {peak:.0f} MB")
    if engine == "sqlite":
        assert seconds <= OF_PANDAS * pandas
        assert peak <= MOST_MB
    for before, _, before_content in base:
        print(f"{seconds / before:.2f} x the base")
        assert content == before_content
        assert seconds <= OF_BASE[engine] * before


@pytest.mark.skipif(BASE is None, reason="ZTFDB_BENCHMARK_BASE names no checkout to compare with")
def test_a_script_that_asks_for_a_frame(asked):
    engine, place = asked
    words = ["-c", SCRIPT.format(**place)]
    (seconds, _, content), (before, _, before_content) = in_turn((words, HERE), (words, Path(str(BASE))))
    print(f"\n{engine} script: {seconds:.3f} s, {seconds / before:.2f} x the base")
    assert content == before_content
    assert seconds <= SCRIPT_OF_BASE * before
