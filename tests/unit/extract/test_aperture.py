from __future__ import annotations

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from tests.support.pixels import gaussian_stars, noisy
from ztfdb.bits import MaskBit
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.aperture import PixelFinder, aperture_sums, flux_errors, mask_in_aperture

SHAPE = (120, 150)
RNG = np.random.default_rng(7)
X, Y = RNG.uniform(10, 139, 40), RNG.uniform(10, 109, 40)
DATA = noisy(gaussian_stars(SHAPE, X, Y, np.full(40, 3000.0)), sky=0.0)


def photutils_sums(data: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    apertures = [CircularAperture(np.stack([x, y], axis=1), r=d / 2) for d in APERTURE_DIAMETERS]
    table = aperture_photometry(data.astype(float), apertures, method="exact")
    return np.array([table[f"aperture_sum_{k}"] for k in range(len(apertures))])


def test_sums_equal_photutils_exact_apertures() -> None:
    sums = aperture_sums(DATA, X, Y)
    np.testing.assert_allclose(sums.flux, photutils_sums(DATA, X, Y), rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(sums.area, np.pi * (np.array(APERTURE_DIAMETERS)[:, None] / 2) ** 2 * np.ones(40))
    assert not sums.truncated.any() and not sums.incomplete.any()


def test_a_gaussian_star_has_its_closed_form_curve_of_growth() -> None:
    sigma = 3.0
    star = gaussian_stars((101, 101), 50.0, 50.0, 1.0, fwhm=sigma * np.sqrt(8 * np.log(2)))
    radius = np.array(APERTURE_DIAMETERS) / 2
    expected = 1 - np.exp(-(radius**2) / (2 * sigma**2))
    # pixels blur the star by 1/12 px² per axis, the stepwise sum by as much again
    blurred = 1 - np.exp(-(radius**2) / (2 * (sigma**2 + 1 / 6)))
    flux = aperture_sums(star.astype(np.float32), np.array([50.0]), np.array([50.0])).flux[:, 0]
    assert (flux < expected).all()
    np.testing.assert_allclose(flux, blurred, rtol=0.01)


def test_apertures_at_the_edge_hold_what_is_inside() -> None:
    x, y = np.array([2.0, 149.5, 75.0]), np.array([60.0, 119.5, -4.0])
    sums = aperture_sums(DATA, x, y)
    expected = photutils_sums(DATA, x, y)
    np.testing.assert_allclose(np.nan_to_num(sums.flux), np.nan_to_num(expected), rtol=1e-8, atol=1e-6)
    np.testing.assert_array_equal(sums.truncated[:, 0], [False, False, False, True, True, True])
    assert sums.truncated[:, 1:].all()
    # the corner holds a quarter circle
    np.testing.assert_allclose(sums.area[:, 1], np.pi * (np.array(APERTURE_DIAMETERS) / 2) ** 2 / 4)


def test_an_aperture_off_the_image_is_nan() -> None:
    sums = aperture_sums(DATA, np.array([-30.0]), np.array([500.0]))
    assert np.isnan(sums.flux).all() and np.isnan(sums.area).all() and sums.truncated.all()


def test_excluded_pixels_count_as_the_mean_of_the_others() -> None:
    flat = np.full((40, 40), 5.0, dtype=np.float32)
    flat[20, 20] = 1e6
    excluded = np.zeros((40, 40), dtype=bool)
    excluded[20, 20] = True
    sums = aperture_sums(flat, np.array([20.3, 8.0]), np.array([19.8, 8.0]), excluded)
    full = np.pi * (np.array(APERTURE_DIAMETERS) / 2) ** 2
    np.testing.assert_allclose(sums.flux[:, 0], 5.0 * full)
    np.testing.assert_array_equal(sums.incomplete, [[True, False]] * 6)
    # fewer pixels carry the same sum: its sky noise is larger
    assert (sums.area[:, 0] > full).all()
    np.testing.assert_allclose(sums.area[:, 1], full)


def test_a_wholly_excluded_aperture_is_nan() -> None:
    excluded = np.zeros(SHAPE, dtype=bool)
    excluded[50:60, 50:60] = True
    sums = aperture_sums(DATA, np.array([54.5]), np.array([54.5]), excluded)
    np.testing.assert_array_equal(np.isnan(sums.flux[:, 0]), [True, True, True, True, True, False])


def test_no_positions_give_empty_columns() -> None:
    sums = aperture_sums(DATA, np.zeros(0), np.zeros(0), np.zeros(SHAPE, dtype=bool))
    assert sums.flux.shape == sums.area.shape == (6, 0)


def test_errors_are_sky_and_poisson() -> None:
    flux, area = np.array([[600.0, -50.0, np.nan]]), np.array([[10.0, 10.0, 10.0]])
    rms, ratio = np.full(3, 4.0), np.array([[1.5]])
    np.testing.assert_allclose(
        flux_errors(flux, area, rms, ratio, 6.0), [[np.sqrt(2.25 * 160 + 100), np.sqrt(2.25 * 160), np.nan]]
    )
    np.testing.assert_allclose(flux_errors(flux, area, rms, ratio, None)[0, :2], np.sqrt(2.25 * 160))
    np.testing.assert_allclose(flux_errors(flux, area, rms, np.full((1, 1), np.nan), None)[0, :2], np.sqrt(160))


@pytest.mark.parametrize("density", [0.0, 0.002, 0.3])
def test_mask_bits_are_those_of_all_touched_pixels(density: float) -> None:
    rng = np.random.default_rng(5)
    mask = np.where(rng.random(SHAPE) < density, 1 << rng.integers(0, 16, SHAPE), 0).astype(np.uint16)
    x, y = rng.uniform(-3, 152, 200), rng.uniform(-3, 122, 200)
    expected = np.zeros(200, dtype=int)
    rows, columns = np.indices(SHAPE)
    for i in range(200):
        dx = np.maximum(np.abs(columns - x[i]) - 0.5, 0)
        dy = np.maximum(np.abs(rows - y[i]) - 0.5, 0)
        expected[i] = np.bitwise_or.reduce(mask[dx**2 + dy**2 < 9.0], initial=0)
    sources = int(MaskBit.SEXSOURCES | MaskBit.PSFSOURCES)
    np.testing.assert_array_equal(mask_in_aperture(mask, x, y), expected & ~sources)


def test_finder_misses_nothing_within_its_reach() -> None:
    pixels = np.zeros(SHAPE, dtype=bool)
    pixels[33, 47] = True
    x, y = RNG.uniform(-5, 155, 3000), RNG.uniform(-5, 125, 3000)
    near = np.zeros(3000, dtype=bool)
    near[PixelFinder.of(pixels).near(x, y)] = True
    assert near[np.hypot(x - 47, y - 33) < 15].all()
    assert near.mean() < 0.35
    assert len(PixelFinder.of(np.zeros(SHAPE, dtype=bool)).near(x, y, reach=100.0)) == 0
    assert len(PixelFinder.of(pixels).near(x, y, reach=100.0)) == 3000
