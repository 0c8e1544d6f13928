"""Half-light radii, Kron fluxes and windowed positions against painted stars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.pixels import gaussian_stars, noisy
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.aperture import aperture_sums
from ztfdb.extract.kron import kron_sums
from ztfdb.extract.position import window_sigma, windowed_positions
from ztfdb.extract.radius import half_light_radius
from ztfdb.extract.settings import ExtractionSettings

SETTINGS = ExtractionSettings()
SHAPE = (400, 400)
GRID = np.arange(20, 381, 24) + 0.0
RNG = np.random.default_rng(3)
X = np.repeat(GRID, len(GRID)) + RNG.uniform(-0.5, 0.5, len(GRID) ** 2)
Y = np.tile(GRID, len(GRID)) + RNG.uniform(-0.5, 0.5, len(GRID) ** 2)
ROUND = np.ones(len(X))


def test_half_light_radius_of_a_gaussian_is_exact() -> None:
    radius = np.array(APERTURE_DIAMETERS)[:, None] / 2
    sigma = np.array([0.6, 0.9, 1.5, 2.5, 4.0, 5.5])
    sums = 1000.0 * (1 - np.exp(-(radius**2) / (2 * sigma**2)))
    np.testing.assert_allclose(half_light_radius(sums, np.full(6, 1000.0)), 1.17741 * sigma, rtol=1e-4)


def test_half_light_radius_of_an_exponential_disc_is_close() -> None:
    radius = np.array(APERTURE_DIAMETERS)[:, None] / 2
    scale = np.array([0.5, 1.0, 1.7, 2.4, 3.5])
    sums = 1 - (1 + radius / scale) * np.exp(-radius / scale)
    np.testing.assert_allclose(half_light_radius(sums, np.ones(5)), 1.67835 * scale, rtol=0.01)


@pytest.mark.parametrize(
    ("sums", "total"),
    [
        ([1, 2, 3, 4, 5, 6], -3.0),
        ([1, 2, 3, 4, 5, 6], 0.0),
        ([1, 2, 3, 4, 5, 6], 100.0),
        ([np.nan] * 6, 5.0),
        ([-5, -4, -3, -2, -1, 0], 5.0),
    ],
)
def test_half_light_radius_without_a_meaning_is_nan(sums: list[float], total: float) -> None:
    assert np.isnan(half_light_radius(np.array(sums, dtype=float)[:, None], np.array([total]))).all()


def test_half_light_radius_of_painted_stars() -> None:
    for fwhm in (1.3, 2.0, 3.5):
        data = gaussian_stars(SHAPE, X, Y, 1e5 * ROUND, fwhm).astype(np.float32)
        radius = half_light_radius(aperture_sums(data, X, Y).flux, 1e5 * ROUND)
        # integrating over pixels and summing them as squares widens the star twice by 1/12 px²
        widened = 1.17741 * np.sqrt((fwhm / 2.3548) ** 2 + 1 / 6)
        np.testing.assert_allclose(np.median(radius), widened, rtol=0.05)


def test_kron_flux_holds_nearly_all_light_of_a_star() -> None:
    data = gaussian_stars(SHAPE, X, Y, 1e5 * ROUND, 2.2).astype(np.float32)
    kron = kron_sums(data, X, Y, ROUND, ROUND, 0 * ROUND, None, SETTINGS)
    assert (kron.flux > 0.985e5).all() and (kron.flux < 1.0001e5).all()
    assert (kron.radius >= SETTINGS.kron_minimum).all()
    assert not kron.default.any() and not kron.truncated.any()
    np.testing.assert_allclose(kron.area, np.pi * kron.radius**2)


def test_kron_radius_follows_the_first_moment() -> None:
    sigma = 4.0
    data = gaussian_stars((201, 201), 100.0, 100.0, 1e6, 2.3548 * sigma).astype(np.float32)
    one = np.ones(1)
    settings = replace(SETTINGS, kron_minimum=1.0)
    kron = kron_sums(data, 100 * one, 100 * one, sigma * one, sigma * one, 0 * one, None, settings)
    # the first moment of a Gaussian is sigma sqrt(pi / 2)
    np.testing.assert_allclose(kron.radius, 2.5 * np.sqrt(np.pi / 2), rtol=0.01)


def test_kron_of_nothing_takes_the_minimum_and_says_so() -> None:
    dark = np.full((60, 60), -1.0, dtype=np.float32)
    one = np.ones(1)
    kron = kron_sums(dark, 30 * one, 30 * one, one, one, 0 * one, None, SETTINGS)
    assert kron.default.all() and (kron.radius == SETTINGS.kron_minimum).all()


def test_kron_at_an_edge_or_an_excluded_pixel_says_so() -> None:
    data = gaussian_stars((80, 80), [2.0, 40.0, 60.0], [40.0, 40.0, 20.0], [1e5] * 3, 2.0).astype(np.float32)
    excluded = np.zeros((80, 80), dtype=bool)
    excluded[41, 41] = True
    x, y, one = np.array([2.0, 40.0, 60.0]), np.array([40.0, 40.0, 20.0]), np.ones(3)
    kron = kron_sums(data, x, y, one, one, 0 * one, excluded, SETTINGS)
    np.testing.assert_array_equal(kron.truncated, [True, True, False])


def test_windowed_positions_find_painted_stars() -> None:
    flux = 10 ** RNG.uniform(4.0, 5.0, len(X))
    data = noisy(gaussian_stars(SHAPE, X, Y, flux, 2.2), sky=0.0)
    start_x, start_y = X + RNG.normal(0, 0.15, len(X)), Y + RNG.normal(0, 0.15, len(X))
    sigma = window_sigma(data, start_x, start_y, ROUND, ROUND, ROUND > 0)
    x, y, failed = windowed_positions(data, start_x, start_y, ROUND, sigma, None)
    assert not failed.any()
    assert np.abs(np.mean(x - X)) < 0.002 and np.abs(np.mean(y - Y)) < 0.002
    # sigma_x = sigma_psf · noise / signal, here at most 0.01 px
    assert np.std(x - X) < 0.01 and np.std(y - Y) < 0.01


def test_window_takes_the_stars_width_but_not_less_than_an_extended_source_needs() -> None:
    data = gaussian_stars(SHAPE, X, Y, 1e5 * ROUND, 2.3548 * 1.2).astype(np.float32)
    a = ROUND.copy()
    a[5] = 6.0
    sigma = window_sigma(data, X, Y, a, a, ROUND > 0)
    # 2 / 2.35 of the half-light radius 1.17741 sigma is sigma itself
    np.testing.assert_allclose(np.delete(sigma, 5), np.sqrt(1.44 + 1 / 12), rtol=0.03)
    assert sigma[5] == 4.0


def test_a_window_that_loses_its_source_keeps_the_barycentre() -> None:
    data = gaussian_stars((80, 80), 40.0, 40.0, 1e6, 2.5).astype(np.float32)
    x, y = np.array([36.0, 60.0]), np.array([40.0, 60.0])
    wx, wy, failed = windowed_positions(data, x, y, np.ones(2), np.full(2, 2.0), None)
    np.testing.assert_array_equal(failed[:1], [True])
    assert (wx[0], wy[0]) == (36.0, 40.0)
