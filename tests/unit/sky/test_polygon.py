"""Polygons are cut into triangles that are the polygon, and the cells that cover them miss nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ztfdb.sky.angles import unit_vector
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.cover import cover_triangles
from ztfdb.sky.polygon import box_corners, solid_angle, triangulate

SHAPES = {
    "square": ([10, 11, 11, 10], [-0.5, -0.5, 0.5, 0.5]),
    "clockwise": ([10, 10, 11, 11], [-0.5, 0.5, 0.5, -0.5]),
    "concave": ([359.5, 0.5, 0.5, 0.0, 359.5], [-0.5, -0.5, 0.5, -0.2, 0.5]),
    "star": ([20 + math.cos(k * math.pi / 5) * (1 if k % 2 else 0.3) for k in range(10)],
             [50 + math.sin(k * math.pi / 5) * (1 if k % 2 else 0.3) for k in range(10)]),
    "pole": ([0, 90, 180, 270], [89.5, 89.6, 89.5, 89.7]),
    "large": ([0, 80, 40], [-30, -20, 50]),
    "tiny": ([10, 10.0001, 10.00005], [20, 20, 20.0001]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_every_point_of_a_polygon_is_in_its_cells(name):
    triangles = triangulate(*SHAPES[name])
    lo, hi = cover_triangles(triangles)
    rng = np.random.default_rng(1)
    weight = rng.dirichlet(np.ones(3), (2000, len(triangles)))
    weight[:3] = np.eye(3)[:, None, :]  # the corners
    point = np.einsum("ntc,tci->nti", weight, triangles).reshape(-1, 3)
    ra, dec = (
        np.degrees(np.arctan2(point[:, 1], point[:, 0])),
        np.degrees(np.arctan2(point[:, 2], np.hypot(*point[:, :2].T))),
    )
    cell = sky_to_cell(ra, dec)
    at = np.searchsorted(lo, cell, side="right") - 1
    assert ((at >= 0) & (cell < hi[at])).all()
    assert (lo[1:] > hi[:-1]).all()
    assert len(lo) <= 96
    area = float((hi - lo).sum()) / (12 * 4**29) * 4 * math.pi
    assert area < 12 * solid_angle(triangles)


def test_areas_are_those_of_closed_formulas():
    octant = triangulate([0, 88, 44], [0, 0, 88.9])
    assert 0.9 * math.pi / 2 < solid_angle(octant) < math.pi / 2
    east, north = math.radians(2.0), math.radians(3.0)
    box = triangulate(*box_corners(123.0, 89.0, 2.0, 3.0))
    # a rectangle in the tangent plane, seen from the centre of the sphere
    truth = 4 * math.asin(math.sin(east / 2) * math.sin(north / 2))
    assert solid_angle(box) == pytest.approx(truth, rel=1e-9)


def test_corners_are_counter_clockwise_whatever_their_order():
    for name in ("square", "clockwise", "concave", "star"):
        for corners in triangulate(*SHAPES[name]):
            assert np.dot(corners[0], np.cross(corners[1], corners[2])) > 0


def test_triangles_of_a_star_do_not_overlap():
    ra, dec = SHAPES["star"]
    x, y = np.array(ra) * math.cos(math.radians(50)), np.array(dec)
    flat = 0.5 * abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    assert math.degrees(math.degrees(solid_angle(triangulate(ra, dec)))) == pytest.approx(flat, rel=0.02)


@pytest.mark.parametrize(
    ("ra", "dec", "words"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([0, 1, 1, 0], [0, 1, 0, 1], "crosses itself"),
        ([0, 1, 2], [0, 0, 0], "no area"),
        ([0, 120, 240], [0, 0, 0], "lie within 89 deg"),
        ([0, 1, float("nan")], [0, 1, 1], "not finite"),
        ([0, 1, 1], [0, 91, 1], "outside"),
    ],
)
def test_what_is_no_polygon_is_told(ra, dec, words):
    with pytest.raises(ValueError, match=words):
        triangulate(ra, dec)


def test_a_box_has_its_size_on_the_sky():
    ra, dec = box_corners(0.0, 0.0, 2.0, 4.0)
    vector = unit_vector(ra, dec)
    assert np.degrees(np.arctan2(vector[1], vector[0])) == pytest.approx([-1, 1, 1, -1])
    assert np.degrees(np.arctan2(vector[2], vector[0])) == pytest.approx([-2, -2, 2, 2])
    with pytest.raises(ValueError, match="expected sizes"):
        box_corners(0.0, 0.0, 0.0, 1.0)
