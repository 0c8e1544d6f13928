"""PSF fits on painted stars, galaxies and spikes."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.dao import PsfModel
from ztfdb.extract.psffit import PsfFlag, fit_psf_fluxes
from ztfdb.simulate.profile import Profile, paint_stars

FWHM, GAIN, RMS = 2.4, 6.2, 5.0
PSF = PsfModel("GAUSSIAN", 13.5, 1000.0, 1535.5, 1539.5, np.array([FWHM / 2, FWHM / 2]), np.zeros((0, 47, 47)), 0, 0)
SIDE = 30


def grid(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Positions on a grid of SIDE pixels, jittered within a pixel, and the shape that holds them."""
    side = int(np.ceil(np.sqrt(n)))
    k = np.arange(n)
    x = SIDE / 2 + SIDE * (k % side) + rng.uniform(-0.5, 0.5, n)
    y = SIDE / 2 + SIDE * (k // side) + rng.uniform(-0.5, 0.5, n)
    return x, y, (SIDE * side, SIDE * side)


def noisy(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson noise of the light and white sky noise."""
    return (rng.poisson(light * GAIN) / GAIN + rng.normal(0, RMS, light.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def stars() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    x, y, shape = grid(900, rng)
    flux = 10 ** rng.uniform(2.3, 5.2, 900)
    return x, y, flux, noisy(paint_stars(shape, x, y, flux, Profile.gaussian(FWHM)), rng)


@pytest.mark.parametrize("fit_sky", [False, True])
def test_flux_error_and_chi_are_right(stars: tuple[np.ndarray, ...], fit_sky: bool) -> None:
    x, y, flux, data = stars
    fit = fit_psf_fluxes(data, RMS, PSF, x, y, gain=GAIN, fit_sky=fit_sky)
    pull = (fit.flux - flux) / fit.flux_err
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1, abs=0.08)  # 900 stars know it to 0.024
    assert np.median(fit.chi) == pytest.approx(1, abs=0.05)
    assert np.mean(fit.chi) == pytest.approx(1, abs=0.05)
    assert not fit.flags.any()


def test_sharp_tells_stars_galaxies_and_spikes() -> None:
    rng = np.random.default_rng(12)
    x, y, shape = grid(300, rng)
    extent = np.repeat([0.0, 1.0, 0.0], 100)
    light = paint_stars(shape, x, y, np.repeat([2e4, 2e4, 0.0], 100), Profile.gaussian(FWHM), extent=extent)
    light[np.rint(y[200:]).astype(int), np.rint(x[200:]).astype(int)] = 2e4  # all light in one pixel
    fit = fit_psf_fluxes(noisy(light, rng), RMS, PSF, x, y, gain=GAIN)
    star, galaxy, spike = fit.sharp[:100], fit.sharp[100:200], fit.sharp[200:]
    assert abs(np.median(star)) < 0.02
    assert np.all(np.abs(star) < 0.15)
    assert np.all(galaxy > 0.3)
    assert np.all(spike < -0.3)
    assert np.median(fit.chi[100:200]) > 2


def test_position_is_found(stars: tuple[np.ndarray, ...]) -> None:
    x, y, flux, data = stars
    bright = flux > 5e3
    shift = np.random.default_rng(1).uniform(-0.5, 0.5, (2, bright.sum()))
    fit = fit_psf_fluxes(data, RMS, PSF, x[bright] + shift[0], y[bright] + shift[1], gain=GAIN, fit_position=True)
    settled = fit.flags == 0
    assert settled.mean() > 0.98
    assert np.hypot(fit.x - x[bright], fit.y - y[bright])[settled].max() < 0.1
    pull = ((fit.flux - flux[bright]) / fit.flux_err)[settled]
    assert pull.std() == pytest.approx(1, abs=0.15)


def test_a_position_that_wanders_away_goes_back() -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(0, RMS, (60, 60)).astype(np.float32)
    fit = fit_psf_fluxes(data, RMS, PSF, np.full(30, 30.0), rng.uniform(20, 40, 30), gain=GAIN, fit_position=True)
    lost = (fit.flags & PsfFlag.NOT_CONVERGED) != 0
    assert lost.any()
    assert np.all(fit.x[lost] == 30.0)
    assert np.isfinite(fit.flux).all()


def test_a_constant_under_the_star_is_taken_off(stars: tuple[np.ndarray, ...]) -> None:
    x, y, flux, data = stars
    fit = fit_psf_fluxes(data + np.float32(7.0), RMS, PSF, x, y, gain=GAIN)
    assert np.median(fit.sky) == pytest.approx(7, abs=0.1)
    assert abs(((fit.flux - flux) / fit.flux_err).mean()) < 0.1
    plain = fit_psf_fluxes(data + np.float32(7.0), RMS, PSF, x, y, gain=GAIN, fit_sky=False)
    assert np.median(plain.flux - fit.flux) > 30
    assert not plain.sky.any()


def test_edges_and_masked_pixels_are_flagged_and_left_out(stars: tuple[np.ndarray, ...]) -> None:
    x, y, flux, data = stars
    i = int(np.argmin(np.abs(flux - 2e4)))
    bad = np.zeros(data.shape, dtype=bool)
    bad[round(y[i]) + 1, round(x[i])] = True
    spoiled = data.copy()
    spoiled[bad] = 1e6
    fit = fit_psf_fluxes(spoiled, RMS, PSF, x[i : i + 1], y[i : i + 1], bad=bad, gain=GAIN)
    assert fit.flags[0] == PsfFlag.INCOMPLETE
    assert fit.flux[0] == pytest.approx(flux[i], abs=5 * fit.flux_err[0])
    left = round(x[i]) - 1
    edge = fit_psf_fluxes(data[:, left:], RMS, PSF, x[i : i + 1] - left, y[i : i + 1], gain=GAIN)
    assert edge.flags[0] == PsfFlag.TRUNCATED
    assert edge.flux[0] == pytest.approx(flux[i], abs=5 * edge.flux_err[0])


def test_nothing_to_fit_is_nan_with_a_flag(stars: tuple[np.ndarray, ...]) -> None:
    data = np.where(np.arange(stars[3].shape[1]) < 60, np.nan, stars[3])
    fit = fit_psf_fluxes(data, RMS, PSF, np.array([-50.0, np.nan, 20.0]), np.full(3, 20.0))
    assert np.isnan(fit.flux).all()
    assert np.isnan(fit.chi).all()
    assert np.all(fit.flags & PsfFlag.NO_DATA)
    assert len(fit_psf_fluxes(data, RMS, PSF, np.empty(0), np.empty(0)).flux) == 0


def test_wrong_arguments_are_refused(stars: tuple[np.ndarray, ...]) -> None:
    data = stars[3]
    with pytest.raises(ValueError, match="same length"):
        fit_psf_fluxes(data, RMS, PSF, np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="positive"):
        fit_psf_fluxes(data, RMS, PSF, np.zeros(1), np.zeros(1), radius=0)
