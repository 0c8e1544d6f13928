from __future__ import annotations

from dataclasses import replace

import numpy as np
from photutils.aperture import CircularAperture
from scipy.ndimage import gaussian_filter

from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.aperture import aperture_sums
from ztfdb.extract.noise import blank_positions, free_bins, sky_noise_ratios
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import measure_background

SETTINGS = ExtractionSettings()
SHAPE = (1000, 1000)


def free_everywhere() -> np.ndarray:
    return free_bins(np.zeros(SHAPE, dtype=bool))


def test_white_noise_has_the_ratios_of_its_weights() -> None:
    data = np.random.default_rng(1).normal(0, 6, SHAPE).astype(np.float32)
    ratios = sky_noise_ratios(data, measure_background(data), free_everywhere(), SETTINGS)
    # a rim pixel counts in part, w < 1, and its variance with w²: small apertures scatter less than sqrt(area)
    x, y = np.random.default_rng(2).uniform(20, 30, (2, 400))
    apertures = [CircularAperture(np.stack([x, y], axis=1), d / 2) for d in APERTURE_DIAMETERS]
    weights = [[mask.data for mask in aperture.to_mask(method="exact")] for aperture in apertures]
    expected = [np.sqrt(np.mean([(w**2).sum() / w.sum() for w in some])) for some in weights]
    np.testing.assert_allclose(ratios, expected, atol=0.06)  # 1,500 apertures: 2 %, and large ones overlap


def test_correlated_noise_raises_the_ratios_of_large_apertures() -> None:
    rng = np.random.default_rng(2)
    smooth = gaussian_filter(rng.normal(size=SHAPE), 3.0)
    data = (rng.normal(0, 6, SHAPE) + 2.0 * smooth / smooth.std()).astype(np.float32)
    mesh = measure_background(data)
    ratios = sky_noise_ratios(data, mesh, free_everywhere(), SETTINGS)
    x, y = blank_positions(free_everywhere(), 8000, np.random.default_rng(99))
    sums = aperture_sums(data, x, y)
    truth = sums.flux.std(axis=1) / (np.median(mesh.rms) * np.sqrt(sums.area[:, 0]))
    assert truth[5] > 1.5
    np.testing.assert_allclose(ratios, truth, rtol=0.08)


def test_the_same_image_gives_the_same_ratios() -> None:
    data = np.random.default_rng(3).normal(0, 6, SHAPE).astype(np.float32)
    mesh, free = measure_background(data), free_everywhere()
    np.testing.assert_array_equal(
        sky_noise_ratios(data, mesh, free, SETTINGS), sky_noise_ratios(data, mesh, free, SETTINGS)
    )


def test_too_few_places_give_nan() -> None:
    data = np.random.default_rng(4).normal(0, 6, (60, 60)).astype(np.float32)
    free = free_bins(np.zeros((60, 60), dtype=bool))
    mesh = measure_background(data)
    assert np.isfinite(sky_noise_ratios(data, mesh, free, SETTINGS)).all()
    assert np.isnan(sky_noise_ratios(data, mesh, free & False, SETTINGS)).all()
    more = replace(SETTINGS, sky_apertures_minimum=int(free.sum()) + 1)
    assert np.isnan(sky_noise_ratios(data, mesh, free, more)).all()


def test_blank_apertures_touch_no_occupied_pixel() -> None:
    occupied = np.random.default_rng(5).random((400, 403)) < 0.001
    x, y = blank_positions(free_bins(occupied), 100_000, np.random.default_rng(6))
    assert len(x) > 500
    rows, columns = np.nonzero(occupied)
    dx = np.maximum(np.abs(columns - x[:, None]) - 0.5, 0)
    dy = np.maximum(np.abs(rows - y[:, None]) - 0.5, 0)
    assert (np.hypot(dx, dy) >= 7.0).all()
    assert (x > 6.5).all() and (x < 395.5).all() and (y > 6.5).all() and (y < 392.5).all()
