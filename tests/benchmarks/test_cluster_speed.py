"""Dask workers that store into PostgreSQL: images a second of two against one, on whole quadrants."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text

from tests.support.cores import two_at_once
from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Image
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import delete_image

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two workers need two processors"),
]

QUADRANT = (3080, 3072)
N_IMAGE, N_STAR = 14, 17_000
LEAST_GAIN = 1.7


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    for k in range(N_IMAGE):
        make_science_image(folder, n_star=N_STAR, seed=k, shape=QUADRANT, obsmjd=58500.2 + k)
    return folder


@contextmanager
def workers(number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")
        with distributed.LocalCluster(
            n_workers=number, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as made:
            assert len(made.workers) == number
            yield made


def stored_once(session):
    """How many images there are, and how many of them have exactly the sources that they count."""
    counted = "select image_id, count(*) as n from source group by image_id"
    rows = session.execute(
        text(f"select i.n_source, s.n from image i left join ({counted}) s on s.image_id = i.image_id")
    )
    found = rows.all()
    return len(found), sum(n_source == n for n_source, n in found)


def run(maker, folder, cluster, on_step=lambda number: None):
    """Ingest everything and return when each image had ended, s."""
    start, ends = time.perf_counter(), []

    def note(step):
        if step.outcome is not None:
            ends.append(time.perf_counter() - start)
            on_step(len(ends))

    report = ingest_paths(maker, [folder], scheduler=cluster.scheduler_address, progress=note)
    assert (report.stored, report.failed) == (N_IMAGE, 0)
    with maker() as session:
        assert stored_once(session) == (N_IMAGE, N_IMAGE)
    with writing(maker) as session:
        for image_id in session.scalars(select(Image.image_id)).all():
            delete_image(session, image_id)
    return ends


def rate(ends):
    """Images per second while all workers are warm and have one."""
    return (len(ends) - 4) / (ends[-3] - ends[1])


def test_two_workers_store_nearly_twice_as_fast_as_one(databases, night):
    url = databases.migrated("postgresql")
    engine = make_engine(url)
    maker = sessions(engine)
    rates, most = {1: [], 2: []}, []
    with workers(1) as one, workers(2) as two:
        for turn in range(4):
            for number, cluster in ((1, one), (2, two)):
                found = rate(run(maker, night, cluster))
                if turn:  # the first one warms up
                    rates[number].append(found)
                print(f"{number}: {found:.2f} images/s")
            most.append(two_at_once())
    engine.dispose()
    databases.drop(url)
    gain = statistics.median(b / a for a, b in zip(rates[1], rates[2], strict=True))
    print(
        f"{N_IMAGE} quadrants of {N_STAR} stars: " + ", ".join(f"{statistics.median(r):.2f}/s" for r in rates.values())
    )
    print(
        f"two workers do {gain:.2f} times the work of one; two processes that only compute, in turn with them: "
        + ", ".join(f"{one:.2f}" for one in most)
    )
    assert gain >= LEAST_GAIN


def test_every_quadrant_is_stored_once_though_workers_are_killed(databases, night):
    url = databases.migrated("postgresql")
    engine = make_engine(url)
    with workers(2) as cluster:
        killed = []

        def kill(number):
            if number in (3, 7):
                victim = next(iter(cluster.workers.values()))
                killed.append(victim.pid)
                os.kill(victim.pid, signal.SIGKILL)

        run(sessions(engine), night, cluster, kill)
    engine.dispose()
    databases.drop(url)
    assert len(killed) == 2
