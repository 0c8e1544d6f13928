"""Stars injected into a real quadrant are found as often as by SExtractor, and bring as few sources that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.injection import Outcome, compare
from tests.support.sextractor import require_sextractor

BINS = np.arange(18.0, 22.01, 1.0)


@pytest.fixture(scope="module")
def outcome(quadrant: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    require_sextractor()
    folder = tmp_path_factory.mktemp("injected")
    return compare(quadrant, folder, bins=BINS, per_bin=80, n_realisation=1)[0]


def test_injected_stars_are_found_as_often_as_by_sextractor(outcome: Outcome) -> None:
    ours, theirs = outcome.found.sum(axis=1)
    # the same stars: the difference comes from those that only one of the two finds
    assert (ours - theirs >= -2 * np.sqrt(outcome.only.sum(axis=0)) - 1).all(), outcome.table()
    assert (outcome.found[0, 1, :2] / outcome.injected[1, :2] > 0.98).all(), outcome.table()


def test_injected_stars_bring_no_more_spurious_sources_than_in_sextractor(outcome: Outcome) -> None:
    impure = outcome.spurious / np.maximum(outcome.sources, 1)
    assert (impure[0] <= impure[1] + 2 * np.sqrt(outcome.spurious[1] + 1) / outcome.sources[1]).all(), outcome.table()
