from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.spatial import cKDTree

from ztfdb.bits import MaskBit, SourceFlag
from ztfdb.errors import ExtractionError, ImageReadError
from ztfdb.extract import measure
from ztfdb.extract.measure import measure_image, ratio_for_area
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.fitsfile import RawFile, read_bytes
from ztfdb.frame.wcs import astropy_wcs
from ztfdb.records import MeasuredImage
from ztfdb.simulate.image import SimulatedImage, make_science_image
from ztfdb.sky.cells import sky_to_cell

SHAPE = (620, 600)
GRID = np.arange(30, 580, 32)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedImage, MeasuredImage]:
    """Isolated stars of known flux."""
    rng = np.random.default_rng(6)
    n = len(GRID) ** 2
    x = np.repeat(GRID, len(GRID)) + rng.uniform(-0.5, 0.5, n)
    y = np.tile(GRID, len(GRID)) + rng.uniform(-0.5, 0.5, n)
    flux = 10 ** rng.uniform(3.0, 5.0, n)
    made = make_science_image(tmp_path_factory.mktemp("grid"), stars=(x, y, flux), seed=2, shape=SHAPE, fwhm=2.0)
    return made, measure_image(made.sci)


def matched(made: SimulatedImage, measured: MeasuredImage) -> tuple[np.ndarray, np.ndarray]:
    s = measured.sources
    distance, row = cKDTree(np.stack([s.x, s.y], 1)).query(np.stack([made.truth.x, made.truth.y], 1))
    return distance, row


def test_every_painted_star_is_found_once_where_it_is(grid: tuple[SimulatedImage, MeasuredImage]) -> None:
    made, measured = grid
    distance, row = matched(made, measured)
    assert (distance < 0.3).all() and np.median(distance) < 0.03
    assert len(np.unique(row)) == len(row)
    assert len(measured.sources) < 1.03 * len(row)


def test_fluxes_are_unbiased_and_errors_true(grid: tuple[SimulatedImage, MeasuredImage]) -> None:
    made, measured = grid
    _, row = matched(made, measured)
    s = measured.sources
    share = np.array([made.exposure.profile.aperture_share(r) for r in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)])
    pull = (s.flux_aper[:, row] - share[:, None] * made.truth.flux) / s.flux_aper_err[:, row]
    # in the two smallest apertures the star's place in its pixel matters more than the noise
    assert np.abs(np.median(pull[2:], axis=1)).max() < 0.35
    np.testing.assert_allclose(pull[3:].std(axis=1), 1.0, atol=0.15)
    total = s.flux_auto[row] / made.truth.flux
    assert abs(np.median(total) - 1) < 0.03


def test_sky_columns_are_those_of_the_pixels(grid: tuple[SimulatedImage, MeasuredImage]) -> None:
    made, measured = grid
    s = measured.sources
    ra, dec = astropy_wcs(fits.getheader(made.sci)).all_pix2world(s.x, s.y, 0)
    np.testing.assert_allclose(s.ra, ra, atol=1e-9)
    np.testing.assert_allclose(s.dec, dec, atol=1e-9)
    np.testing.assert_array_equal(s.hpx29, sky_to_cell(s.ra, s.dec))
    assert set(sky_to_cell(s.ra, s.dec, 9)) <= set(measured.cells)


def test_columns_have_their_types_and_hold_no_inf(grid: tuple[SimulatedImage, MeasuredImage]) -> None:
    s = grid[1].sources
    wide = {
        "number": np.int64,
        "hpx29": np.int64,
        "ra": np.float64,
        "dec": np.float64,
        "x": np.float64,
        "y": np.float64,
    }
    whole = {"npix": np.int32, "flags": np.int32, "mask_bits": np.int32}
    for f in fields(s):
        column = getattr(s, f.name)
        assert column.dtype == (wide | whole).get(f.name, np.float32), f.name
        assert not np.isinf(column).any(), f.name
    np.testing.assert_array_equal(s.number, np.arange(len(s)))
    assert np.isfinite(s.flux_radius).mean() > 0.95


def test_half_light_radius_is_that_of_the_psf(grid: tuple[SimulatedImage, MeasuredImage]) -> None:
    made, measured = grid
    _, row = matched(made, measured)
    bright = row[made.truth.flux > 2e4]
    expected = 1.17741 * np.sqrt((made.exposure.fwhm / 2.3548) ** 2 + 1 / 6)
    assert abs(np.median(measured.sources.flux_radius[bright]) / expected - 1) < 0.06


def test_result_is_picklable_and_names_its_making(grid: tuple[SimulatedImage, MeasuredImage]) -> None:
    _, measured = grid
    again = pickle.loads(pickle.dumps(measured))
    np.testing.assert_array_equal(again.sources.flux_aper, measured.sources.flux_aper)
    assert measured.config.settings == ExtractionSettings().to_dict()
    assert {"read", "background", "detect", "apertures"} <= set(measured.seconds)
    assert all(seconds >= 0 for seconds in measured.seconds.values())
    assert abs(measured.background - 150) < 30 and measured.background_rms > 0


def test_measuring_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, n_star=200, seed=8, shape=(400, 410), cosmic_rays=10)
    one, two = measure_image(made.sci), measure_image(made.sci)
    for f in fields(one.sources):
        np.testing.assert_array_equal(getattr(one.sources, f.name), getattr(two.sources, f.name), err_msg=f.name)


