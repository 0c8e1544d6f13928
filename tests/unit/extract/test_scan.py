from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ztfdb.extract.scan import connected, scan
from ztfdb.records import BackgroundMesh


def flat_mesh(shape: tuple[int, int], rms: float = 1.0) -> BackgroundMesh:
    one = np.ones((1, 1), dtype=np.float32)
    return BackgroundMesh(shape, shape, 0 * one, np.float32(rms) * one)


@pytest.mark.parametrize("density", [0.02, 0.2, 0.4, 0.7])
def test_connected_labels_as_scipy_does(density: float) -> None:
    above = np.random.default_rng(int(100 * density)).random((67, 53)) < density
    labels, n = ndimage.label(above, np.ones((3, 3)))
    label, n_ours = connected(np.flatnonzero(above), above.shape[1])
    assert n_ours == n
    np.testing.assert_array_equal(label, labels[above] - 1)


def test_rows_do_not_touch_around_the_edge() -> None:
    above = np.zeros((4, 10), dtype=bool)
    above[0, 9] = above[1, 0] = above[2, 9] = above[3, 0] = True
    assert connected(np.flatnonzero(above), 10)[1] == 4


def test_nothing_above_gives_nothing() -> None:
    index, value, peak = scan(np.zeros((50, 60), dtype=np.float32), flat_mesh((50, 60)), 1.5)
    assert len(index) == len(value) == len(peak) == 0
    assert connected(index, 60)[1] == 0


@pytest.mark.parametrize("shape", [(300, 40), (7, 500), (129, 33)])
def test_values_are_the_smoothed_image_over_the_rms(shape: tuple[int, int]) -> None:
    data = np.random.default_rng(2).normal(0, 3, shape).astype(np.float32)
    kernel = np.array([1, 2, 1])
    smoothed = ndimage.convolve(data.astype(float), np.outer(kernel, kernel) / 16, mode="constant") / 3.0
    index, value, _ = scan(data, flat_mesh(shape, 3.0), 0.5)
    np.testing.assert_array_equal(index, np.flatnonzero(smoothed > 0.5))
    np.testing.assert_allclose(value, smoothed.ravel()[index], rtol=1e-5)


def test_peaks_are_the_local_maxima_and_the_border() -> None:
    data = np.random.default_rng(4).normal(0, 1, (200, 70)).astype(np.float32)
    kernel = np.array([1, 2, 1])
    smoothed = ndimage.convolve(data, np.outer(kernel, kernel).astype(np.float32), mode="constant")
    highest = smoothed == ndimage.maximum_filter(smoothed, 3)
    index, _, peak = scan(data, flat_mesh(data.shape), 0.3)
    y, x = np.divmod(index, 70)
    border = (y == 0) | (y == 199) | (x == 0) | (x == 69)
    np.testing.assert_array_equal(peak == 2, border)
    np.testing.assert_array_equal(peak[~border] == 1, highest.ravel()[index][~border])


def test_a_plateau_has_a_peak() -> None:
    data = np.zeros((30, 30), dtype=np.float32)
    data[10:20, 10:20] = 100.0
    _, _, peak = scan(data, flat_mesh(data.shape), 1.5)
    assert peak.sum() >= 1
