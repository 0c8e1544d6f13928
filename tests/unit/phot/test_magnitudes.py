from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from ztfdb.phot.magnitudes import (
    flux_to_mag,
    flux_to_microjansky,
    mag_to_flux,
    microjansky_per_dn,
    microjansky_to_mag,
    total_mag_err,
)


@pytest.mark.parametrize(
    ("magzp", "mag", "microjansky"), [(26.403007, 18.903007, 99.7234), (25.535251, 18.035251, 221.768)]
)
def test_a_thousand_counts(magzp: float, mag: float, microjansky: float) -> None:
    assert flux_to_mag(1000.0, 1.0, magzp)[0] == pytest.approx(mag, abs=1e-9)
    assert flux_to_microjansky(1000.0, magzp) == pytest.approx(microjansky, rel=2e-6)


def test_microjanskys_are_astropys() -> None:
    mag = np.array([12.0, 20.0, 25.5])
    expected = (mag * u.ABmag).to_value(u.uJy)
    np.testing.assert_allclose(microjansky_per_dn(mag), expected, rtol=1e-4)  # AB is 3631 Jy there to four digits
    np.testing.assert_allclose(microjansky_to_mag(microjansky_per_dn(mag)), mag, rtol=1e-14)


def test_a_percent_of_flux_is_0_0109_mag() -> None:
    mag, mag_err = flux_to_mag([1e4, 1e4], [100.0, 0.0], 25.0)
    assert mag.tolist() == [15.0, 15.0]
    assert mag_err == pytest.approx([0.010857362, 0.0], abs=1e-9)


def test_flux_and_mag_are_inverse() -> None:
    flux, flux_err = np.array([1.0, 50.0, 1e6]), np.array([0.1, 3.0, 1e3])
    back = mag_to_flux(*flux_to_mag(flux, flux_err, 26.3), 26.3)
    np.testing.assert_allclose(back, (flux, flux_err), rtol=1e-12)


def test_what_is_not_positive_has_no_magnitude() -> None:
    mag, mag_err = flux_to_mag([0.0, -5.0, np.nan, 1.0], [1.0, 1.0, 1.0, np.nan], 25.0)
    assert np.isnan(mag).tolist() == [True, True, True, False]
    assert np.isnan(mag_err).all()
    assert np.isnan(microjansky_to_mag([0.0, -1.0, np.nan])).all()
    assert flux_to_microjansky(-5.0, 23.9) == pytest.approx(-5.0, rel=1e-4)


def test_without_a_zero_point_there_is_no_magnitude() -> None:
    mag, mag_err = flux_to_mag([10.0, 10.0], [1.0, 1.0], [np.nan, 25.0])
    assert np.isnan(mag).tolist() == np.isnan(mag_err).tolist() == [True, False]
    assert np.isnan(flux_to_microjansky(10.0, np.nan))


def test_the_floor_adds_in_quadrature() -> None:
    assert total_mag_err([0.0, 0.02, np.nan], 0.015) == pytest.approx([0.015, 0.025, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match="negative"):
        total_mag_err(0.1, -0.01)


def test_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        flux_to_mag([1.0, 2.0], [1.0], 25.0)
    with pytest.raises(ValueError, match="shape"):
        mag_to_flux([1.0, 2.0], [1.0], 25.0)


def test_no_rows_no_magnitudes() -> None:
    assert [v.shape for v in flux_to_mag([], [], 25.0)] == [(0,), (0,)]
