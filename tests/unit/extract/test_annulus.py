"""Annulus means against photutils, at edges and where nothing is left."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.extract.annulus import annulus_means

RNG = np.random.default_rng(4)
DATA = RNG.normal(10, 3, (90, 80)).astype(np.float32)
NONE = np.zeros(DATA.shape, dtype=bool)


def test_mean_is_that_of_the_pixels_weighted_by_overlap() -> None:
    photutils = pytest.importorskip("photutils.aperture")
    x, y = RNG.uniform(20, 60, (2, 30))
    excluded = RNG.uniform(size=DATA.shape) < 0.1
    mean, area = annulus_means(DATA, x, y, 6.0, 9.5, excluded)
    for i in range(30):
        weights = photutils.CircularAnnulus((x[i], y[i]), 6.0, 9.5).to_mask(method="exact").to_image(DATA.shape)
        weights = np.where(excluded, 0.0, weights)
        assert mean[i] == pytest.approx((weights * DATA).sum() / weights.sum(), rel=1e-5)
        assert area[i] == pytest.approx(weights.sum(), rel=1e-5)


def test_at_the_edge_only_the_inside_counts() -> None:
    flat = np.full((50, 50), 7.0, dtype=np.float32)
    mean, area = annulus_means(flat, np.array([0.0, -4.0]), np.array([25.0, 25.0]), 5, 8, np.zeros((50, 50), bool))
    np.testing.assert_allclose(mean, 7, rtol=1e-6)
    assert np.all(area < 0.6 * np.pi * (64 - 25))


def test_an_annulus_without_pixels_is_nan_and_spares_the_others() -> None:
    excluded = NONE.copy()
    excluded[:40] = True
    mean, area = annulus_means(DATA, np.array([40.0, 40.0, 500.0]), np.array([15.0, 70.0, 20.0]), 5, 8, excluded)
    np.testing.assert_array_equal(np.isnan(mean), [True, False, True])
    np.testing.assert_array_equal(area > 0, [False, True, False])


@pytest.mark.parametrize("radii", [(8, 5), (5, 5), (-1, 4), (np.nan, 4)])
def test_wrong_radii_are_refused(radii: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="annulus"):
        annulus_means(DATA, np.array([40.0]), np.array([40.0]), *radii, NONE)
