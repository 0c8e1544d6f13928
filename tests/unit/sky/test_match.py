from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, match_coordinates_sky, search_around_sky

from ztfdb.sky.match import match_all, match_mutual, match_nearest

FIELDS = [(10.0, 30.0), (0.0, 0.0), (123.0, 90.0), (0.0, -89.9)]


def two_catalogues(ra: float, dec: float, n: int = 3000, seed: int = 1) -> tuple[SkyCoord, SkyCoord]:
    """Catalogues around a place, the second of jittered and of unrelated positions in another order."""
    rng = np.random.default_rng(seed)
    centre = SkyCoord(ra * u.deg, dec * u.deg)
    first = centre.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 0.3 * np.sqrt(rng.uniform(size=n)) * u.deg)
    moved = first.directional_offset_by(rng.uniform(0, 360, n) * u.deg, rng.exponential(0.7, n) * u.arcsec)
    return first, moved[rng.permutation(n)[: n - 200]]


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
def test_nearest_equals_astropy(ra: float, dec: float) -> None:
    first, second = two_catalogues(ra, dec)
    index, apart, _ = match_coordinates_sky(first, second)
    within = apart.arcsec <= 1.5
    match = match_nearest(first.ra.deg, first.dec.deg, second.ra.deg, second.dec.deg, 1.5)
    assert np.array_equal(match.index1, np.flatnonzero(within))
    assert np.array_equal(match.index2, index[within])
    np.testing.assert_allclose(match.separation, apart.arcsec[within], atol=1e-9)


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
def test_all_pairs_equal_astropys(ra: float, dec: float) -> None:
    first, second = two_catalogues(ra, dec)
    index1, index2, apart, _ = search_around_sky(first, second, 60 * u.arcsec)
    by = np.lexsort((index2, index1))
    match = match_all(first.ra.deg, first.dec.deg, second.ra.deg, second.dec.deg, 60.0)
    assert np.array_equal(match.index1, index1[by])
    assert np.array_equal(match.index2, index2[by])
    np.testing.assert_allclose(match.separation, apart.arcsec[by], atol=1e-9)


def test_mutual_pairs_are_each_others_nearest() -> None:
    first, second = two_catalogues(10.0, 30.0)
    there, apart, _ = match_coordinates_sky(first, second)
    back, _, _ = match_coordinates_sky(second, first)
    mutual = (back[there] == np.arange(len(first))) & (apart.arcsec <= 2.0)
    match = match_mutual(first.ra.deg, first.dec.deg, second.ra.deg, second.dec.deg, 2.0)
    assert np.array_equal(match.index1, np.flatnonzero(mutual))
    assert np.array_equal(match.index2, there[mutual])
    assert np.unique(match.index2).size == len(match)


def test_ties_go_to_the_smaller_row() -> None:
    ra, dec = np.array([5.0, 5.0, 5.0, 7.0, 7.0]), np.array([0.0, 0.0, 0.0, 0.0, 0.0])
    match = match_nearest([5.0, 7.0], [0.0001, 0.0], ra, dec, 1.0)
    assert match.index2.tolist() == [0, 3]
    both_sides = match_nearest([10.0], [0.0], [10.0001, 9.9999], [0.0, 0.0], 1.0)
    assert both_sides.index2.tolist() == [0]


def test_a_table_of_duplicates_matches_itself() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 500), rng.uniform(-90, 90, 500)
    match = match_nearest(ra, dec, np.tile(ra, 3), np.tile(dec, 3), 0.0)
    assert np.array_equal(match.index1, np.arange(500))
    assert np.array_equal(match.index2, np.arange(500))
    assert len(match_all(ra, dec, np.tile(ra, 3), np.tile(dec, 3), 0.0)) == 1500


def test_the_radius_itself_is_included() -> None:
    match = match_nearest([0.0], [0.0], [0.0], [1.0 / 3600], float(np.float64(1.0 / 3600) * 3600))
    assert len(match) == 1
    assert len(match_nearest([0.0], [0.0], [0.0], [1.0001 / 3600], 1.0)) == 0


@pytest.mark.parametrize("match", [match_nearest, match_all, match_mutual])
def test_empty_tables_and_nan_never_match(match: object) -> None:
    assert len(match([], [], [1.0], [2.0], 5.0)) == 0  # type: ignore[operator]
    assert len(match([1.0], [2.0], [], [], 5.0)) == 0  # type: ignore[operator]
    found = match([np.nan, 1.0, 1.0], [2.0, 2.0, np.nan], [np.nan, 1.0], [2.0, 2.0], 5.0)  # type: ignore[operator]
    assert found.index1.tolist() == [1]
    assert found.index2.tolist() == [1]
    assert found.separation.tolist() == [0.0]


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="radius"):
        match_nearest([1.0], [2.0], [1.0], [2.0], -1.0)
    with pytest.raises(ValueError, match="radius"):
        match_all([1.0], [2.0], [1.0], [2.0], np.nan)
    with pytest.raises(ValueError, match="length"):
        match_nearest([1.0, 2.0], [2.0], [1.0], [2.0], 1.0)
