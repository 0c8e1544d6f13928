from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.zeropoint import aperture_number, aperture_zeropoint, calibration_error, colour_term


def test_an_aperture_adds_its_correction() -> None:
    assert aperture_zeropoint(26.403007, -0.0960) == pytest.approx(26.307007)
    found = aperture_zeropoint([26.0, 26.0], [0.1, np.nan])
    assert found == pytest.approx([26.1, np.nan], nan_ok=True)


def test_without_a_correction_there_is_no_zero_point() -> None:
    assert np.isnan(aperture_zeropoint(26.4, None))


def test_apertures_are_known_by_diameter() -> None:
    assert [aperture_number(d) for d in (2, 3, 4, 6, 10, 14)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="no aperture of diameter 5 pixels, only 2, 3, 4, 6, 10, 14"):
        aperture_number(5)


def test_the_colour_term_is_coefficient_times_colour() -> None:
    assert colour_term(-0.058441, [0.5, np.nan]) == pytest.approx([-0.0292205, np.nan], nan_ok=True)
    assert np.isnan(colour_term(None, 0.5))


def test_the_calibration_error_has_the_covariance() -> None:
    # header of the 2017 image, at colour 0.6, by hand: 1.15e-5^2 + 0.36 * 2e-5^2 - 1.2 * 1.396e-10
    expected = np.sqrt(1.3225e-10 + 1.44e-10 - 1.6752e-10)
    assert calibration_error(1.15e-5, 2e-5, -1.396e-10, 0.6) == pytest.approx(expected, rel=1e-9)
    assert np.isnan(calibration_error(1e-5, 1e-5, -1.0, 0.6))
