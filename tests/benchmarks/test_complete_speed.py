"""How long the complete light curve of one position takes on 300 whole quadrants, the first time and again."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.support.quadrants import N_IMAGE, SPOT
from ztfdb.sky.projection import pixel_to_sky

pytestmark = pytest.mark.benchmark

FIRST_S = 3.0
AGAIN_S = 0.050
N_MANY = 200


def test_complete_light_curve(seen):
    archive, wcs = seen
    ra, dec = pixel_to_sky(wcs, *SPOT)
    start = time.perf_counter()
    curve = archive.light_curve(ra, dec, complete=True)
    first = time.perf_counter() - start
    assert len(curve) == N_IMAGE == curve.meta["n_measured"]
    assert set(curve["kind"]) <= {"limit", "forced"}
    again = []
    for _ in range(15):
        start = time.perf_counter()
        kept = archive.light_curve(ra, dec, complete=True)
        again.append(time.perf_counter() - start)
    assert kept.meta["n_measured"] == 0
    name = archive.url.partition(":")[0]
    print(f"\n{name}: {N_IMAGE} images: first {first:.2f} s, again {1e3 * np.median(again):.1f} ms")
    rng = np.random.default_rng(1)
    many = pixel_to_sky(wcs, SPOT[0] + rng.uniform(-900, 900, N_MANY), SPOT[1] + rng.uniform(-30, 30, N_MANY))
    for words in ("first", "again"):
        start = time.perf_counter()
        table = archive.light_curves(np.transpose(many), complete=True)
        seconds = time.perf_counter() - start
        print(f"{name}: {N_MANY} positions, {len(table)} epochs, {words}: {len(table) / seconds:,.0f} epochs/s")
    assert first <= FIRST_S
    assert min(again) <= AGAIN_S  # the best of several: others use the machine, too
