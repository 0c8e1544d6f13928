from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.forced import measure_at
from ztfdb.bits import SourceFlag
from ztfdb.extract.forced import measure_window, window_for
from ztfdb.extract.measure import measure_image
from ztfdb.frame.read import Frame, read_frame
from ztfdb.records import MeasuredImage
from ztfdb.simulate.image import make_science_image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Frame, MeasuredImage]:
    made = make_science_image(
        tmp_path_factory.mktemp("forced"), n_star=150, seed=4, shape=(420, 400), dead_pixels=60, nan_pixels=60
    )
    return read_frame(made.sci), measure_image(made.sci)


def test_forced_measurement_at_a_source_returns_its_flux(image: tuple[Frame, MeasuredImage]) -> None:
    frame, measured = image
    s = measured.sources
    forced = measure_at(frame, measured.mesh, s.x, s.y, measured.sky_noise)
    assert len(s) > 64
    np.testing.assert_allclose(forced.flux_aper, s.flux_aper, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(forced.flux_aper_err, s.flux_aper_err, rtol=1e-5)
    np.testing.assert_array_equal(forced.mask_bits, s.mask_bits)
    np.testing.assert_array_equal(forced.background, s.background)


def test_few_positions_measure_as_many_do(image: tuple[Frame, MeasuredImage]) -> None:
    frame, measured = image
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-12, 412, 200), rng.uniform(-12, 432, 200)
    many = measure_at(frame, measured.mesh, x, y, measured.sky_noise)
    few = [
        measure_at(frame, measured.mesh, x[i : i + 50], y[i : i + 50], measured.sky_noise) for i in (0, 50, 100, 150)
    ]
    np.testing.assert_allclose(np.concatenate([f.flux_aper for f in few], axis=1), many.flux_aper, rtol=1e-5, atol=2e-3)
    np.testing.assert_allclose(np.concatenate([f.flux_aper_err for f in few], axis=1), many.flux_aper_err, rtol=1e-5)
    np.testing.assert_array_equal(np.concatenate([f.flags for f in few]), many.flags)
    np.testing.assert_array_equal(np.concatenate([f.mask_bits for f in few]), many.mask_bits)


def test_positions_off_the_image_or_unknown_are_nan(image: tuple[Frame, MeasuredImage]) -> None:
    frame, measured = image
    forced = measure_at(frame, measured.mesh, [np.nan, -40.0, 1e12], [5.0, 5.0, np.inf], measured.sky_noise)
    assert np.isnan(forced.flux_aper).all() and np.isnan(forced.flux_aper_err).all()
    assert (forced.flags & SourceFlag.APERTURE_TRUNCATED).all()


def test_no_positions_give_empty_columns(image: tuple[Frame, MeasuredImage]) -> None:
    frame, measured = image
    forced = measure_at(frame, measured.mesh, np.zeros(0), np.zeros(0), measured.sky_noise)
    assert forced.flux_aper.shape == (6, 0) and forced.mask_bits is not None and len(forced.mask_bits) == 0


def test_blank_positions_scatter_as_their_errors_say(image: tuple[Frame, MeasuredImage]) -> None:
    frame, measured = image
    rng = np.random.default_rng(9)
    x, y = rng.uniform(10, 390, 4000), rng.uniform(10, 410, 4000)
    s = measured.sources
    far = np.min(np.hypot(x[:, None] - s.x, y[:, None] - s.y), axis=1) > 13
    forced = measure_at(frame, measured.mesh, x[far], y[far], measured.sky_noise)
    pull = forced.flux_aper / forced.flux_aper_err
    assert far.sum() > 500
    assert np.abs(pull.std(axis=1) - 1).max() < 0.12
    assert np.abs(np.median(pull, axis=1)).max() < 0.25


def test_a_window_needs_only_the_pixels_around(image: tuple[Frame, MeasuredImage]) -> None:
    frame, measured = image
    x, y = np.array([201.3]), np.array([1.2])
    rows, cols = window_for(frame.shape, x[0], y[0])
    assert (rows, cols) == (slice(0, 12), slice(191, 212))
    window = measure_window(
        np.ascontiguousarray(frame.data[rows, cols]),
        None,
        measured.mesh,
        x,
        y,
        measured.sky_noise,
        gain=frame.info.gain,
        origin=(cols.start, rows.start),
    )
    whole = measure_at(frame, measured.mesh, x, y, measured.sky_noise)
    np.testing.assert_allclose(window.flux_aper, whole.flux_aper, rtol=1e-5, atol=1e-3)
    assert window.mask_bits is None


def test_the_frame_is_not_changed(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, n_star=5, seed=1, shape=(100, 100))
    frame = read_frame(made.sci)
    before = frame.data.copy()
    mesh = measure_image(made.sci).mesh
    measure_at(frame, mesh, np.full(100, 50.0), np.full(100, 50.0), np.ones(6))
    np.testing.assert_array_equal(frame.data, before)
