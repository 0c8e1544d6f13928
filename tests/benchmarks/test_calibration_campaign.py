"""Two hundred simulated images of known photometric systems, calibrated with and without wrong stars in PS1.

An image is a ninth of a quadrant, of a quadrant's density. The wrong stars are also left out of the catalogue: that
moves a zero point by a third of its error, most of the time (a tenth of the information is gone), which is what no
method can help; the rest is what the wrong stars do.

Run with ``pytest -m benchmark tests/benchmarks/test_calibration_campaign.py -s``; some minutes.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.campaign import calibrated, hold_stars, observe
from tests.support.reference import open_sessions

pytestmark = pytest.mark.benchmark

N_IMAGE = 200
CATALOGUES = {"right": {}, "wild": {"outliers": 0.1}, "left out": {"outliers": 0.1, "left_out": True}}


def test_calibration_recovers_the_truth_of_200_images(databases, tmp_path):
    how = {"n_star": 1040, "shape": (1024, 1024), "seed": 20260101}
    observed = [observe(tmp_path, number, **how) for number in range(N_IMAGE)]
    tables = {}
    for name, stars in CATALOGUES.items():
        with open_sessions(databases.migrated("sqlite")) as maker:
            hold_stars(maker, observed, **stars)
            tables[name] = calibrated(maker, observed).set_index(["image_id", "aperture"])
    for name, table in tables.items():
        print(f"\n{N_IMAGE} images, a tenth of the PS1 stars wrong by 0.3 to 0.6 mag: {name}")
        print("aperture  stars  median error   pull of zero point   of colour term   within 3 errors")
        for aperture, rows in table.groupby("aperture"):
            pulls = rows[["zeropoint_pull", "color_term_pull"]].to_numpy()
            # an image with too few stars for an aperture has no zero point there, which counts as a miss
            inside = (np.abs(pulls) < 3).mean(axis=0)
            print(
                f"{aperture:8}  {rows.n_star.median():5.0f}  {rows.zeropoint_err.median():8.4f} mag   "
                f"{np.nanmean(pulls[:, 0]):+.2f} ± {np.nanstd(pulls[:, 0]):.2f}        "
                f"{np.nanmean(pulls[:, 1]):+.2f} ± {np.nanstd(pulls[:, 1]):.2f}     {inside[0]:.1%} {inside[1]:.1%}"
            )
            assert np.all(inside >= 0.97)
            assert np.all(np.abs(np.nanstd(pulls, axis=0) - 1) < 0.15)
    wild = tables["wild"]
    moved = {
        name: (wild.zeropoint - tables[name].zeropoint).abs() / wild.zeropoint_err for name in ("right", "left out")
    }
    lost = (tables["right"].zeropoint - tables["left out"].zeropoint).abs() / tables["left out"].zeropoint_err
    print("\nmove of the zero point, in its errors, by aperture: median, largest, images above 1")
    for text, shift in (
        ("wrong stars", moved["right"]),
        ("the same stars left out", lost),
        ("wrong against left out", moved["left out"]),
    ):
        by = shift.groupby("aperture")
        values = "  ".join(f"{v.median():.2f} {v.max():.2f} {(~(v < 1)).sum()}" for _, v in by)
        print(f"{text:24} {values}")
    assert (moved["right"] < 1).groupby("aperture").mean().min() >= 0.99
    # beyond that loss, wrong stars do little: what is left hides in the noise of faint stars
    assert moved["left out"].median() < 0.1 and (moved["left out"] < 1).mean() >= 0.995
