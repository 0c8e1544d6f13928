"""Hundreds of random statements: one answer on both engines, geometry as astropy has it, answered from the index.

``ZTFDB_STATEMENTS`` (300) are made; another ``ZTFDB_STATEMENTS_SEED`` tries others.
"""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

pytest.importorskip("sqlglot", reason="the extra serve is not installed")

from tests.support.asked import archive_on_both, in_polygon
from tests.support.postgres import ENGINES
from tests.support.statements import PLACES, random_statements

pytestmark = pytest.mark.benchmark

N_STATEMENT = int(os.environ.get("ZTFDB_STATEMENTS", "300"))
SEED = int(os.environ.get("ZTFDB_STATEMENTS_SEED", "20"))
N_SHAPE = 60
TABLES = ("source", "light_curve_point")


@pytest.fixture(scope="module")
def asked(databases):
    with archive_on_both(databases) as made:
        yield made


def test_random_statements_have_one_answer(asked):
    rows = [len(asked.both(text, uploads)) for text, uploads in random_statements(N_STATEMENT, SEED)]
    print(f"{N_STATEMENT} statements, {sum(map(bool, rows))} with rows, {sum(rows)} rows")
    assert sum(map(bool, rows)) > 0.6 * N_STATEMENT


def shapes():
    """Conditions, and which of some positions fulfil them by astropy."""
    rng = np.random.default_rng(SEED)
    for number in range(N_SHAPE):
        ra, dec = PLACES[rng.integers(len(PLACES))]
        radius = float(10 ** rng.uniform(-2, 1.2))
        if number % 2:
            angle = np.sort(rng.uniform(0, 360, rng.integers(3, 7)))
            if np.diff(angle, append=angle[0] + 360).max() > 170:
                continue
            corner = SkyCoord(ra, dec, unit="deg").directional_offset_by(angle * u.deg, radius * u.deg)
            words = ", ".join(
                f"{a!r}, {d!r}" for a, d in zip(corner.ra.deg.tolist(), corner.dec.deg.tolist(), strict=True)
            )
            yield (
                f"1 = contains(point(ra, dec), polygon({words}))",
                lambda sky, corner=corner: in_polygon(sky, corner.ra.deg, corner.dec.deg),
            )
        else:
            at = SkyCoord(ra, dec, unit="deg")
            yield (
                f"distance(point(ra, dec), point({ra}, {dec})) <= {radius!r}",
                lambda sky, at=at, radius=radius: sky.separation(at).deg <= radius,
            )


def test_geometry_is_astropys_and_answered_from_the_index(asked):
    rows = asked.both("select source_id, ra, dec from source order by source_id")
    ids, ra, dec = (np.array(values) for values in zip(*rows, strict=True))
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    found = 0
    for condition, truth in shapes():
        inside = ids[truth(sky)].tolist()
        assert [row[0] for row in asked.both(f"select source_id from source where {condition} order by 1")] == inside
        found += bool(inside)
        for engine in ENGINES:
            for table in TABLES:
                plan = asked.plan(engine, f"select top 9 * from {table} where {condition} order by ra")
                assert "ix_source_light_curve" in plan, (condition, plan)
                assert not re.search(r"Seq Scan on source|SCAN source", plan), (condition, plan)
    assert found > 30
