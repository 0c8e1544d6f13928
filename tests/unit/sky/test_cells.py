from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import ICRS, SkyCoord
from astropy_healpix import HEALPix

from ztfdb.sky.angles import separation
from ztfdb.sky.cells import HPX_ORDER, cell_area, cell_boundary, cell_to_sky, cone_ranges, sky_to_cell, with_neighbours

AWKWARD = [
    (0.0, 0.0),
    (359.99999, 0.0),
    (0.0, 90.0),
    (123.0, -90.0),
    (45.0, 89.9999),
    (300.0, -89.99999),
    (45.0, 41.810314895778596),  # the cap line z = 2/3, at the corner of two base pixels
    (90.0, 41.810314895778596),
    (0.0, -41.810314895778596),
    (45.0, 0.0),  # corners and edges of base pixels
    (90.0, 0.0),
    (22.5, 20.0),
    (67.5, 66.0),
    (180.0, 30.0),
]


def around(ra: float, dec: float, radius: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points of a cone, half of them close to its rim."""
    share = np.where(np.arange(n) % 2, np.sqrt(rng.uniform(0, 1, n)), 1.0 - 10.0 ** rng.uniform(-9, -2, n))
    centre = SkyCoord(ra * u.deg, dec * u.deg)
    points = centre.directional_offset_by(rng.uniform(0, 360, n) * u.deg, share * radius * u.arcsec)
    return points.ra.deg, points.dec.deg


def covered(cells: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    place = np.searchsorted(lo, cells, side="right") - 1
    return (place >= 0) & (cells < hi[np.maximum(place, 0)])


def test_cells_are_nested_healpix() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    for order in (0, 9, 29):
        grid = HEALPix(nside=2**order, order="nested", frame=ICRS())
        expected = grid.skycoord_to_healpix(SkyCoord(ra, dec, unit="deg"))
        assert np.array_equal(sky_to_cell(ra, dec, order), expected)
        back_ra, back_dec = cell_to_sky(expected, order)
        centre = grid.healpix_to_skycoord(expected)
        np.testing.assert_allclose(separation(back_ra, back_dec, centre.ra.deg, centre.dec.deg), 0.0, atol=1e-9)


def test_coarse_cells_are_right_shifts() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    fine = sky_to_cell(ra, dec)
    assert fine.dtype == np.int64
    for order in (0, 5, 9, 20):
        assert np.array_equal(fine >> 2 * (HPX_ORDER - order), sky_to_cell(ra, dec, order))


def test_a_scalar_position_gives_a_scalar_cell() -> None:
    assert sky_to_cell(10.0, 20.0).shape == ()
    assert sky_to_cell(-350.0, 20.0) == sky_to_cell(10.0, 20.0) == sky_to_cell(370.0, 20.0)


@pytest.mark.parametrize(
    "call", [lambda: sky_to_cell(0, 0, 30), lambda: cell_to_sky(12, 0), lambda: cell_to_sky(-1, 9)]
)
def test_impossible_cells_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match="order"):
        call()  # type: ignore[operator]


def test_boundary_points_touch_the_cell() -> None:
    cells = np.array([0, 17, 12 * 4**4 - 1])
    ra, dec = cell_boundary(cells, 4, 5)
    assert ra.shape == (3, 20)
    middle_ra, middle_dec = cell_to_sky(cells, 4)
    # a hair towards the centre every boundary point lies in its cell
    for i, cell in enumerate(cells):
        start = SkyCoord(ra[i], dec[i], unit="deg")
        centre = SkyCoord(middle_ra[i], middle_dec[i], unit="deg")
        inside = start.directional_offset_by(start.position_angle(centre), 1 * u.arcsec)
        assert (sky_to_cell(inside.ra.deg, inside.dec.deg, 4) == cell).all()


def test_neighbours_include_the_cells_themselves() -> None:
    assert with_neighbours(np.array([0]), 0).tolist() == [0, 1, 2, 3, 4, 5, 8]
    assert with_neighbours(sky_to_cell([33.0], [44.0], 9), 9).size == 9


@pytest.mark.parametrize("extra", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("radius", [0.0, 1e-4, 1.5, 30.0, 3600.0, 72000.0, 500000.0])
def test_cone_ranges_miss_no_position(radius: float, extra: int) -> None:
    rng = np.random.default_rng(int(radius) + extra)
    ra, dec = np.array([*AWKWARD, *zip(rng.uniform(0, 360, 20), rng.uniform(-90, 90, 20), strict=True)]).T
    k, lo, hi = cone_ranges(ra, dec, radius, extra=extra)
    assert np.array_equal(np.unique(k), np.arange(ra.size))
    for i in range(ra.size):
        point_ra, point_dec = around(ra[i], dec[i], radius, 200, rng)
        cells = np.append(sky_to_cell(point_ra, point_dec), sky_to_cell(ra[i], dec[i]))
        assert covered(cells, lo[k == i], hi[k == i]).all(), (ra[i], dec[i])


def test_cone_ranges_are_sorted_disjoint_and_not_touching() -> None:
    rng = np.random.default_rng(4)
    k, lo, hi = cone_ranges(rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50), rng.uniform(0, 5000, 50), extra=4)
    assert (lo < hi).all()
    assert (np.diff(k) >= 0).all()
    same = k[1:] == k[:-1]
    assert (lo[1:][same] > hi[:-1][same]).all()
    assert lo.dtype == hi.dtype == np.int64


def test_every_cone_gets_its_own_radius() -> None:
    ra, dec, radius = np.array([10.0, 10.0, 200.0]), np.array([5.0, 5.0, -60.0]), np.array([1.0, 7200.0, 100.0])
    k, lo, hi = cone_ranges(ra, dec, radius)
    for i in range(3):
        one = cone_ranges(ra[i], dec[i], radius[i])
        assert np.array_equal(lo[k == i], one[1])
        assert np.array_equal(hi[k == i], one[2])


def test_few_ranges_of_little_more_than_the_cone() -> None:
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 1000), np.degrees(np.arcsin(rng.uniform(-1, 1, 1000)))
    k, lo, hi = cone_ranges(ra, dec, 1.5)
    area = (hi - lo).sum() / ra.size * 4 * np.pi / (12 * 4**29)
    cone = np.pi * np.radians(1.5 / 3600) ** 2
    assert k.size / ra.size < 9
    assert area / cone < 4.5


def test_the_largest_cone_is_the_sphere() -> None:
    _, lo, hi = cone_ranges(12.0, 34.0, 648000.0)
    assert lo.tolist() == [0]
    assert hi.tolist() == [12 * 4**29]


def test_no_cones_no_ranges() -> None:
    assert [part.size for part in cone_ranges([], [], 1.0)] == [0, 0, 0]


@pytest.mark.parametrize("radius", [-1.0, np.nan, 648001.0, np.inf])
def test_impossible_radii_are_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        cone_ranges(1.0, 2.0, radius)


def test_positions_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="position"):
        cone_ranges([1.0, np.nan], [2.0, 3.0], 1.0)


@pytest.mark.parametrize("order", [0, 9, HPX_ORDER])
def test_the_area_of_a_cell_is_that_of_healpix(order: int) -> None:
    assert cell_area(order) == pytest.approx(HEALPix(2**order).pixel_area.to_value(u.deg**2), rel=1e-14)
