"""A simulated image with known stars, opened as a ScienceImage."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb import image
from ztfdb.simulate import SimulatedImage, make_science_image


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedImage:
    """400 px of sky with a grid of 100 bright stars, dead and NaN pixels, and a mask."""
    rng = np.random.default_rng(20)
    k = np.arange(100)
    x, y = 20 + 40 * (k % 10) + rng.uniform(-2, 2, 100), 20 + 40 * (k // 10) + rng.uniform(-2, 2, 100)
    flux = 10 ** rng.uniform(3, 5.2, 100)
    return make_science_image(
        tmp_path_factory.mktemp("sky"), stars=(x, y, flux), shape=(400, 400), fwhm=2.2, seed=5, dead_pixels=30,
        nan_pixels=10, sky_gradient=(10.0, 5.0),
    )  # fmt: skip


@pytest.fixture
def z(simulated: SimulatedImage) -> image.ScienceImage:
    """The image, freshly opened, its background loaded."""
    assert simulated.msk is not None
    opened = image.ScienceImage(simulated.sci, simulated.msk)
    opened.load_source_background()
    return opened
