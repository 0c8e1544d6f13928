"""Shapes on the sky against astropy's separations and dense samples, at RA 0 and the poles."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from ztfdb.sky.clip import meets_range
from ztfdb.sky.shapes import SkyCircle, SkyPolygon, SkyRange

PLACES = [(10.0, 20.0), (0.02, -45.0), (359.9, 0.0), (80.0, 89.9), (200.0, -90.0)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("radius", [0.01, 1.0, 60.0])
def test_a_circle_is_astropys(place, radius):
    circle = SkyCircle(*place, radius)
    centre = SkyCoord(*place, unit="deg")
    rim = SkyCoord(*circle.rim(), unit="deg")
    assert centre.separation(rim).deg == pytest.approx(np.full(len(rim), radius), rel=1e-9, abs=1e-10)
    rng = np.random.default_rng(1)
    near = centre.directional_offset_by(rng.uniform(0, 360, 500) * u.deg, rng.uniform(0, 2 * radius, 500) * u.deg)
    inside = circle.contains(near.ra.deg, near.dec.deg)
    assert (inside == (centre.separation(near).deg <= radius)).all()
    assert 100 < inside.sum() < 400


def test_a_range_goes_east_from_its_first_meridian():
    ra, dec = np.array([359.0, 1.0, 10.0, 1.0]), np.array([0.0, 0.0, 0.0, 9.0])
    assert SkyRange(-2.0, 2.0, -1.0, 1.0).contains(ra, dec).tolist() == [True, True, False, False]
    assert SkyRange(358.0, 362.0, -1.0, 1.0).contains(ra, dec).tolist() == [True, True, False, False]
    assert SkyRange(0.0, 360.0, -1.0, 10.0).contains(ra, dec).all()
    assert SkyRange(1.0, 1.0, -1.0, 1.0).contains(ra, dec).tolist() == [False, True, False, False]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [(0.0, 0.0), (0.01, 3.0), (40.0, 0.5), (179.9, 20.0)])
def test_the_circle_of_a_range_holds_all_of_it(place, size):
    (ra, dec), (width, height) = place, size
    shape = SkyRange(ra - width / 2, ra + width / 2, max(-90.0, dec - height), min(90.0, dec + height))
    circle = shape.circle()
    rng = np.random.default_rng(2)
    inside = rng.uniform(-width / 2, width / 2, 500) + ra, rng.uniform(shape.dec1, shape.dec2, 500)
    sky = SkyCoord(*np.hstack([inside, shape.rim()]), unit="deg")
    farthest = SkyCoord(circle.ra, circle.dec, unit="deg").separation(sky).deg.max()
    assert 0.99 * circle.radius - 1e-9 <= farthest <= circle.radius + 1e-11
    assert SkyRange(0.0, 190.0, -1.0, 1.0).circle() is None


def test_a_polygon_holds_its_middle_and_its_rim_joins_its_corners():
    polygon = SkyPolygon((359.0, 1.0, 0.0), (-1.0, -1.0, 1.0))
    ra, dec = polygon.rim()
    assert polygon.contains(np.array([0.0, 5.0, 180.0]), np.array([0.0, 0.0, 0.0])).tolist() == [True, False, False]
    corner = SkyCoord(list(polygon.ra), list(polygon.dec), unit="deg")
    assert SkyCoord(ra, dec, unit="deg")[:, None].separation(corner).deg.min(axis=0).max() < 1e-9
    with pytest.raises(ValueError, match="crosses itself"):
        SkyPolygon((0.0, 1.0, 1.0, 0.0), (0.0, 1.0, 0.0, 1.0))


def square(ra, dec, half):
    """Corners of a square around a position."""
    centre = SkyCoord(ra, dec, unit="deg")
    corner = centre.directional_offset_by([45, 135, 225, 315] * u.deg, half * np.sqrt(2) * u.deg)
    return corner.ra.deg, corner.dec.deg


def test_ranges_meet_quadrilaterals_where_a_point_is_in_both():
    rng = np.random.default_rng(4)
    cases = met = 0
    for _ in range(200):
        half = rng.uniform(0.2, 3.0)
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
        if rng.random() < 0.2:
            dec = np.sign(dec) * rng.uniform(88, 90)
        corner = square(ra, dec, half)
        ra1 = ra + rng.uniform(-4, 2) * half / max(np.cos(np.radians(dec)), 0.02)
        width = rng.choice([0.0, half * rng.uniform(0, 3), 90.0, 180.0, 300.0, 360.0])
        dec1 = np.clip(dec + rng.uniform(-3, 1) * half, -90, 90)
        wanted = SkyRange(ra1, ra1 + width, dec1, min(90.0, dec1 + rng.choice([0.02, half, 5.0])))
        s, t = np.meshgrid(np.linspace(0, 1, 150), np.linspace(0, 1, 150))
        weight = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=-1).reshape(-1, 4)
        points = weight @ np.array(SkyCoord(*corner, unit="deg").cartesian.xyz.T)
        lon = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
        lat = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
        found = bool(meets_range(corner[0][None], corner[1][None], wanted)[0])
        if wanted.contains(lon, lat).any():
            assert found, (corner, wanted)
            met += 1
        elif found:  # a point between the mesh's: widened by it, the range holds one of these
            grain = 2.1 * half / 149
            wide = grain / max(np.cos(np.radians(np.abs(lat).max() - grain)), 1e-3)
            near = SkyRange(ra1 - wide, ra1 + min(width + 2 * wide, 360), wanted.dec1 - grain, wanted.dec2 + grain)
            assert near.contains(lon, lat).any(), (corner, wanted)
        cases += 1
    assert 50 < met < cases - 50
