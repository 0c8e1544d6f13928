"""Spoilt files through the daemon's workers; the long run is in ``tests/benchmarks/test_bad_input.py``."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from tests.support.mutants import Mutator, Pack, run_daemon
from ztfdb.ingest.report import Outcome
from ztfdb.ingest.run import ingest_paths
from ztfdb.store.engine import make_engine, sessions

MAX_MB = 1024.0


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    made = sessions(engine)
    ingest_paths(made, [])  # freezes the settings
    yield made
    engine.dispose()


@pytest.mark.slow
def test_every_spoilt_file_is_stored_or_set_aside_and_every_good_one_stored(maker, tmp_path):
    mutator = Mutator(tmp_path / "night", seed=3)
    mutator.cut_at_every_block()
    result = run_daemon(maker, mutator.write(160))
    assert result.errors["WorkerDied"] == result.errors["MeasurementTimeout"] == 0
    assert result.unexpected == []
    assert result.peak_mb <= MAX_MB


def test_the_malformed_files_are_stored_or_set_aside(maker, tmp_path, shared_data):
    folder = tmp_path / "night"
    shutil.copytree(shared_data / "malformed" / "ztf_variants", folder)
    for k, path in enumerate(sorted((shared_data / "malformed" / "astropy").iterdir())):
        shutil.copy(path, folder / f"ztf_20200925{k:06d}_000655_zr_c13_o_q3_sciimg.fits")
    n_file = sum("sciimg" in path.name for path in folder.iterdir())
    result = run_daemon(maker, Pack(folder, kinds=Counter({"malformed": n_file})))
    stored = [one for one in result.outcomes if one.outcome is Outcome.STORED]
    assert len(stored) == 1  # the whole variants are one image, packed or padded in another way
    assert result.states["done"] == 5
    assert result.unexpected == []
    assert result.peak_mb <= MAX_MB
