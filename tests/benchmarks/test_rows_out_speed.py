"""Rows of SQL into a CSV file, against the databases' own programs: processor time, side by side, and peak memory.

``pytest -m benchmark -s tests/benchmarks/test_rows_out_speed.py``; start-up of ztfdb counts.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.sidebyside import PEAK_KB, loaded_archives, server_seconds

pytestmark = pytest.mark.benchmark

STATEMENT = "select source_id, image_id, hpx29, ra, dec, x, flux_aper4, flags from source order by source_id"
TEN_TIMES = "select s.source_id, image_id, hpx29, ra, dec, x, flux_aper4, flags from source as s cross join (" + (
    " union all ".join(f"select {k} as n" for k in range(10)) + ") as t"
)
BARS = {"sqlite": 0.45, "postgresql": 0.8}
MOST_MB = 200


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def loaded(request, tmp_path_factory):
    """A million detections of 10,000 stars on one quadrant."""
    yield from loaded_archives(request.param, tmp_path_factory.mktemp("rows"))


def seconds(loaded, command):
    """Processor time of a command and of the server meanwhile."""
    server, before = server_seconds(loaded), os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    own = after.children_user + after.children_system - before.children_user - before.children_system
    return own + server_seconds(loaded) - server


def ours(loaded, statement, path):
    """The command of ztfdb."""
    main = "from ztfdb.cli import main; main()"
    return [
        sys.executable,
        "-c",
        main,
        "sql",
        statement,
        "--db",
        loaded.url,
        "--force",
        "--timeout",
        "3600",
        "-o",
        path,
    ]


def theirs(loaded, path):
    """The database's own command."""
    if loaded.engine == "sqlite":
        file = loaded.url.removeprefix("sqlite:///")
        return ["sqlite3", "-header", "-csv", file, f".once {path}", STATEMENT]
    url = loaded.url.replace("+psycopg", "")
    return ["psql", url, "-qc", f"\\copy ({STATEMENT}) to '{path}' csv header"]


def test_a_million_rows_to_a_file(loaded, tmp_path):
    if shutil.which("sqlite3" if loaded.engine == "sqlite" else "psql") is None:
        pytest.skip("the database's own program is not installed")
    pairs = []
    for _ in range(5):
        own = seconds(loaded, ours(loaded, STATEMENT, str(tmp_path / "ours.csv")))
        other = seconds(loaded, theirs(loaded, str(tmp_path / "theirs.csv")))
        pairs.append(other / own)
    ratio = statistics.median(pairs)
    print(f"\n{loaded.engine}: 10^6 rows x 8 columns to CSV, {ratio:.2f} x the rate of the database's own program")
    assert Path(tmp_path / "ours.csv").read_bytes().count(b"\n") == 1_000_001
    assert ratio >= BARS[loaded.engine]


@pytest.mark.parametrize(("statement", "n_row"), [(STATEMENT, 1_000_000), (TEN_TIMES, 10_000_000)])
def test_memory_does_not_grow_with_rows(loaded, tmp_path, statement, n_row):
    path = tmp_path / "rows.csv"
    start = time.monotonic()
    command = [*ours(loaded, statement, str(path))]
    command[2] = (
        f"import sys\nfrom ztfdb.cli import main\ntry:\n    main()\nfinally:\n    print({PEAK_KB}, file=sys.stderr)"
    )
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = int(done.stderr.split()[-1]) / 1024
    print(f"\n{loaded.engine}: {n_row:,} rows, {peak:.0f} MB, {time.monotonic() - start:.0f} s")
    assert f"wrote {n_row:,} rows" in done.stderr
    assert peak <= MOST_MB
