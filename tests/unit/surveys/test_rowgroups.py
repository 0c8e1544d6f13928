from __future__ import annotations

import numpy as np
import pytest

from ztfdb.sky.cells import HPX_ORDER, cone_ranges, sky_to_cell
from ztfdb.surveys import rowgroups
from ztfdb.surveys.rowgroups import Group, cap_around

CENTRES = [(10.0, 20.0), (0.0, 0.0), (359.9999, -45.0), (123.0, 90.0), (321.0, -89.9), (45.0, 41.81)]


def scattered(rng, ra, dec, n, radius):
    """Positions within a radius (deg) of one, evenly, and right up to it."""
    c = np.cos(np.radians(radius)) + (1 - np.cos(np.radians(radius))) * np.r_[0.0, rng.random(n - 1)]
    turn, s = rng.uniform(0, 2 * np.pi, n), np.sqrt(1 - c**2)
    east = np.array([-np.sin(np.radians(ra)), np.cos(np.radians(ra)), 0.0])
    up = np.array([np.cos(np.radians(ra)) * np.cos(np.radians(dec)), np.sin(np.radians(ra)) * np.cos(np.radians(dec)),
                   np.sin(np.radians(dec))])  # fmt: skip
    x, y, z = np.outer(up, c) + np.outer(east, s * np.cos(turn)) + np.outer(np.cross(up, east), s * np.sin(turn))
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(np.clip(z, -1, 1)))


def in_ranges(ra, dec, lo, hi):
    """Rows in ranges, one after the other."""
    where = (np.abs(dec) <= 90.0) & (np.abs(ra) <= 360.0)
    cell = np.full(len(ra), -1)
    cell[where] = sky_to_cell(np.mod(ra[where], 360.0), dec[where])
    return np.flatnonzero(((cell[:, None] >= lo) & (cell[:, None] < hi)).any(axis=1))


@pytest.mark.parametrize("radius", [0.5, 60.0, 4000.0, 2e5])
@pytest.mark.parametrize("centre", CENTRES)
def test_a_cap_holds_every_position_of_the_cells_it_is_around(centre, radius):
    rng = np.random.default_rng(1)
    _, lo, hi = cone_ranges(*centre, radius)
    cap = cap_around(lo, hi)
    if cap is None:
        assert radius == 2e5
        return
    ra, dec = scattered(rng, *centre, 20_000, min(180.0, 4 * radius / 3600))
    inside = in_ranges(ra, dec, lo, hi)
    assert len(inside) > 500
    assert set(inside) <= set(cap.near(ra, dec))
    assert cap.radius * 3600 < 5 * radius + 0.1  # cells are square, and cover 3.3 times the cone's area


def test_ranges_on_opposite_sides_of_the_sky_have_no_cap():
    cell = sky_to_cell(np.array([10.0, 190.0]), np.array([5.0, -5.0]))
    assert cap_around(np.sort(cell), np.sort(cell) + 1) is None


@pytest.mark.parametrize("centre", CENTRES)
def test_rows_of_a_group_are_those_of_all_its_cells(centre):
    """Query after query, from few rows to the whole group and back: unsorted rows, some of them nowhere."""
    rng = np.random.default_rng(2)
    ra, dec = scattered(rng, *centre, 4_000, 1.0)
    ra[:3], dec[:5], ra[5], ra[6] = (np.nan, np.inf, 500.0), np.array([0, 0, 0, 91.0, np.nan]), ra[5] + 0.0, -0.0
    group = Group(ra, dec)
    for radius in (3.0, 30.0, 300.0, 1200.0, 300.0, 3600.0, 3.0):
        near = scattered(rng, *centre, 2, 0.5)
        _, lo, hi = cone_ranges(near[0][1], near[1][1], radius)
        expected = in_ranges(ra, dec, lo, hi)
        np.testing.assert_array_equal(group.rows(lo, hi, cap_around(lo, hi)), expected)
        np.testing.assert_array_equal(group.rows(lo, hi, None), expected)


def test_a_small_cone_computes_the_cells_of_few_rows_and_many_cones_those_of_all_once(monkeypatch):
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(10, 12, 50_000), rng.uniform(-1, 1, 50_000)
    computed = []

    def counted(ra, dec, order=HPX_ORDER):
        computed.append(len(ra))
        return sky_to_cell(ra, dec, order)

    monkeypatch.setattr(rowgroups, "sky_to_cell", counted)
    group = Group(ra, dec)
    for number in range(2_000):
        _, lo, hi = cone_ranges(*rng.uniform((10.1, -0.9), (11.9, 0.9)), 60.0)
        group.rows(lo, hi, cap_around(lo, hi))
        if number == 0:
            assert 0 < computed[0] < 500
    assert computed[-1] == 50_000 and sum(computed) <= 2 * 50_000
