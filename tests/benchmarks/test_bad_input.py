"""Thousands of spoilt files through the daemon's workers: each is stored or set aside, soon and in little memory.

``pytest -m benchmark tests/benchmarks/test_bad_input.py -s`` prints what became of them; ``ZTFDB_BENCHMARK_MUTANTS`` is
their number, ``ZTFDB_BENCHMARK_SEED`` another throw of the dice.
"""

from __future__ import annotations

import os

import pytest

from tests.support.mutants import Mutator, run_daemon, write_bomb
from ztfdb.ingest.run import ingest_paths
from ztfdb.store.engine import make_engine, sessions

pytestmark = pytest.mark.benchmark

N_FILE = int(os.environ.get("ZTFDB_BENCHMARK_MUTANTS", "2500"))
SEED = int(os.environ.get("ZTFDB_BENCHMARK_SEED", "1"))
MAX_SECONDS = 10.0
MAX_MB = 1024.0


def test_every_spoilt_file_is_stored_or_set_aside_and_every_good_one_stored(engine_url, tmp_path):
    engine = make_engine(engine_url)
    maker = sessions(engine)
    ingest_paths(maker, [])  # freezes the settings
    mutator = Mutator(tmp_path / "night", SEED)
    mutator.cut_at_every_block()
    pack = mutator.write(N_FILE)
    pack.good.add(write_bomb(pack.folder, 1500).name)  # an image with gigabytes of nothing behind it
    result = run_daemon(maker, pack)
    engine.dispose()
    print(f"\n{engine.dialect.name}: {len(pack)} files, {len(pack.good)} of them good, {result.seconds:.0f} s")
    print(dict(pack.kinds))
    slowest = max(result.outcomes, key=lambda one: one.seconds)
    print(f"{dict(result.states)}; slowest {slowest.seconds:.2f} s ({slowest.path}); {result.peak_mb:.0f} MB at most")
    print(dict(result.errors), *result.unexpected, sep="\n")
    assert slowest.seconds <= MAX_SECONDS
    assert result.peak_mb <= MAX_MB
    assert result.errors["WorkerDied"] == result.errors["MeasurementTimeout"] == 0
    assert result.unexpected == []
