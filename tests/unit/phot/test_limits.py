from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.limits import aperture_sky_noise


def test_sky_noise_is_rms_times_the_root_of_the_area() -> None:
    assert aperture_sky_noise(10.0, 6.0) == pytest.approx(10.0 * np.sqrt(9 * np.pi))
    assert aperture_sky_noise(10.0, 6.0, 1.05) == pytest.approx(10.5 * np.sqrt(9 * np.pi))
    assert np.isnan(aperture_sky_noise(10.0, 6.0, np.nan))
