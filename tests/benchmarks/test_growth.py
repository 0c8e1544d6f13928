"""What a row costs, to write and to keep, as an archive grows from 10^6 to 3·10^7 detections.

Quadrants of 12,000 stars have 83 epochs each; ``ZTFDB_QUADRANTS`` (30) of them are the large archive, one the small.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

import ztfdb
from tests.support.measured import EXPID, make_measured
from tests.support.postgres import ENGINES
from tests.support.sidebyside import Loaded, server_seconds
from ztfdb.ingest.commit import commit_image
from ztfdb.server import PostgresServer
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.engine import make_engine, sessions

pytestmark = pytest.mark.benchmark

N_QUADRANT = int(os.environ.get("ZTFDB_QUADRANTS", "30"))
N_STAR = 12_000
N_EPOCH = 83
N_MORE = 16
"""Images of which the writing is measured, after the others."""

N_CURVE = 200
"""Light curves that are timed."""

WRITE_BAR, CURVE_BAR = 1.25, 1.25
BYTES_BAR = {"sqlite": 350, "postgresql": 315}
"""What decision 47 found, and a little room."""


class Sky:
    """Stars of quadrants that do not touch, and images of them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._ra = rng.uniform(0, 0.9, (N_QUADRANT, N_STAR))
        self._dec = rng.uniform(0, 0.9, (N_QUADRANT, N_STAR))
        self._rng = rng
        self.star = self._ra[0, 0], self._dec[0, 0]
        self.n_image = 0

    def image(self, quadrant: int):
        """The next epoch of a quadrant."""
        self.n_image = number = self.n_image + 1
        one = make_measured(
            f"/data/{number}_sciimg.fits", content=f"{number}", n_source=N_STAR, seed=number, expid=EXPID + number
        )
        ra = 10.0 * (quadrant % 30) + self._ra[quadrant] + self._rng.normal(0, 2e-5, N_STAR)
        dec = 1.0 * (quadrant // 30) + self._dec[quadrant] + self._rng.normal(0, 2e-5, N_STAR)
        hpx29 = sky_to_cell(ra, dec)
        order = np.argsort(dec)  # about the order in which rows of pixels are read
        return replace(one, sources=replace(one.sources, ra=ra[order], dec=dec[order], hpx29=hpx29[order]))


def write_cost(loaded, maker, images) -> float:
    """Processor time (s) a row of this process and the server; making the images is not counted."""
    spent = 0.0
    for measured in images:
        before = sum(os.times()[:2]) + server_seconds(loaded)
        commit_image(maker, measured)
        spent += sum(os.times()[:2]) + server_seconds(loaded) - before
    return spent / (len(images) * N_STAR)


def write_what_waits(engine) -> None:
    """Write the pages that PostgreSQL holds changed, so that nobody pays for them later."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("checkpoint"))


def size_of(engine) -> int:
    """Bytes of the table of detections and its indexes; of the whole file for SQLite."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return connection.execute(text("select pg_total_relation_size('source')")).scalar_one()
        pages, page, free = (
            connection.execute(text(f"pragma {word}")).scalar_one()
            for word in ("page_count", "page_size", "freelist_count")
        )
        return (pages - free) * page


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_costs_as_much_in_a_large_archive(name, tmp_path, capsys):
    server = None
    if name == "postgresql":  # as docs/postgresql.md has it
        server = PostgresServer(durable=True, settings={"shared_buffers": "4GB", "max_wal_size": "8GB"})
        server.start()
    url = f"sqlite:///{tmp_path / 'growth.sqlite'}" if server is None else server.create_database("growth")
    ztfdb.open(url, create=True).close()
    engine, sky, costs, curves = make_engine(url), Sky(), [], []
    loaded, maker = Loaded(name, url, None, server), sessions(engine)
    for first, last in ((0, 1), (1, N_QUADRANT)):
        started = time.perf_counter()
        for quadrant in range(first, last):
            for _ in range(N_EPOCH):
                commit_image(maker, sky.image(quadrant))
        took = time.perf_counter() - started
        write_what_waits(engine)
        spread = write_cost(loaded, maker, [sky.image(int(k)) for k in np.linspace(0, last - 1, N_MORE)])
        write_what_waits(engine)
        costs.append(write_cost(loaded, maker, [sky.image(last - 1) for _ in range(N_MORE)]))
        n_row = sky.n_image * N_STAR
        size = size_of(engine) / n_row
        with ztfdb.open(url, read_only=True) as archive:
            archive.light_curve(*sky.star)
            before = sum(os.times()[:2]) + server_seconds(loaded)
            for _ in range(N_CURVE):
                assert len(archive.light_curve(*sky.star)) >= N_EPOCH
            curves.append((sum(os.times()[:2]) + server_seconds(loaded) - before) / N_CURVE)
        with capsys.disabled():
            print(
                f"\n{name}: {n_row:,} rows, {took:.0f} s; {1e6 * costs[-1]:.2f} us of processor a row more of one "
                f"quadrant, {1e6 * spread:.2f} of quadrants in turn, {size:.1f} bytes a row, "
                f"a light curve {1e3 * curves[-1]:.2f} ms"
            )
    engine.dispose()
    if server is not None:
        server.close()
    assert costs[1] <= WRITE_BAR * costs[0]
    assert curves[1] <= CURVE_BAR * curves[0]
    assert size <= BYTES_BAR[name]
