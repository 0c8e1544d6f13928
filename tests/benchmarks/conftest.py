"""What several benchmarks look at."""

from __future__ import annotations

import pytest

import ztfdb
from tests.support.quadrants import N_IMAGE, store_quadrants, write_quadrants


@pytest.fixture(scope="session")
def quadrants(tmp_path_factory):
    """Exposures of one quadrant in files of full size (``ZTFDB_BENCHMARK_IMAGES`` of them, 300 by default)."""
    return write_quadrants(tmp_path_factory.mktemp("quadrants"), N_IMAGE)


@pytest.fixture
def seen(engine_url, quadrants):
    """An archive of these exposures on each engine, and their common WCS."""
    with ztfdb.open(engine_url, create=True) as archive:
        yield archive, store_quadrants(archive, quadrants)
