"""The space of all jobs of a service."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from types import SimpleNamespace

from ztfdb.errors import QueryError
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import MB
from ztfdb.serve.tap import jobs
from ztfdb.store.tap_jobs import JobStore

PIECE = bytes(MB // 10)


def put_in_turn(puts):
    for at in range(20):
        puts[at % 2](PIECE)


def test_results_written_at_the_same_time_share_the_space(tmp_path, monkeypatch):
    """Each had all of it, so that some at once filled the disk."""
    monkeypatch.setattr(jobs, "MEASURE_BYTES", len(PIECE))
    store = JobStore(tmp_path)
    runner = jobs.JobRunner(store, SimpleNamespace(), Limits(spool_mb=1))
    try:
        paths = [store.result_path(store.create([], days=1, duration=60).id) for _ in range(2)]
        with paths[0].open("wb", buffering=0) as one, paths[1].open("wb", buffering=0) as two:
            puts = [runner._put(stream.write) for stream in (one, two)]
            with pytest.raises(QueryError, match="results of all jobs use all available space"):
                put_in_turn(puts)
        assert 0.9 * MB <= store.spooled() <= MB
    finally:
        runner.close()
