"""Memory and rate of very many positions in one call, streamed to a file: 10^5 positions of 300 epochs, 10^6 in all.

``pytest -m benchmark -s tests/benchmarks/test_many_positions_memory.py``; 30 million epochs go to a Parquet file of
some 3 GB, which is removed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ztfdb
from tests.support.archives import Plan, build_archive
from ztfdb.errors import QueryError
from ztfdb.query import detections

pytestmark = pytest.mark.benchmark

N_STAR, N_EPOCH = 2_000, 300
N_POSITION, N_EMPTY = 100_000, 1_000_000
LARGEST_MEMORY_MB = 1_024
ROOM = 8e9

COMMAND = """import sys, time
from ztfdb.cli import main
start = time.perf_counter()
try:
    main()
except SystemExit as exc:
    assert not exc.code, exc.code
print(time.perf_counter() - start)
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell the peak memory")
def test_a_hundred_thousand_positions_stay_below_a_gigabyte(engine_url, tmp_path, monkeypatch):
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip(f"{ROOM / 1e9:.0f} GB are needed in {tmp_path}")
    (stars,) = build_archive(engine_url, Plan(N_STAR, N_EPOCH, trouble=0.02))
    rng = np.random.default_rng(2)
    which = rng.integers(N_STAR, size=N_POSITION)
    tables = {
        "10^5 positions of stars": pd.DataFrame({"ra": stars.ra[which], "dec": stars.dec[which]}),
        "10^6 positions, most on empty sky": pd.DataFrame(
            {"ra": rng.uniform(0, 360, N_EMPTY), "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, N_EMPTY)))}
        ),
    }
    for name, table in tables.items():
        given, out = tmp_path / "positions.parquet", tmp_path / "curves.parquet"
        table.to_parquet(given)
        command = [sys.executable, "-c", COMMAND, "--db", engine_url, "lightcurve", str(given), "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak = (float(line) for line in done.stdout.split())
        n_epoch = ztfdb_rows(out)
        engine = engine_url.partition(":")[0].partition("+")[0]
        print(f"\n{engine}: {name}: {n_epoch:,} epochs in {seconds:.0f} s, peak memory {peak / 1024:.0f} MB", end="")
        assert peak / 1024 <= LARGEST_MEMORY_MB
        out.unlink()
    print()
    monkeypatch.setattr(detections, "MOST_EPOCHS", 500_000)
    with ztfdb.open(engine_url) as archive, pytest.raises(QueryError, match="in pieces"):
        archive.light_curves(tables["10^5 positions of stars"])


def ztfdb_rows(path):
    from pyarrow.parquet import read_metadata

    return read_metadata(path).num_rows
