"""Why the background box has the size it has: two figures that should pull opposite ways, on the real quadrant.

A box that followed the wings of bright stars would move m(10 px) - m(6 px) of bright isolated stars away from that of
fainter ones. A box too large misses the sky: the medians of blank apertures leave zero, and their scatter grows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tests.support.forced import measure_at
from ztfdb.bits import SourceFlag
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.read import read_frame
from ztfdb.records import SourceTable

pytestmark = pytest.mark.benchmark

BOXES = (32, 64, 128, 256, 512)
MAGNITUDES = np.arange(13.0, 19.0)


def growth_by_magnitude(s: SourceTable, magzp: float) -> np.ndarray:
    """Median m(10 px) - m(6 px) of isolated, unblended, unsaturated stars in bins of one magnitude."""
    position = np.stack([s.x, s.y], axis=1)
    distance, _ = cKDTree(position).query(position, k=2)
    spoilt = SourceFlag.BLENDED | SourceFlag.SATURATED | SourceFlag.EDGE
    good = (distance[:, 1] > 20) & ((s.flags & spoilt) == 0) & (s.flux_aper[3] > 0) & (s.flux_aper[4] > 0)
    mag = magzp - 2.5 * np.log10(s.flux_aper[3][good])
    step = -2.5 * np.log10(s.flux_aper[4][good] / s.flux_aper[3][good])
    return np.array([np.median(step[(mag >= m) & (mag < m + 1)]) for m in MAGNITUDES])


def test_the_box_is_a_compromise(quadrant: tuple[Path, Path]) -> None:
    frame = read_frame(*quadrant, hash_files=False)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(10, 3061, 40_000), rng.uniform(10, 3069, 40_000)
    print("\n box | blank medians, DN per px² (4, 6, 10, 14 px) | scatter of 14 px | m10 - m6 at 13, 14, … 18 mag")
    level, growth = {}, {}
    for box in BOXES:
        measured = measure_image(*quadrant, ExtractionSettings(background_box=box))
        s = measured.sources
        far = cKDTree(np.stack([s.x, s.y], 1)).query(np.stack([x, y], 1))[0] > 14
        blank = measure_at(frame, measured.mesh, x[far], y[far], np.ones(6)).flux_aper
        area = np.pi * np.array([2.0, 3.0, 5.0, 7.0]) ** 2
        level[box] = np.median(blank[2:], axis=1) / area
        low, high = np.percentile(blank[5], [16, 84])
        growth[box] = growth_by_magnitude(s, frame.info.magzp)
        print(f"{box:>4} | {np.round(level[box], 3)} | {(high - low) / 2:.1f} DN | {np.round(growth[box], 4)}")
    chosen = ExtractionSettings().background_box
    assert np.abs(level[chosen]).max() < 0.03 * measured.background_rms
    # bright and mid stars agree: no box-wide piece of a wing was taken for sky
    assert np.ptp(growth[chosen][:4]) < 0.006
