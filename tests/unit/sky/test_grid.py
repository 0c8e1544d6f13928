from __future__ import annotations

import numpy as np
import pytest

from ztfdb.sky.angles import unit_vector
from ztfdb.sky.grid import near_pairs


def brute(first, second, reach):
    apart = np.linalg.norm(first[:, None, :] - second[None, :, :], axis=2)
    return set(zip(*np.nonzero(apart <= reach), strict=True))


@pytest.mark.parametrize("reach", [1e-6, 1e-3, 0.01])
@pytest.mark.parametrize("center", [None, (1, 0, 0), (0, 0, 1), (-1, 0, 0), (0.577, 0.577, 0.577)])
def test_pairs_are_those_of_brute_force(center, reach):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(900, 3)) * (1 if center is None else 5 * reach)
    points += 0 if center is None else np.array(center)
    first = points / np.linalg.norm(points, axis=1)[:, None]
    second = first[rng.permutation(900)] + rng.normal(0, reach / 2, (900, 3))
    found = near_pairs(first, second, reach)
    if found is not None:  # too crowded for a grid is an answer, too
        assert len(found[0]) == len(set(zip(*found, strict=True)))
        assert set(zip(*found, strict=True)) == brute(first, second, reach)
    else:
        assert center is not None


def test_a_sparse_sky_is_the_grids_business_and_a_crowd_is_not():
    rng = np.random.default_rng(2)
    sky = unit_vector(rng.uniform(0, 360, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))).T
    assert near_pairs(sky, sky, 1e-5) is not None
    crowd = unit_vector(rng.normal(10, 1e-4, 5000), rng.normal(10, 1e-4, 5000)).T
    assert near_pairs(crowd, crowd, 1e-3) is None
    assert near_pairs(sky, sky, 1.0) is None


def test_points_on_the_borders_of_cells_and_of_space_are_found():
    axes = np.vstack([np.eye(3), -np.eye(3)])
    found = near_pairs(axes, axes, 1e-12)
    assert found is None or set(zip(*found, strict=True)) == {(k, k) for k in range(6)}
    many = np.vstack([axes] * 50 + [np.random.default_rng(3).normal(size=(3000, 3))])
    many /= np.linalg.norm(many, axis=1)[:, None]
    found = near_pairs(axes, many, 1e-12)
    assert found is not None and len(found[0]) == 300
