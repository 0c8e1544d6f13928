"""Counts, flux and magnitude: known vectors, astropy, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from ztfdb.image.conversions import Conversions


class Of(Conversions):
    def __init__(self, magzp: float, lbda: float) -> None:
        self.magzp, self._lbda = magzp, lbda

    @property
    def filter_lbda(self) -> float:
        return self._lbda


G, I = Of(26.403007, 4813.97), Of(25.535251, 7883.06)  # noqa: E741


def test_known_values() -> None:
    assert G.counts_to_mag(1000)[0] == pytest.approx(18.903007, abs=1e-9)
    assert I.counts_to_mag(1000)[0] == pytest.approx(18.035251, abs=1e-9)
    assert G.counts_to_flux(1000)[0] == pytest.approx(1.29006e-16, rel=4e-6)
    assert G.counts_to_microjansky(1000)[0] == pytest.approx(99.7234, abs=5e-5)
    assert I.counts_to_microjansky(1000)[0] == pytest.approx(221.768, abs=5e-4)
    # the original's constant made fluxes 0.18 % too large
    for image, original in ((G, 1.29238e-16), (I, 1.07179e-16)):
        assert original / image.counts_to_flux(1000)[0] == pytest.approx(1.001796, abs=4e-6)


def test_flux_is_astropys_ab_flux() -> None:
    mag = np.array([15.0, 18.5, 21.0])
    for image, lbda in ((G, 4813.97), (I, 7883.06)):
        quantity = (mag * u.ABmag).to(u.erg / u.s / u.cm**2 / u.AA, u.spectral_density(lbda * u.AA))
        np.testing.assert_allclose(image.mag_to_flux(mag)[0], quantity.value, rtol=1e-9)
        hertz = (mag * u.ABmag).to(u.erg / u.s / u.cm**2 / u.Hz)
        np.testing.assert_allclose(image.mag_to_flux(mag, inhz=True)[0], hertz.value, rtol=1e-9)
        microjansky = (mag * u.ABmag).to(u.uJy).value
        counts = image.mag_to_counts(mag)[0]
        np.testing.assert_allclose(image.counts_to_microjansky(counts)[0], microjansky, rtol=1e-9)
        np.testing.assert_allclose(image.microjansky_to_mag(microjansky), mag, rtol=1e-12)


@pytest.mark.parametrize("inhz", [False, True])
def test_every_conversion_goes_there_and_back_with_its_error(inhz: bool) -> None:
    counts, error = np.array([10.0, 500.0, 3e4]), np.array([3.0, 12.0, 80.0])
    flux = G.counts_to_flux(counts, error, inhz=inhz)
    np.testing.assert_allclose(G.flux_to_counts(*flux, inhz=inhz), (counts, error))
    mag = G.flux_to_mag(*flux, inhz=inhz)
    np.testing.assert_allclose(mag, G.counts_to_mag(counts, error))
    np.testing.assert_allclose(G.mag_to_flux(*mag, inhz=inhz), flux)
    np.testing.assert_allclose(G.mag_to_counts(*mag), (counts, error))


def test_errors_are_first_order_and_optional() -> None:
    _, error = G.counts_to_mag(1000.0, 10.0)
    assert error == pytest.approx(0.010857, abs=1e-6)
    for name in ("counts_to_mag", "counts_to_flux", "flux_to_mag", "flux_to_counts", "mag_to_flux", "mag_to_counts"):
        assert getattr(G, name)(20.0)[1] is None


def test_both_spellings_and_a_zero_point_of_ones_own() -> None:
    assert G.count_to_flux(3.0) == G.counts_to_flux(3.0)
    assert G.mag_to_count(20.0) == G.mag_to_counts(20.0)
    assert G.count_to_mag(1.0, zp=25.0)[0] == 25.0
    assert G.counts_to_microjansky(10.0, zp=23.9)[0] == pytest.approx(10.0)


def test_no_light_has_no_magnitude_and_no_warning() -> None:
    mag, error = G.counts_to_mag(np.array([-5.0, 0.0, np.nan, 1.0]), np.ones(4))
    np.testing.assert_array_equal(np.isnan(mag), [True, True, True, False])
    np.testing.assert_array_equal(np.isnan(error), [True, True, True, False])
    assert np.isnan(G.flux_to_mag(-1e-16)[0])


def test_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="counts, flux, mag, ujy"):
        G.convert_counts(1.0, None, "jansky")
