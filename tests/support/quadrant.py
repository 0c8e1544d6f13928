"""Where the tests find real images; each answer is a path or a skip that says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ztfdb.quadrant import QuadrantError, fetch_quadrant, find_quadrant

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
"""Real files that are not part of the repository lie beside the checkout."""


def real_quadrant() -> tuple[Path, Path]:
    """Science image and mask: from ``$ZTFDB_QUADRANT_DIR``, else the user's cache, else fetched."""
    given = os.environ.get("ZTFDB_QUADRANT_DIR")
    if given:
        found = find_quadrant(given)
        if found is None:
            pytest.fail(f"ZTFDB_QUADRANT_DIR={given} does not hold the real quadrant")
        return found
    try:
        return fetch_quadrant()
    except QuadrantError as exc:
        pytest.skip(f"no real quadrant: {exc}")


def real_data() -> Path:
    """The folder of real files beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no folder of real files at ../shared/data beside the checkout")
    return SHARED_DATA
