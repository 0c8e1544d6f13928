"""Light curves against q3c: the same table, the same join, the same columns, side by side in one run.

Debian's PostgreSQL 15 with ``postgresql-15-q3c`` (skipped where it is not installed). Both indexes are there while
the table is loaded, in the order of the exposures, and it is never clustered. From the statement sent to the
calibrated columns as numpy arrays; the full call to a DataFrame stands beside it. Cold: the server is stopped, its
files are evicted from the page cache, it is started again, and each position is visited for the first time.

Set ``ZTFDB_BENCHMARK_STARS`` to another number of stars (300 epochs each; 10,000 by default, 3 million detections;
100,000 for 30 million: some 25 GB and half an hour), and ``ZTFDB_BENCHMARK_ARCHIVE`` to a folder that keeps the
server's files, to ask the same archive again without building it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ztfdb
from tests.support.archives import Plan, Stars, build_archive, stars_of
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.magnitudes import flux_to_mag, microjansky_per_dn
from ztfdb.schema import Image, Source
from ztfdb.server import PostgresServer
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import backend, engine_class
from ztfdb.store.columns import NO_MASK
from ztfdb.store.detections import OURS, light_curve_rows
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.image_table import epoch_images

pytestmark = pytest.mark.benchmark

BINARIES = Path("/usr/lib/postgresql/15/bin")
Q3C = Path("/usr/share/postgresql/15/extension/q3c.control")
N_STAR = int(os.environ.get("ZTFDB_BENCHMARK_STARS", "10000"))
KEPT = os.environ.get("ZTFDB_BENCHMARK_ARCHIVE")
N_SMALL = 3_334
N_EPOCH = 300
RADIUS = 1.5
BYTES_PER_ROW = 800
WARM_RATIO, COLD_RATIO, MANY_RATIO, GROWTH = 4.0, 15.0, 5.0, 1.5
MANY_RATE = 500_000
"""Epochs a second of many positions."""

N_POSITION = 10_000

APERTURE = 4
FIELDS = ", ".join(f"source.{name}" for name in OURS.light_curve_dtypes)
IMAGE_COLUMNS = ("mjd", "exptime", "fid", "magzp", "apcor", "limitmag", "infobits")


@dataclass
class Loaded:
    """The server, the archive on it and what is in it."""

    server: PostgresServer
    url: str
    stars: Stars
    small_url: str
    small_stars: Stars


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    if not (Q3C.exists() and (BINARIES / "postgres").exists()):
        pytest.skip("Debian's PostgreSQL 15 with postgresql-15-q3c is not installed")
    folder = tmp_path_factory.mktemp("q3c")
    wanted, free = (N_STAR + N_SMALL) * N_EPOCH * BYTES_PER_ROW, shutil.disk_usage(folder).free
    if free < wanted and not kept_before(KEPT):
        pytest.skip(f"{wanted / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free")
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB"}
    server = PostgresServer(KEPT, durable=True, settings=settings, binaries=BINARIES)
    server.start()
    try:
        url, stars = _filled(server, f"big{N_STAR}", N_STAR)
        small_url, small_stars = _filled(server, f"small{N_SMALL}", N_SMALL)
        yield Loaded(server, url, stars, small_url, small_stars)
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def kept_before(folder: str | None) -> bool:
    """Tell whether a kept server holds the archives already."""
    return folder is not None and (Path(folder) / "PG_VERSION").exists()


def _filled(server: PostgresServer, name: str, n_star: int) -> tuple[str, Stars]:
    with server.connect() as connection:
        held = connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
    if held:
        return server.url(name), stars_of(Plan(n_star, N_EPOCH, trouble=0.02))
    url = server.create_database(name)
    ztfdb.open(url, create=True).close()
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create extension q3c"))
        connection.execute(text("create index source_q3c on source (q3c_ang2ipix(ra, dec))"))
    start = time.perf_counter()
    stars = build_archive(url, Plan(n_star, N_EPOCH, trouble=0.02))[0]
    seconds = time.perf_counter() - start
    print(f"\n{name}: {n_star * N_EPOCH:,} detections with both indexes in {seconds:.0f} s")
    for table in (Source.__table__, Image.__table__):
        engine_class(engine).settle_table(engine, table)
    engine.dispose()
    return url, stars


def calibrated(session: Session, rows: dict[str, Any], ra: float, dec: float) -> dict[str, Any]:
    """Both ways end here: the exact cut, the join to ``image``, magnitudes and microjansky, in no particular order.

    Images that the connection knows from the question before are not read again, in both ways.
    """
    inside = separation(ra, dec, rows["ra"], rows["dec"]) <= RADIUS
    columns = {name: values[inside] for name, values in rows.items()}
    images, at = epoch_images(session, columns["source_id"] >> SOURCE_ID_SHIFT, APERTURE)
    columns |= {name: images[name].take(at) for name in IMAGE_COLUMNS}
    zeropoint = columns["magzp"] + columns["apcor"]
    flux, flux_err = columns["flux_aper4"].astype(float), columns["flux_aper4_err"].astype(float)
    columns["mag"], columns["mag_err"] = flux_to_mag(flux, flux_err, zeropoint)
    columns["flux_ujy"] = flux * microjansky_per_dn(zeropoint)
    return columns


def by_cells(session: Session, lo: Any, hi: Any, ra: float, dec: float) -> dict[str, Any]:
    return calibrated(session, light_curve_rows(session, OURS, lo=lo, hi=hi), ra, dec)


def by_q3c(session: Session, lo: Any, hi: Any, ra: float, dec: float) -> dict[str, Any]:
    session.connection().exec_driver_sql("set local jit = off")  # as good as q3c can be
    statement = f"select {FIELDS} from source where q3c_radial_query(ra, dec, :ra, :dec, :radius)"
    params = {"ra": float(ra), "dec": float(dec), "radius": RADIUS / 3600.0 * (1 + 1e-9)}
    rows = backend(session).read_bulk(statement, params, OURS.light_curve_dtypes, nulls={"mask_bits": NO_MASK})
    return calibrated(session, rows, ra, dec)


def timed(maker: Any, way: Callable[..., Any], stars: Stars, chosen: Any) -> list[float]:
    """Milliseconds from the first statement sent to the calibrated columns, in a transaction that is open already.

    The cover of the cone (0.3 ms) comes before that; the full call has it, and all else.
    """
    wall = []
    for star in chosen:
        ra, dec = float(stars.ra[star]), float(stars.dec[star])
        _, lo, hi = cone_ranges(ra, dec, RADIUS)
        with maker() as session:
            session.connection()
            start = time.perf_counter()
            rows = way(session, lo, hi, ra, dec)
            wall.append(1e3 * (time.perf_counter() - start))
            assert len(rows["mag"]) >= 0.9 * N_EPOCH
    return wall


def evict(folder: Path) -> None:
    """Ask the system to forget the pages of every file below a folder."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def report(what: str, *figures: str) -> None:
    print(f"{N_STAR * N_EPOCH:>12,} rows  {what:<34} {'  '.join(figures)}")


