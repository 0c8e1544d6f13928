"""How fast ZTF's own PSF catalogues answer, at the bars of our own sources, and what loading one adds to an ingest.

``pytest -m benchmark tests/benchmarks/test_psfcat_speed.py -s`` prints the table. Set ``ZTFDB_BENCHMARK_STARS`` to
another number of stars, as for `test_lightcurve_speed`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from tests.benchmarks.test_ingest_speed import Chain
from tests.benchmarks.test_lightcurve_speed import N_EPOCH, N_POSITION, N_STAR, Loaded, loaded, report
from tests.support.postgres import ENGINES, Databases
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.schema import PsfSource
from ztfdb.simulate import make_psfcat, make_science_image
from ztfdb.store.backends import engine_class
from ztfdb.store.engine import make_engine, sessions, writing

pytestmark = pytest.mark.benchmark

__all__ = ["loaded"]

LARGEST_GROWTH = 1.10
"""Of an image's ingest time by its PSF catalogue."""

PAIRS = 21
"""The machine changes its speed within a pair: a median of few says little."""

PAINTED = 16_000
"""Stars to paint for some 12,000 to be found."""

FILL = """
    insert into psf_source
    select source_id, image_id, hpx29, ra, dec, x, y, flux_aper4, flux_aper4_err,
           case when flux_aper4 > 0 then -2.5 * log10(cast(flux_aper4 as double precision)) end,
           case when flux_aper4 > 0 then 1.0857 * flux_aper4_err / flux_aper4 end,
           flux_aper4 / flux_aper4_err, 1.0, 0.0, coalesce(mask_bits, 0)
    from source"""
"""A catalogue of each image that has all our sources, in the order in which they came."""


@pytest.fixture(scope="module")
def catalogued(loaded: Loaded) -> Loaded:
    """The archive of `test_lightcurve_speed` with as many rows in ``psf_source`` as in ``source``."""
    engine = make_engine(loaded.url)
    start = time.perf_counter()
    with writing(sessions(engine)) as session:
        session.execute(text(FILL))
    print(f"{loaded.engine}: catalogues filled in {time.perf_counter() - start:.0f} s")
    engine_class(engine).settle_table(engine, PsfSource.__table__)
    engine.dispose()
    return loaded


def test_one_light_curve(catalogued: Loaded) -> None:
    stars, rng = catalogued.stars, np.random.default_rng(1)
    chosen = rng.integers(N_STAR, size=1000)

    def ask(phot: str, k: int) -> Any:
        star = chosen[k]
        return catalogued.archive.light_curve(stars.ra[star], stars.dec[star], phot=phot).to_pandas()

    walls: dict[str, list[float]] = {"psfcat": [], "aperture": [], "both": []}
    for k in range(310):
        for phot, wall in walls.items():  # in turn: the machine changes its speed from second to second
            start = time.perf_counter()
            frame = ask(phot, k)
            if k >= 10:
                wall.append(1e3 * (time.perf_counter() - start))
    frame = ask("psfcat", 0)
    theirs, ours, both = (statistics.median(walls[phot]) for phot in walls)
    report(f"psfcat light curve, {len(frame)} epochs x {frame.shape[1]} columns", catalogued.engine, "<= 5 ms",
           f"{theirs:.2f} ms", f"(aperture {ours:.2f} ms; both {both:.2f} ms)")  # fmt: skip
    assert len(frame) >= N_EPOCH
    assert theirs <= 5.0


def test_ten_thousand_positions_in_one_call(catalogued: Loaded) -> None:
    positions = {"ra": catalogued.stars.ra[:N_POSITION], "dec": catalogued.stars.dec[:N_POSITION]}
    start, used = time.perf_counter(), time.process_time()
    frame = catalogued.archive.light_curves(positions, phot="psfcat")
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    start = time.perf_counter()
    ours = len(catalogued.archive.light_curves(positions)) / (time.perf_counter() - start)
    told = f"({wall:.1f} s, CPU {cpu:.1f} s; aperture {ours:,.0f} epochs/s)"
    what = f"{len(positions['ra']):,} psfcat light curves, {len(frame):,} epochs"
    report(what, catalogued.engine, ">= 200,000 epochs/s", f"{len(frame) / wall:,.0f} epochs/s", told)
    assert frame["position"].nunique() == len(positions["ra"])
    assert len(frame) / wall >= 200_000


@pytest.fixture(scope="module")
def quadrants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same quadrant in two folders, in one of them with its catalogue."""
    folder = tmp_path_factory.mktemp("quadrant")
    plain, with_psfcat = folder / "plain", folder / "psfcat"
    plain.mkdir()
    with_psfcat.mkdir()
    made = make_science_image(plain, n_star=PAINTED, seed=1, shape=QUADRANT_SHAPE, fwhm=1.8)
    assert made.msk is not None
    for path in (made.sci, made.msk):
        (with_psfcat / path.name).hardlink_to(path)
    make_psfcat(made, path=with_psfcat / made.sci.name.replace("sciimg", "psfcat"))
    return {"plain": plain / made.sci.name, "psfcat": with_psfcat / made.sci.name}


@pytest.fixture
def chains(databases: Databases) -> Iterator[dict[str, Chain]]:
    urls = {engine: databases.migrated(engine) for engine in ENGINES}
    made = {engine: Chain(url) for engine, url in urls.items()}
    yield made
    for engine, chain in made.items():
        chain.close()
        databases.drop(urls[engine])


def test_a_catalogue_adds_little_to_an_ingest(quadrants: dict[str, Path], chains: dict[str, Chain]) -> None:
    growth = {}
    for engine, chain in chains.items():
        ratios, plain, steps = [], [], {"commit": []}
        for pair in range(-1, PAIRS):
            order = ("plain", "psfcat") if pair % 2 else ("psfcat", "plain")
            wall = {}
            for which in order:
                wall[which] = chain.ingest(quadrants[which]).wall
                if which == "psfcat":
                    for name, values in steps.items():
                        values.append(chain.steps[name])
            if pair >= 0:  # the first pair warms up
                ratios.append(wall["psfcat"] / wall["plain"])
                plain.append(wall["plain"])
        growth[engine] = statistics.median(ratios)
        told = ", ".join(f"{name} {1e3 * statistics.median(values):.0f} ms" for name, values in steps.items())
        report(f"ingest of {chain.n_source:,} sources with their psfcat", engine, f"<= {LARGEST_GROWTH} x",
               f"{growth[engine]:.3f} x", f"(without {statistics.median(plain):.2f} s; {told})")  # fmt: skip
    assert max(growth.values()) <= LARGEST_GROWTH