def test_empty_sky_gives_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, seed=3, shape=(300, 300), noise=False)
    s = measure_image(made.sci).sources
    assert len(s) == 0 and s.flux_aper.shape == (6, 0) and s.mask_bits is not None


def test_without_a_mask_mask_bits_are_none_and_little_else_changes(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, n_star=250, seed=9, shape=(600, 600))
    with_mask, without = measure_image(made.sci), measure_image(made.sci, find_mask=False)
    assert without.sources.mask_bits is None and with_mask.sources.mask_bits is not None
    assert abs(len(with_mask.sources) - len(without.sources)) <= 3
    assert np.abs(with_mask.mesh.level - without.mesh.level).max() < 0.05 * with_mask.background_rms


def test_image_of_nan_is_refused(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, seed=3, shape=(200, 200))
    with fits.open(made.sci, mode="update", memmap=False) as hdus:
        hdus[0].data[:] = np.nan
        hdus[0].data[17, 23] = 100.0
    with pytest.raises(ExtractionError, match="usable"):
        measure_image(made.sci)


def test_flags_say_what_happened(tmp_path: Path) -> None:
    x = np.array([60.0, 120.0, 124.0, 0.3, 2.0, 180.0, 60.0, 180.0])
    y = np.array([60.0, 60.0, 60.5, 120.0, 180.0, 60.0, 180.0, 180.0])
    flux = np.array([2e4, 2e4, 1e4, 2e4, 2e4, 2e6, 2e4, 2e4])
    made = make_science_image(tmp_path, stars=(x, y, flux), seed=3, shape=(240, 240), fwhm=2.0)
    assert made.msk is not None
    with fits.open(made.msk, mode="update", memmap=False) as hdus:
        hdus[0].data[181, 61] |= int(MaskBit.DEAD)
        hdus[0].data[186, 180] |= int(MaskBit.DEAD)
        hdus[0].data[60, 62] |= int(MaskBit.GHOSTS)
    s = measure_image(made.sci).sources
    distance, row = cKDTree(np.stack([s.x, s.y], 1)).query(np.stack([x, y], 1))
    assert (distance < 1.0).all()
    flags = [SourceFlag(int(f)) for f in s.flags[row]]
    assert s.mask_bits is not None
    assert s.mask_bits[row].tolist() == [32, 0, 0, 0, 0, 256, 512, 0]
    clean, left, right, edge, near, hot, dead, far_dead = flags
    assert clean == SourceFlag(0)
    assert SourceFlag.BLENDED in left and SourceFlag.BLENDED in right
    assert SourceFlag.EDGE in edge and SourceFlag.APERTURE_TRUNCATED in edge
    assert SourceFlag.APERTURE_TRUNCATED in near and SourceFlag.LARGE_APERTURE_TRUNCATED in near
    assert SourceFlag.SATURATED in hot and SourceFlag.SATURATED not in clean
    assert SourceFlag.APERTURE_INCOMPLETE in dead and SourceFlag.LARGE_APERTURE_INCOMPLETE in dead
    assert SourceFlag.LARGE_APERTURE_INCOMPLETE in far_dead and SourceFlag.APERTURE_INCOMPLETE not in far_dead


def test_a_saturated_star_stays_whole(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, stars=([150.0], [150.0], [3e6]), seed=3, shape=(300, 300), fwhm=2.5)
    s = measure_image(made.sci).sources
    assert (np.hypot(s.x - 150, s.y - 150) < 20).sum() == 1


def test_a_crowded_field_is_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n, shape = 2500, (400, 400)
    stars = (rng.uniform(0, 399, n), rng.uniform(0, 399, n), 10 ** rng.uniform(2.5, 4.5, n))
    made = make_science_image(tmp_path, stars=stars, seed=3, shape=shape, fwhm=2.5)
    s = measure_image(made.sci).sources
    assert len(s) > 600
    assert np.isfinite(s.flux_aper).all() and np.isfinite(s.background).all()


def test_ratios_are_interpolated_in_radius() -> None:
    ratios = np.array([1.0, 1.0, 1.0, 1.2, 1.4, np.nan])
    area = np.pi * np.array([0.5, 3.0, 4.0, 50.0]) ** 2
    np.testing.assert_allclose(ratio_for_area(area, ratios), [1.0, 1.2, 1.3, 1.0])


def test_worker_module_loads_neither_database_nor_pandas() -> None:
    code = "import sys, ztfdb.extract.measure; print([m for m in ('sqlalchemy', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_that_changes_while_it_is_measured_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_science_image(tmp_path, shape=(64, 64), mask=False)

    def read_once_cut(path: str) -> RawFile:
        os.truncate(path, 4000)
        return read_bytes(path)

    monkeypatch.setattr(measure, "read_bytes", read_once_cut)
    with pytest.raises(ImageReadError, match="changed while it was measured"):
        measure_image(made.sci)


@pytest.mark.parametrize(("side", "measured"), [(10, False), (27, False), (28, True)])
def test_an_image_too_small_for_a_background_is_refused_by_name(tmp_path, side, measured):
    image = make_science_image(tmp_path, shape=(side, side), n_star=1, seed=4)
    if measured:
        assert measure_image(image.sci).info.nx == side
    else:
        with pytest.raises(ExtractionError, match=f"{side} × {side} px are too small for a background"):
            measure_image(image.sci)