def test_both_ways_give_the_same_rows(loaded: Loaded) -> None:
    engine = make_engine(loaded.url)
    for star in range(0, N_STAR, N_STAR // 20):
        position = float(loaded.stars.ra[star]), float(loaded.stars.dec[star])
        _, lo, hi = cone_ranges(*position, RADIUS)
        answers = []
        for way in (by_cells, by_q3c):
            with sessions(engine)() as session:  # each in a transaction of its own: settings of one are no good for q3c
                answers.append(way(session, lo, hi, *position))
        orders = [np.argsort(answer["source_id"]) for answer in answers]
        assert len(orders[0]) >= 0.9 * N_EPOCH
        for name in answers[0]:
            np.testing.assert_array_equal(*(answer[name][by] for answer, by in zip(answers, orders, strict=True)))
    engine.dispose()


def test_warm(loaded: Loaded) -> None:
    engine = make_engine(loaded.url)
    maker, rng = sessions(engine), np.random.default_rng(1)
    chosen = rng.integers(N_STAR, size=60)
    for way in (by_cells, by_q3c):
        timed(maker, way, loaded.stars, chosen)  # what is asked below is in the caches
    ours, theirs = [], []
    for some in np.split(chosen, 6):  # in turn, so that other work on the machine hits both
        ours += timed(maker, by_cells, loaded.stars, some)
        theirs += timed(maker, by_q3c, loaded.stars, some)
    ratio = np.median(theirs) / np.median(ours)
    with ztfdb.open(loaded.url) as archive:
        call = []
        for star in chosen:
            start = time.perf_counter()
            archive.light_curve(loaded.stars.ra[star], loaded.stars.dec[star])
            call.append(1e3 * (time.perf_counter() - start))
    report("one light curve, warm", f"ztfdb {np.median(ours):.2f} ms", f"q3c {np.median(theirs):.2f} ms",
           f"ratio {ratio:.1f} (bar {WARM_RATIO:g})", f"full call to DataFrame {np.median(call):.2f} ms")  # fmt: skip
    engine.dispose()
    assert ratio >= WARM_RATIO


def test_growth(loaded: Loaded) -> None:
    rng = np.random.default_rng(2)
    walls: list[list[float]] = []
    asked = [
        (make_engine(url), stars, rng.integers(len(stars.ra), size=120))
        for url, stars in ((loaded.small_url, loaded.small_stars), (loaded.url, loaded.stars))
    ]
    for engine, stars, chosen in asked:
        timed(sessions(engine), by_cells, stars, chosen)
        walls.append([])
    for part in range(12):  # in turn, so that other work on the machine hits both
        for wall, (engine, stars, chosen) in zip(walls, asked, strict=True):
            wall += timed(sessions(engine), by_cells, stars, chosen[part::12])
    medians = [float(np.median(wall)) for wall in walls]
    for engine, _, _ in asked:
        engine.dispose()
    report("median at 1 million, and here", *(f"{median:.2f} ms" for median in medians),
           f"grows {medians[1] / medians[0]:.2f} times (bar {GROWTH:g})")  # fmt: skip
    assert medians[1] <= GROWTH * medians[0]


def test_ten_thousand_positions(loaded: Loaded) -> None:
    n = min(N_STAR, N_POSITION)
    positions = {"ra": loaded.stars.ra[:n], "dec": loaded.stars.dec[:n]}
    with ztfdb.open(loaded.url) as archive:
        wall = []
        for _ in range(4):
            start = time.perf_counter()
            frame = archive.light_curves(positions)
            wall.append(time.perf_counter() - start)
        ours = n / float(np.median(wall[1:]))  # the first fills the caches, as the first of theirs does
    engine = make_engine(loaded.url)
    some = np.linspace(0, n - 1, 300).astype(int)
    timed(sessions(engine), by_q3c, loaded.stars, some)
    start = time.perf_counter()
    timed(sessions(engine), by_q3c, loaded.stars, some)
    theirs = len(some) / (time.perf_counter() - start)
    engine.dispose()
    rate = ours * len(frame) / n
    report(f"{n:,} positions, one call", f"{rate:,.0f} epochs/s to DataFrame", f"q3c {theirs:.0f} positions/s",
           f"ratio {ours / theirs:.1f} (bar {MANY_RATIO:g}, and {MANY_RATE:,} epochs/s)")  # fmt: skip
    assert ours >= MANY_RATIO * theirs
    assert rate >= MANY_RATE


def test_cold(loaded: Loaded) -> None:
    """Last: it restarts the server."""
    chosen = np.random.default_rng(3).permutation(N_STAR)[:160].reshape(4, 40)
    walls: dict[Any, list[float]] = {by_q3c: [], by_cells: []}
    for way, some in zip((by_q3c, by_cells, by_q3c, by_cells), chosen, strict=True):
        loaded.server.stop()
        evict(loaded.server.data)
        loaded.server.start()
        engine = make_engine(loaded.url)
        with engine.connect() as connection:
            connection.execute(
                text("select count(*) from archive_meta")
            )  # the connection is made, the catalogs are read
        walls[way] += timed(sessions(engine), way, loaded.stars, some)
        engine.dispose()
    medians = {way: float(np.median(wall)) for way, wall in walls.items()}
    ratio = medians[by_q3c] / medians[by_cells]
    report("one light curve, cold", f"ztfdb {medians[by_cells]:.2f} ms", f"q3c {medians[by_q3c]:.2f} ms",
           f"ratio {ratio:.1f} (bar {COLD_RATIO:g})")  # fmt: skip
    assert ratio >= COLD_RATIO
