from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from tests.support.pixels import gaussian_stars, noisy
from ztfdb.frame import background as bg
from ztfdb.records import BackgroundMesh

SHAPE = (520, 650)


def random_mesh(shape: tuple[int, int], box: tuple[int, int], seed: int = 3) -> BackgroundMesh:
    n = tuple(-(-s // b) for s, b in zip(shape, box, strict=True))
    rng = np.random.default_rng(seed)
    return BackgroundMesh(shape, box, rng.normal(150, 3, n).astype(np.float32), rng.uniform(5, 7, n).astype(np.float32))


def stars(n: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, SHAPE[1], n), rng.uniform(0, SHAPE[0], n), 10 ** rng.uniform(2, 5, n)


def test_flat_noise_gives_its_level_and_rms() -> None:
    mesh = bg.measure_background(noisy(np.zeros(SHAPE)))
    # 6 DN over 128² pixels leaves 0.05 DN
    assert np.abs(mesh.level - 150.0).max() < 0.2
    assert np.abs(mesh.rms / 6.0 - 1).max() < 0.02


def test_gradient_is_followed_into_the_corners() -> None:
    y, x = np.indices(SHAPE)
    plane = 0.02 * x - 0.03 * y
    surface = bg.background_surface(bg.measure_background(noisy(plane)))
    assert np.abs(surface - 150.0 - plane).max() < 0.6
    assert np.abs(surface - 150.0 - plane).mean() < 0.12


def test_stars_do_not_raise_the_level() -> None:
    light = gaussian_stars(SHAPE, *stars(400))
    mesh = bg.measure_background(noisy(light))
    assert np.abs(np.median(mesh.level) - 150.0) < 0.15
    assert np.abs(np.median(mesh.rms) / 6.0 - 1) < 0.02


def test_mask_changes_next_to_nothing() -> None:
    light = gaussian_stars(SHAPE, *stars(300))
    data = noisy(light)
    without, with_mask = bg.measure_background(data), bg.measure_background(data, light > 9.0)
    assert np.abs(with_mask.level - without.level).max() < 0.3  # a twentieth of the pixel noise
    assert np.abs(np.median(with_mask.level - without.level)) < 0.05


def test_bad_and_nan_pixels_are_left_out() -> None:
    data = noisy(np.zeros(SHAPE))
    bad = np.zeros(SHAPE, dtype=bool)
    bad[100:180, :] = True
    data[bad] = 5e4
    data[300:310, 50:400] = np.nan
    data[7, 9] = np.inf
    mesh = bg.measure_background(data, bad)
    assert np.abs(mesh.level - 150.0).max() < 0.3
    assert np.isfinite(mesh.rms).all()


def test_a_box_without_good_pixels_takes_its_neighbours_value() -> None:
    data = noisy(np.zeros(SHAPE))
    data[:200, :200] = np.nan
    mesh = bg.measure_background(data)
    assert np.abs(mesh.level - 150.0).max() < 0.3


def test_every_route_gives_the_same_surface() -> None:
    mesh = random_mesh((523, 650), (132, 131))
    whole, rms = bg.background_surface(mesh), bg.background_surface(mesh, rms=True)
    window = bg.background_surface(mesh, slice(190, 211), slice(600, 650))
    np.testing.assert_allclose(window, whole[190:211, 600:650], rtol=3e-7)
    blocks = np.concatenate([block.copy() for _, block in bg.surface_blocks(mesh)])
    np.testing.assert_allclose(blocks, whole, rtol=3e-7)
    y, x = np.array([0, 522, 17, 300]), np.array([0, 649, 640, 3])
    level, noise = bg.background_at(mesh, x.astype(float), y.astype(float))
    np.testing.assert_allclose(level, whole[y, x], rtol=3e-7)
    np.testing.assert_allclose(noise, rms[y, x], rtol=3e-7)


def test_surface_is_the_natural_cubic_spline_through_the_box_centres() -> None:
    mesh = random_mesh((640, 128), (128, 128))
    centre = np.arange(5) * 128 + 63.5
    spline = CubicSpline(centre, mesh.level[:, 0].astype(float), bc_type="natural")
    inside = np.arange(64, 576)
    np.testing.assert_allclose(bg.background_surface(mesh)[inside, 7], spline(inside), rtol=1e-6)
    edge = np.arange(64)
    line = spline(centre[0]) + spline(centre[0], 1) * (edge - centre[0])
    np.testing.assert_allclose(bg.background_surface(mesh)[edge, 7], line, rtol=1e-6)


def test_position_off_the_image_takes_the_nearest_pixel() -> None:
    mesh = random_mesh((300, 300), (100, 100))
    far, _ = bg.background_at(mesh, np.array([-50.0, 1e6]), np.array([120.0, 299.0]))
    near, _ = bg.background_at(mesh, np.array([0.0, 299.0]), np.array([120.0, 299.0]))
    np.testing.assert_array_equal(far, near)


@pytest.mark.parametrize("shape", [(4, 4), (5, 19), (23, 61), (130, 130), (260, 4)])
def test_small_and_odd_shapes_have_a_background(shape: tuple[int, int]) -> None:
    data = noisy(np.zeros(shape))
    mesh = bg.measure_background(data)
    surface = bg.background_surface(mesh)
    assert surface.shape == shape
    assert np.abs(surface - 150.0).max() < 6.0


def test_constant_image_has_the_rms_of_single_precision() -> None:
    mesh = bg.measure_background(np.full((256, 256), 7.0, dtype=np.float32))
    assert (mesh.level == 7.0).all()
    assert (mesh.rms > 0.0).all() and (mesh.rms < 1e-5).all()


def test_image_without_a_usable_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="no usable pixel"):
        bg.measure_background(np.full((64, 64), np.nan, dtype=np.float32))
    with pytest.raises(ValueError, match="smaller than one bin"):
        bg.measure_background(np.zeros((3, 64), dtype=np.float32))


def test_grow_is_a_square_dilation() -> None:
    seeds = np.random.default_rng(0).random((40, 50)) > 0.99
    for reach in (1, 3, 6, 12):
        grown = bg.grow(seeds, reach)
        y, x = np.indices(seeds.shape)
        expected = np.zeros_like(seeds)
        for sy, sx in zip(*np.nonzero(seeds), strict=True):
            expected |= (abs(y - sy) <= reach) & (abs(x - sx) <= reach)
        np.testing.assert_array_equal(grown, expected)
