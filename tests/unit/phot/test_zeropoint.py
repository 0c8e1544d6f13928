from __future__ import annotations

import numpy as np
import pytest

from ztfdb.phot.zeropoint import aperture_zeropoint, color_correction


def test_an_aperture_adds_its_correction() -> None:
    assert aperture_zeropoint(26.403007, -0.0960) == pytest.approx(26.307007)
    found = aperture_zeropoint([26.0, 26.0], [0.1, np.nan])
    assert found == pytest.approx([26.1, np.nan], nan_ok=True)


def test_without_a_correction_there_is_no_zero_point() -> None:
    assert np.isnan(aperture_zeropoint(26.4, None))
    assert np.isnan(aperture_zeropoint(None, 0.1))


def test_the_color_adds_coefficient_times_color() -> None:
    assert color_correction(-0.058441, [0.5, np.nan]) == pytest.approx([-0.0292205, np.nan], nan_ok=True)
    assert np.isnan(color_correction(None, 0.5))


def test_without_a_color_nothing_is_added() -> None:
    assert color_correction(np.nan, None) == 0.0
