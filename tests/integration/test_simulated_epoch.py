"""Simulated epochs of a real field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from ztfdb.simulate import simulate_epoch


def test_epoch_of_a_real_header_keeps_its_camera_and_distortion(tmp_path: Path, quadrant: tuple[Path, Path]) -> None:
    header = fits.getheader(quadrant[0])
    rng = np.random.default_rng(3)
    stars = (rng.uniform(0, 3071, 12_000), rng.uniform(0, 3079, 12_000), 10 ** rng.uniform(2, 4.5, 12_000))
    image = simulate_epoch(header, stars, tmp_path, obsmjd=59117.4, fwhm=2.2, seed=1)
    new = fits.getheader(image.sci)
    assert new["PV1_7"] == header["PV1_7"]
    assert new["CD1_2"] == header["CD1_2"]
    assert fits.getval(image.sci, "NAXIS2") == 3080
    np.testing.assert_allclose(image.truth.x, stars[0], atol=1e-5)
