"""What several benchmarks look at."""

from __future__ import annotations

import pytest

import ztfdb
from tests.support.integers import store_as_integers
from tests.support.quadrants import N_IMAGE, store_quadrants, write_quadrants
from ztfdb.simulate.image import make_science_image

N_SMALL = 142
SMALL_SHAPE = (500, 650)
SMALL_STARS = 2_500
"""Stars to paint on a small frame for about 1,600 sources to be found."""


@pytest.fixture(scope="session")
def quadrants(tmp_path_factory):
    """Exposures of one quadrant in files of full size (``ZTFDB_BENCHMARK_IMAGES`` of them, 300 by default)."""
    return write_quadrants(tmp_path_factory.mktemp("quadrants"), N_IMAGE)


@pytest.fixture
def seen(engine_url, quadrants):
    """An archive of these exposures on each engine, and their common WCS."""
    with ztfdb.open(engine_url, create=True) as archive:
        yield archive, store_quadrants(archive, quadrants)


@pytest.fixture(scope="session")
def small_frames(tmp_path_factory):
    """A folder of small frames without masks, pixels of 16 bits, of one place on the sky."""
    folder = tmp_path_factory.mktemp("small")
    for number in range(N_SMALL):
        made = make_science_image(
            folder, n_star=SMALL_STARS, seed=number, shape=SMALL_SHAPE, obsmjd=58500.2 + number / 100, mask=False
        )
        store_as_integers(made.sci, 16)
    return folder
