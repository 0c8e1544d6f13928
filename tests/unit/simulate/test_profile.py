"""Painted stars against closed formulas and brute-force integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad

from ztfdb.simulate.profile import Profile, paint_stars


def moffat_surface(r: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    return (beta - 1) / (np.pi * alpha**2) * (1 + (r / alpha) ** 2) ** -beta


@pytest.mark.parametrize("beta", [2.5, 3.0, 3.5, 4.5])
def test_moffat_mixture_follows_the_analytic_profile(beta: float) -> None:
    profile = Profile.moffat(2.0, beta)
    r = np.linspace(0, 12, 200)
    surface = np.sum(
        profile.weight * np.exp(-0.5 * (r[:, None] / profile.sigma) ** 2) / (2 * np.pi * profile.sigma**2), axis=1
    )
    expected = moffat_surface(r, 2.0, beta)
    np.testing.assert_allclose(surface[r < 6], expected[r < 6], rtol=1.2e-3)
    np.testing.assert_allclose(surface, expected, rtol=0.03)


def test_pixels_hold_the_integral_of_the_profile() -> None:
    x, y, sigma = 10.3, 9.8, 2.2 / np.sqrt(8 * np.log(2))
    image = paint_stars((21, 21), np.array([x]), np.array([y]), np.array([1000.0]), Profile.gaussian(2.2), limit=1e-9)
    for ix, iy in ((10, 10), (11, 10), (8, 12)):
        truth, _ = dblquad(
            lambda v, u: 1000 / (2 * np.pi * sigma**2) * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)),
            ix - 0.5, ix + 0.5, iy - 0.5, iy + 0.5,
        )  # fmt: skip
        assert image[iy, ix] == pytest.approx(truth, rel=1e-7)


def test_flux_is_conserved_for_any_brightness() -> None:
    rng = np.random.default_rng(5)
    flux = 10 ** rng.uniform(1, 5.5, 300)
    x, y = rng.uniform(60, 240, (2, 300))
    for profile in (Profile.gaussian(2.0), Profile.moffat(2.0, 3.0)):
        image = paint_stars((300, 300), x, y, flux, profile)
        # the cut at 0.002 DN per pixel loses a few hundredths of a percent at most
        assert image.sum() == pytest.approx(flux.sum(), rel=5e-4)


def test_stars_outside_only_add_their_wings() -> None:
    image = paint_stars(
        (40, 40), np.array([-1.0, 500.0, 20.0]), np.array([20.0, 20.0, -300.0]), np.full(3, 1e4), Profile.gaussian(2.0)
    )
    assert 0 < image[:, :3].sum() < 5e3
    assert image[:, 8:].sum() == 0
    assert paint_stars((4, 4), *np.empty((3, 0)), Profile.gaussian(2.0)).sum() == 0


def test_extent_widens_a_source() -> None:
    one = (np.array([50.0]), np.array([50.0]), np.array([1e5]))
    star = paint_stars((101, 101), *one, Profile.gaussian(2.0), limit=1e-6)
    galaxy = paint_stars((101, 101), *one, Profile.gaussian(2.0), extent=np.array([3.0]), limit=1e-6)
    offset = np.arange(101) - 50.0
    variance = [(image.sum(axis=0) * offset**2).sum() / image.sum() for image in (star, galaxy)]
    assert variance[1] - variance[0] == pytest.approx(9.0, rel=1e-3)


def test_aperture_share_is_the_phase_average_of_exact_apertures() -> None:
    photutils = pytest.importorskip("photutils.aperture")
    rng = np.random.default_rng(3)
    profile = Profile.moffat(2.0, 3.0)
    n = 400
    x = 30.0 + 60.0 * (np.arange(n) % 20) + rng.uniform(-0.5, 0.5, n)
    y = 30.0 + 60.0 * (np.arange(n) // 20) + rng.uniform(-0.5, 0.5, n)
    image = paint_stars((1200, 1200), x, y, np.full(n, 1e4), profile, limit=1e-4)
    for radius in (1.0, 1.5, 3.0, 7.0):
        sums = photutils.CircularAperture(np.transpose([x, y]), radius).do_photometry(image)[0]
        # the scatter over phases falls with radius; 400 stars average it
        assert profile.aperture_share(radius) == pytest.approx(
            sums.mean() / 1e4, abs=3 * sums.std() / 1e4 / np.sqrt(n) + 2e-4
        )


def test_aperture_corrections_have_the_sign_and_size_of_real_ones() -> None:
    apcor = Profile.gaussian(2.0).aperture_corrections()
    assert np.all(np.diff(apcor) > 0)
    assert np.all(apcor <= 0)
    assert -1.1 < apcor[0] < -0.6
    assert apcor[5] == pytest.approx(0, abs=1e-3)
