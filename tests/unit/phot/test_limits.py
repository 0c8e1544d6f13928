from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.limits import aperture_sky_noise, limiting_magnitude


def test_sky_noise_is_rms_times_the_root_of_the_area() -> None:
    assert aperture_sky_noise(10.0, 6.0) == pytest.approx(10.0 * np.sqrt(9 * np.pi))
    assert aperture_sky_noise(10.0, 6.0, 1.05) == pytest.approx(10.5 * np.sqrt(9 * np.pi))
    assert np.isnan(aperture_sky_noise(10.0, 6.0, np.nan))


def test_a_limit_is_five_sigma() -> None:
    # 5 sigma of 20 DN are 100 DN: five magnitudes brighter than the zero point
    assert limiting_magnitude(20.0, 26.3) == pytest.approx(21.3)
    assert limiting_magnitude(100.0 / 3.0, 26.3, sigma=3.0) == pytest.approx(21.3)


def test_without_an_error_there_is_no_limit() -> None:
    assert np.isnan(limiting_magnitude([0.0, -1.0, np.nan], 26.3)).all()
    assert np.isnan(limiting_magnitude(1.0, np.nan))


def test_a_limit_needs_a_signal_to_noise_ratio() -> None:
    with pytest.raises(ValueError, match="positive"):
        limiting_magnitude(1.0, 26.3, sigma=0.0)
