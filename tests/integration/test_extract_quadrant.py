"""The extraction on a real quadrant, held against SExtractor, ZTF's own detections, photutils and blank sky."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from photutils.aperture import CircularAperture, aperture_photometry
from scipy import ndimage
from scipy.spatial import cKDTree

from tests.support.forced import measure_at
from tests.support.sextractor import sextractor
from ztfdb.bits import MaskBit, SourceFlag
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.detect import detect
from ztfdb.extract.measure import measure_image
from ztfdb.extract.noise import blank_positions, free_bins
from ztfdb.extract.prepare import bad_pixels, excluded_pixels, flagged_pixels, subtract_background
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import background_surface
from ztfdb.frame.read import Frame, read_frame
from ztfdb.records import MeasuredImage
from ztfdb.simulate.image import make_science_image

SETTINGS = ExtractionSettings()


@pytest.fixture(scope="module")
def frame(quadrant: tuple[Path, Path]) -> Frame:
    return read_frame(*quadrant, hash_files=False)


@pytest.fixture(scope="module")
def measured(quadrant: tuple[Path, Path]) -> MeasuredImage:
    return measure_image(*quadrant)


@pytest.fixture(scope="module")
def theirs(quadrant: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return sextractor(*quadrant, tmp_path_factory.mktemp("sextractor"))


def nearest(x: np.ndarray, y: np.ndarray, to_x: np.ndarray, to_y: np.ndarray) -> np.ndarray:
    return cKDTree(np.stack([to_x, to_y], 1)).query(np.stack([x, y], 1))[0]


def test_sextractors_sources_are_found(measured: MeasuredImage, theirs: np.ndarray) -> None:
    s = measured.sources
    bright = theirs["FLUX_AUTO"] > 10 * theirs["FLUXERR_AUTO"]
    for x, y in (("X_IMAGE", "Y_IMAGE"), ("XWIN_IMAGE", "YWIN_IMAGE")):
        distance = nearest(theirs[x][bright] - 1, theirs[y][bright] - 1, s.x, s.y)
        assert (distance < 1.0).mean() >= 0.99


def test_sources_are_those_of_ztf(measured: MeasuredImage, frame: Frame) -> None:
    assert frame.mask is not None
    s = measured.sources
    y, x = np.nonzero(frame.mask & MaskBit.PSFSOURCES)
    real = nearest(s.x, s.y, x.astype(float), y.astype(float)) <= 1.5
    assert real.mean() >= 0.94
    assert real[s.flux_aper[3] > 10 * s.flux_aper_err[3]].mean() >= 0.98


def test_no_saturated_star_falls_into_more_pieces(measured: MeasuredImage, theirs: np.ndarray, frame: Frame) -> None:
    assert frame.mask is not None
    stars, n = ndimage.label(ndimage.binary_dilation((frame.mask & MaskBit.SATURATED) != 0, iterations=3))

    def pieces(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        row, column = (np.clip(np.rint(v).astype(int), 0, m - 1) for v, m in zip((y, x), stars.shape, strict=True))
        return np.bincount(stars[row, column], minlength=n + 1)[1:]

    ours = pieces(measured.sources.x, measured.sources.y)
    assert n > 100
    assert (ours <= pieces(theirs["X_IMAGE"] - 1, theirs["Y_IMAGE"] - 1)).all()


def test_sums_equal_photutils(measured: MeasuredImage, frame: Frame) -> None:
    s = measured.sources
    broken = SourceFlag.LARGE_APERTURE_INCOMPLETE | SourceFlag.LARGE_APERTURE_TRUNCATED
    rows = np.flatnonzero((s.flux_aper > 5 * s.flux_aper_err).all(axis=0) & ((s.flags & broken) == 0))[::8]
    assert len(rows) > 500
    data = frame.data - background_surface(measured.mesh)
    position = np.stack([s.x[rows], s.y[rows]], axis=1)
    apertures = [CircularAperture(position, d / 2) for d in APERTURE_DIAMETERS]
    table = aperture_photometry(data.astype(float), apertures, method="exact")
    for k in range(len(apertures)):
        np.testing.assert_allclose(s.flux_aper[k, rows], table[f"aperture_sum_{k}"], rtol=1e-5)


def test_blank_apertures_scatter_as_the_errors_say(measured: MeasuredImage, quadrant: tuple[Path, Path]) -> None:
    frame = read_frame(*quadrant, hash_files=False)
    assert frame.mask is not None
    flagged = flagged_pixels(frame.mask)
    excluded = excluded_pixels(frame.data, flagged)
    occupied = bad_pixels(flagged, excluded, frame.shape)
    raw = frame.data.copy()
    subtract_background(frame.data, measured.mesh, excluded)
    _, pixels = detect(frame.data, measured.mesh, SETTINGS)
    occupied.ravel()[pixels.index] = True
    free = free_bins(occupied)
    used = blank_positions(free, SETTINGS.sky_apertures, np.random.default_rng(SETTINGS.sky_seed))
    x, y = blank_positions(free, 12_000, np.random.default_rng(77))
    new = nearest(x, y, *used) > 14.0
    frame.data[:] = raw
    forced = measure_at(frame, measured.mesh, x[new], y[new], measured.sky_noise)
    pull = forced.flux_aper / forced.flux_aper_err
    assert new.sum() > 4000
    np.testing.assert_allclose(pull.std(axis=1), 1.0, atol=0.1)
    # the level is right to a hundredth of the pixel noise
    area = np.pi * (np.array(APERTURE_DIAMETERS) / 2) ** 2
    assert np.abs(np.median(forced.flux_aper, axis=1) / area).max() < 0.02 * measured.background_rms


def test_forced_at_a_source_returns_its_flux(measured: MeasuredImage, frame: Frame) -> None:
    s = measured.sources
    forced = measure_at(frame, measured.mesh, s.x, s.y, measured.sky_noise)
    assert np.nanmax(np.abs(forced.flux_aper - s.flux_aper) / s.flux_aper_err) < 0.05
    few = slice(100, 140)
    one_by_one = measure_at(frame, measured.mesh, s.x[few], s.y[few], measured.sky_noise)
    assert np.nanmax(np.abs(one_by_one.flux_aper - s.flux_aper[:, few]) / s.flux_aper_err[:, few]) < 0.05


def test_half_light_radii_agree_with_sextractor(measured: MeasuredImage, theirs: np.ndarray) -> None:
    s = measured.sources
    x, y = theirs["XWIN_IMAGE"] - 1, theirs["YWIN_IMAGE"] - 1
    distance, row = cKDTree(np.stack([s.x, s.y], 1)).query(np.stack([x, y], 1))
    good = (distance < 0.5) & (theirs["FLUX_AUTO"] > 20 * theirs["FLUXERR_AUTO"]) & (theirs["FLAGS"] == 0)
    ratio = s.flux_radius[row[good]] / theirs["FLUX_RADIUS"][good]
    assert np.isfinite(ratio).mean() > 0.995
    # 5 % for nine in ten: the interpolated curve of growth against SExtractor's sampled one
    low, middle, high = np.nanpercentile(ratio, [5, 50, 95])
    assert low > 0.92 and abs(middle - 1) < 0.02 and high < 1.08


def test_without_its_mask_the_quadrant_has_the_same_background(
    measured: MeasuredImage, quadrant: tuple[Path, Path]
) -> None:
    without = measure_image(quadrant[0], find_mask=False)
    assert np.abs(np.median(without.mesh.level - measured.mesh.level)) < 0.02 * measured.background_rms
    assert abs(len(without.sources) - len(measured.sources)) < 0.02 * len(measured.sources)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell the peak memory")
def test_a_worker_stays_within_its_memory(quadrant: tuple[Path, Path]) -> None:
    # VmHWM and not ru_maxrss, which a child inherits from its parent
    code = """import sys
from ztfdb.extract.measure import measure_image
measure_image(*sys.argv[1:])
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))"""
    command = [sys.executable, "-c", code, *map(str, quadrant)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 350


def test_crowded_quadrant_is_never_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shape, n = (900, 900), 25_000
    data = rng.normal(150, 6, shape).astype(np.float32)
    star = np.array([[0.03, 0.1, 0.03], [0.1, 0.48, 0.1], [0.03, 0.1, 0.03]])
    light = np.zeros(shape)
    np.add.at(light, (rng.integers(0, 900, n), rng.integers(0, 900, n)), 10 ** rng.uniform(2.5, 4.5, n))
    data += ndimage.convolve(light, star).astype(np.float32)
    made = make_science_image(tmp_path, shape=shape, mask=False)
    with fits.open(made.sci, mode="update", memmap=False) as hdus:
        hdus[0].data[:] = data
    measured = measure_image(made.sci)
    assert len(measured.sources) > 5000
    assert np.isfinite(measured.sources.flux_aper).all()
