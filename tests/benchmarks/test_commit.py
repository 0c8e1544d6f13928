"""How long a measured image of 12,000 sources takes to its committed rows."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.support.measured import EXPID, make_measured
from ztfdb.ingest.commit import commit_image
from ztfdb.store.engine import make_engine, sessions

pytestmark = pytest.mark.benchmark

N_SOURCE = 12_000
N_IMAGE = 30
LIMIT_S = {"sqlite": 0.120, "postgresql": 0.060}
"""On a machine with nothing else to do; the benchmark asserts that the fastest commit stays below twice that."""


def epochs():
    """Epochs of one field: the same stars within 0.1 arcsec, headers as long as real ones."""
    rng = np.random.default_rng(1)
    star = rng.integers(2**60, 2**60 + 2**40, N_SOURCE)
    cards = {role: {f"KEY{i}": i * 1.5 for i in range(260)} for role in ("sci", "msk")}
    for k in range(N_IMAGE):
        one = make_measured(f"/data/{k}_sciimg.fits", content=f"{k}", n_source=N_SOURCE, seed=k, expid=EXPID + k)
        hpx29 = star + rng.integers(0, 4000, N_SOURCE)
        yield replace(one, headers=cards, sources=replace(one.sources, hpx29=hpx29))


def test_commit_of_12000_sources(engine_url, capsys):
    engine = make_engine(engine_url)
    maker = sessions(engine)
    wall, cpu = [], []
    for measured in epochs():
        started, used = time.perf_counter(), sum(os.times()[:2])
        commit_image(maker, measured)
        wall.append(time.perf_counter() - started)
        cpu.append(sum(os.times()[:2]) - used)
    name = engine.dialect.name
    engine.dispose()
    with capsys.disabled():
        print(
            f"\ncommit of {N_SOURCE} sources, {name}: median {1e3 * statistics.median(wall):.0f} ms, "
            f"fastest {1e3 * min(wall):.0f} ms, {1e3 * statistics.mean(cpu):.0f} ms of this process's time"
        )
    assert min(wall) < 2 * LIMIT_S[name]
