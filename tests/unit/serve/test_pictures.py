"""Stamps as pictures: which pixels are white and black, what is transparent, and files that others read."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
image = pytest.importorskip("matplotlib.image", reason="the extra plot, which reads PNG, is not installed")

import io  # noqa: E402

from ztfdb.serve.api.pictures import PERCENTILES, picture, png, sheet  # noqa: E402


@pytest.mark.parametrize("n", [1, 2, 3, 31, 64])
def test_white_and_black_are_numpys_percentiles(n):
    data = np.random.default_rng(n).normal(100.0, 10.0, (n, n)).astype(np.float32)
    data[0, : n // 2] = np.nan
    low, high = np.percentile(data[np.isfinite(data)].astype(np.float64), PERCENTILES)
    assert np.array_equal(picture(data), picture(data, low, high))


def test_a_picture_without_a_value_is_transparent():
    made = picture(np.full((3, 4), np.nan, np.float32))
    assert not made[..., 1].any()


def test_another_reader_finds_the_pixels():
    data = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    data[1, 2] = np.nan
    drawn = picture(data, 0.0, 11.0)
    read = image.imread(io.BytesIO(png(sheet([drawn, drawn], 2), scale=2)))
    assert read.shape == (6, 16, 4)
    assert np.array_equal(np.rint(255 * read[::2, :8:2, 0]), drawn[..., 0])
    assert np.array_equal(np.rint(255 * read[::2, 8::2, 3]), drawn[..., 1])
    assert read[2, 4, 3] == 0.0
