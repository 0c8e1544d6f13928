"""Wide cones, and ten thousand light curves in one call, against an earlier commit: processor time, side by side.

``ZTFDB_BENCHMARK_BASE`` names a checkout of that commit with its environment in ``.venv``; without it, rates alone.
``pytest -m benchmark -s tests/benchmarks/test_cone_speed.py``
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.sidebyside import BASE, loaded_archives, ratios

pytestmark = pytest.mark.benchmark

CONE = "archive.cone(180.0, 10.0, {radius})"
CURVES = """archive.light_curves(__import__("pandas").read_csv({positions!r}))"""

BAR = 3.0
"""PostgreSQL does not reach it: the server's work of sending 35 columns is most of the time; see decision 43."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def loaded(request, tmp_path_factory):
    """A million detections of 10,000 stars on one quadrant."""
    yield from loaded_archives(request.param, tmp_path_factory.mktemp("cone"))


@pytest.mark.skipif(BASE is None, reason="ZTFDB_BENCHMARK_BASE names no checkout to compare with")
@pytest.mark.parametrize("radius", [360.0, 3600.0])
def test_a_wide_cone(loaded, radius):
    found = ratios(loaded, CONE.format(radius=radius), 5)
    print(f"\n{loaded.engine}: cone of {radius:g} arcsec, {found.n_row:,} rows: {found}")
    assert found.same
    assert found.speed >= BAR


@pytest.mark.skipif(BASE is None, reason="ZTFDB_BENCHMARK_BASE names no checkout to compare with")
def test_ten_thousand_light_curves(loaded, tmp_path):
    path = tmp_path / "positions.csv"
    np.savetxt(path, np.stack([loaded.stars.ra, loaded.stars.dec], axis=1), "%.12f", ",", header="ra,dec", comments="")
    found = ratios(loaded, CURVES.format(positions=str(path)), 5)
    print(f"\n{loaded.engine}: 10,000 light curves, {found.n_row:,} epochs: {found}")
    assert found.same
    assert found.speed >= 1.3
    assert found.memory <= 0.6
