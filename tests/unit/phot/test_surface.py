from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.surface import quadrant_places, surface_at


def test_places_run_from_edge_to_edge() -> None:
    u, v = quadrant_places([-0.5, 1535.5, 3071.5], [-0.5, 1539.5, 3079.5], 3072, 3080)
    assert u == pytest.approx([-1.0, 0.0, 1.0])
    assert v == pytest.approx([-1.0, 0.0, 1.0])


def test_a_surface_is_its_gradients_and_its_map() -> None:
    u, v = np.array([0.0, 1.0, -1.0]), np.array([0.0, 0.0, 1.0])
    terms = {"x_gradient": 0.01, "y_gradient": 0.02, "map_xx": 0.1, "map_xy": 0.2, "map_yy": 0.4}
    # P2(0) = -1/2 and P2(1) = P2(-1) = 1
    expected = [-0.05 - 0.2, 0.01 + 0.1 - 0.2, -0.01 + 0.02 + 0.1 - 0.2 + 0.4]
    assert surface_at(u, v, {name: np.float64(value) for name, value in terms.items()}) == pytest.approx(expected)


def test_without_a_map_the_gradients_are_left() -> None:
    terms = {name: np.float64(np.nan) for name in ("map_xx", "map_xy", "map_yy")}
    terms |= {"x_gradient": np.float64(0.5), "y_gradient": np.float64(0.0)}
    assert surface_at(np.array([1.0]), np.array([1.0]), terms) == pytest.approx([0.5])
