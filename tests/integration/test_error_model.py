"""Errors of apertures on stars of known flux, from the faint end to near saturation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.forced import measure_at
from ztfdb import image
from ztfdb.extract.aperture import aperture_sums
from ztfdb.extract.measure import measure_image
from ztfdb.frame.read import read_frame
from ztfdb.simulate import SimulatedImage, make_science_image
from ztfdb.simulate.profile import paint_stars

N = 76
"""Stars along each axis: 5,776 of them, 40 px apart."""
RADII = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0]


@pytest.fixture(scope="module", params=["gaussian", "moffat"])
def field(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SimulatedImage, np.ndarray]:
    """A whole quadrant of isolated stars and the true light in the six apertures."""
    rng = np.random.default_rng(7)
    place = 20 + 40 * np.arange(N)
    x, y = np.tile(place, N) + rng.uniform(-3, 3, N * N), np.repeat(place, N) + rng.uniform(-3, 3, N * N)
    flux = 10 ** rng.uniform(np.log10(60), np.log10(2.6e5), N * N)
    made = make_science_image(
        tmp_path_factory.mktemp("field"), stars=(x, y, flux), shape=(3080, 3072), fwhm=2.0, seed=3,
        moffat=3.0 if request.param == "moffat" else None, sky_gradient=(5.0, 3.0),
    )  # fmt: skip
    light = paint_stars((3080, 3072), x, y, flux, made.exposure.profile)
    assert 30_000 < light.max() < made.exposure.saturate - 1_000
    return made, aperture_sums(light.astype(np.float32), x, y).flux


def check_pulls(pull: np.ndarray) -> None:
    """The bars: shape (6, n_star)."""
    assert np.isfinite(pull).all()
    spread, mean = pull.std(axis=1), pull.mean(axis=1)
    # exact apertures of 2, 3 and 4 px weigh their rim pixels by overlap, so their sky noise is less than the area's
    assert np.all((spread[:3] > 0.84) & (spread[:3] < 1.05)), spread
    assert np.all(np.abs(spread[3:] - 1) < 0.05), spread
    assert np.all(np.abs(mean[:4]) < 0.1), mean
    assert np.all(np.abs(mean[4:]) < 0.2), mean


@pytest.mark.parametrize("method", ["sep", "mesh"])
def test_apertures_of_an_image_have_right_errors(field: tuple[SimulatedImage, np.ndarray], method: str) -> None:
    made, true = field
    assert made.msk is not None
    z = image.ScienceImage(made.sci, made.msk)
    z.load_source_background(method=method)
    counts, error = z.get_aperture(made.truth.x, made.truth.y, RADII)
    check_pulls((counts - true) / error)


def test_forced_apertures_of_an_archive_have_right_errors(field: tuple[SimulatedImage, np.ndarray]) -> None:
    made, true = field
    measured = measure_image(made.sci, made.msk)
    forced = measure_at(read_frame(made.sci, made.msk), measured.mesh, made.truth.x, made.truth.y, measured.sky_noise)
    check_pulls((forced.flux_aper - true) / forced.flux_aper_err)
