"""Forced photometry on the real quadrant, through an archive: it must agree with the detections it stands for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ztfdb
from ztfdb.sky.match import match_nearest


@pytest.fixture
def archive(databases, quadrant):
    url = databases.migrated("sqlite")
    with ztfdb.open(url, create=True) as opened:
        opened.ingest(quadrant[0])
        yield opened
    databases.drop(url)


def test_forced_light_agrees_with_the_detections_of_the_real_quadrant(archive):
    image = archive.sql("select image_id, ra, dec from image").iloc[0]
    sources = archive.cone(image["ra"], image["dec"], 1200.0)
    sources = sources[(sources["flags"] == 0) & (sources["mask_bits"] == 0)].sample(800, random_state=1)
    detected = archive.light_curves(sources[["ra", "dec"]], complete=True)
    forced = archive.light_curves(sources[["ra", "dec"]], complete=True, measure="forced")
    assert (detected["kind"] == "detection").all()
    assert len(forced) == len(detected) == 800
    both = forced["kind"] == "forced"
    assert both.mean() > 0.9
    difference = (forced["mag"] - detected["mag"])[both]
    pulls = (forced["flux_ujy"] - detected["flux_ujy"]) / detected["flux_ujy_err"]
    print(f"m(forced) - m(detection): median {difference.median():.2e} mag; largest pull {pulls.abs().max():.2e} sigma")
    assert abs(difference.median()) <= 0.005
    assert pulls.abs().max() < 0.05
    np.testing.assert_allclose(forced["flux_ujy_err"], detected["flux_ujy_err"], rtol=1e-3)


def test_empty_sky_of_the_real_quadrant_is_limits_of_the_right_size(archive):
    image = archive.sql("select image_id, ra, dec from image").iloc[0]
    sources = archive.cone(image["ra"], image["dec"], 1200.0)
    rng = np.random.default_rng(3)
    blank = pd.DataFrame(
        {"ra": image["ra"] + rng.uniform(-0.2, 0.2, 3000), "dec": image["dec"] + rng.uniform(-0.2, 0.2, 3000)}
    )
    near = match_nearest(blank["ra"], blank["dec"], sources["ra"], sources["dec"], 12.0)
    blank = blank.drop(index=np.unique(near.index1)).head(400)
    curve = archive.light_curves(blank, complete=True)
    clean = curve[(curve["mask_bits"] == 0) & ~curve["contaminated"]]
    assert len(clean) > 300
    spread = 1.4826 * (clean["snr"] - clean["snr"].median()).abs().median()
    print(f"{len(clean)} blank places: snr median {clean['snr'].median():+.2f}, spread {spread:.2f}")
    assert abs(clean["snr"].median()) < 0.3
    assert 0.8 < spread < 1.25
    assert (clean["kind"] == "limit").mean() > 0.97
