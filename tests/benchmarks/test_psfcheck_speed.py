"""What the check against a PSF catalogue adds to an image, and what reference catalogues add to objects."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

import ztfdb
from tests.support.archives import Plan, add_image, build_archive
from tests.support.reference import make_image, open_sessions
from tests.support.references import make_catalogue, store_reference
from ztfdb.derive.objects import build_objects, update_objects
from ztfdb.derive.psf_checks import compare_image, compare_measured, store_check
from ztfdb.ingest.commit import commit_image
from ztfdb.store.engine import make_engine, sessions, writing

pytestmark = pytest.mark.benchmark

N_SOURCE = 12_000
ROUNDS = 15
PLAN = Plan(12_000, 40)


def observed(rng):
    """An image of 12,000 stars with its catalogue, which has 6,000 fainter ones more."""
    ra, dec = 10 + rng.uniform(0, 0.86, N_SOURCE), 5 + rng.uniform(0, 0.86, N_SOURCE)
    mag = 21.0 - rng.exponential(1.2, N_SOURCE)
    flux = np.tile(10 ** (-0.4 * (mag - 26.25)), (6, 1)).astype("f4")
    error = np.sqrt(400 + flux / 6)
    measured = make_image(ra, dec, apcor4=0.0, saturate=5e4)
    columns = {"flux_aper": flux, "flux_aper_err": error, "peak": 0.1 * flux[3]}
    fainter = [np.append(v, low + rng.uniform(0, 0.86, N_SOURCE // 2)) for v, low in ((ra, 10), (dec, 5))]
    mags = np.append(mag + rng.normal(0, 0.01, N_SOURCE), np.full(N_SOURCE // 2, 21.5)) - 0.25
    light = 10 ** (-0.4 * (mags - 26.0))
    table = {"sigmag": 1.0857 * np.sqrt(400 + light / 6) / light}
    record = make_catalogue(*fainter, mags, field=655, fid=2, rcid=50, role="psfcat", magzp=26.25, table=table)
    return replace(measured, sources=replace(measured.sources, **columns), psfcat=record)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_checking_an_image(databases, engine):
    measured = observed(np.random.default_rng(1))
    image_id = measured.info.image_id
    with open_sessions(databases.migrated(engine)) as maker:
        commit_image(maker, measured)
        seconds: dict[str, list[float]] = {"at ingest": [], "from the archive": []}
        for _ in range(ROUNDS):
            for how, times in seconds.items():
                start = time.perf_counter()
                with writing(maker) as session:
                    done = compare_measured(measured) if how == "at ingest" else compare_image(session, image_id)
                    row = store_check(session, done)
                times.append(time.perf_counter() - start)
    assert row["n_star"] > 500
    for how, times in seconds.items():
        print(f"\n{engine}, {how}: {1e3 * statistics.median(times):.0f} ms ({row['n_star']} of {N_SOURCE} stars)")
    assert statistics.median(seconds["at ingest"]) < 0.1


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_references_beside_objects(databases, engine):
    url = databases.migrated(engine)
    (stars,) = build_archive(url, PLAN)
    maker = sessions(make_engine(url))
    rng = np.random.default_rng(2)
    report = build_objects(maker)
    print(f"\n{engine}: {report}")
    for epoch in (100, 101, 102):
        add_image(maker, PLAN, stars, epoch)
        print(f"{engine}, no references: {update_objects(maker)}")
    for fid in (1, 2, 3):
        dec = stars.dec + rng.normal(0, 0.05 / 3600, len(stars.dec))
        store_reference(maker, make_catalogue(stars.ra, dec, 20.0, fid=fid))
    report = update_objects(maker)
    print(f"{engine}, three references of {len(stars.ra):,} sources: {report}")
    assert report.n_reference == 3
    for epoch in (103, 104, 105):
        add_image(maker, PLAN, stars, epoch)
        print(f"{engine}, three references: {update_objects(maker)}")
    with ztfdb.open(url) as archive:
        found = archive.sql("select count(*) as n, count(distinct object_id) as n_object from object_oid", force=True)
        start = time.perf_counter()
        archive.object(int(archive.sql("select max(oid) as oid from object_oid", force=True)["oid"].iloc[0]))
        print(f"{engine}: {found.n.iloc[0]:,} oids of {found.n_object.iloc[0]:,} objects; ", end="")
        print(f"one object by its oid: {1e3 * (time.perf_counter() - start):.0f} ms")
    maker.kw["bind"].dispose()
