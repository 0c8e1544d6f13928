from __future__ import annotations

import numpy as np
import pytest

from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.cover import cover_positions


@pytest.mark.parametrize("center", [(0.0, 0.0), (45.0, 41.81), (123.0, 89.99), (200.0, -89.99), (315.0, 0.0)])
@pytest.mark.parametrize("radius", [0.0, 0.01, 0.5, 1.5, 3.0, 6.0, 60.0, 4000.0])
def test_everything_within_the_radius_is_covered(center, radius):
    rng = np.random.default_rng(1)
    dec = np.clip(center[1] + rng.normal(0, 0.05, 300), -90, 90)
    ra = (center[0] + rng.normal(0, 0.05, 300) / np.maximum(np.cos(np.radians(dec)), 1e-3)) % 360
    lo, hi = cover_positions(sky_to_cell(ra, dec), radius)
    # points on the rims of all cones: a step of `radius` in every direction along great circles
    angle, size = rng.uniform(0, 2 * np.pi, (300, 20)), np.radians(radius / 3600)
    lat, lon = np.radians(dec)[:, None], np.radians(ra)[:, None]
    rim_dec = np.arcsin(np.clip(np.sin(lat) * np.cos(size) + np.cos(lat) * np.sin(size) * np.cos(angle), -1, 1))
    rim_ra = lon + np.arctan2(np.sin(angle) * np.sin(size) * np.cos(lat), np.cos(size) - np.sin(lat) * np.sin(rim_dec))
    cells = sky_to_cell(np.degrees(rim_ra).ravel() % 360, np.degrees(rim_dec).ravel())
    at = np.searchsorted(lo, cells, side="right") - 1
    assert np.all((at >= 0) & (cells < hi[at]))
    assert np.all(lo[1:] > hi[:-1])


def test_no_positions_need_no_cells_and_a_huge_radius_needs_all():
    lo, hi = cover_positions(np.empty(0, np.int64), 1.0)
    assert len(lo) == len(hi) == 0
    lo, hi = cover_positions(sky_to_cell([10.0], [10.0]), 600_000.0)
    assert lo.tolist() == [0] and hi.tolist() == [12 * 4**29]


def test_of_a_much_denser_table_only_the_surroundings_are_covered():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(251.5, 252.5, 12_000), rng.uniform(32.1, 32.9, 12_000)
    dense = np.sort(sky_to_cell(rng.uniform(251.5, 252.5, 80_000), rng.uniform(32.1, 32.9, 80_000)))
    lo, hi = cover_positions(sky_to_cell(ra, dec), 1.5)
    n_read = int(np.sum(np.searchsorted(dense, hi) - np.searchsorted(dense, lo)))
    assert n_read < 0.45 * len(dense)
    assert len(lo) < 0.7 * len(ra)
