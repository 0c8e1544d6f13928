"""Complete light curves say for each epoch how likely its star was to be found, where the image was judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ztfdb
from tests.support.catalogues import make_epochs
from ztfdb.errors import OptionError

NAMES = ["p_detect", "limit50", "limit90"]


@pytest.fixture(scope="module")
def epochs(tmp_path_factory):
    """Four nights of the same stars, in g and r by turns."""
    return make_epochs(tmp_path_factory.mktemp("nights"), n=4, catalogues=False)


@pytest.fixture
def judged(archive, epochs):
    """An archive of the four, of which three were judged; and the place of a faint star."""
    for epoch in epochs:
        assert archive.ingest(epoch.sci, jobs=1).stored == 1
    truth = epochs[0].truth
    inside = (np.abs(truth.x - 155) < 120) & (np.abs(truth.y - 150) < 120)
    star = np.flatnonzero(inside)[np.argmin(np.abs(truth.mag[inside] - 20.4))]
    place = float(truth.ra[star]), float(truth.dec[star])
    ids = archive.images(*place)["image_id"].tolist()
    assert len(ids) == 4
    assert archive.measure_completeness(image_ids=ids[:3]).n_failed == 0
    return archive, place, ids


def test_an_epoch_has_the_limits_of_its_place_and_the_probability_of_its_star(judged):
    archive, place, ids = judged
    curve = archive.light_curve(*place, complete=True).data
    assert list(curve.image_id) == ids
    flux = curve.groupby(curve.filtercode.astype(str)).flux_ujy.median()
    for code, mag in (23.9 - 2.5 * np.log10(flux)).items():
        own = curve[curve.filtercode == code].reset_index(drop=True)
        truth = archive.completeness(*place, mag=mag, filters=code)
        pd.testing.assert_frame_equal(own[NAMES], truth[NAMES], rtol=1e-9)
    assert curve[NAMES].iloc[3].isna().all()  # the image was not judged
    judged_rows = curve.iloc[:3]
    assert (judged_rows.limit90 < judged_rows.limit50).all() and judged_rows.p_detect.between(0.0, 1.0).all()
    # brighter than the limit is found more often than not, and fainter less often
    faint = archive.light_curve(*place, complete=True, mag=float(judged_rows.limit50.max()) + 0.5).data.iloc[:3]
    bright = archive.light_curve(*place, complete=True, mag=float(judged_rows.limit90.min()) - 0.5).data.iloc[:3]
    assert (faint.p_detect < 0.5).all() and (bright.p_detect > 0.9).all()
    np.testing.assert_array_equal(faint.limit50, judged_rows.limit50)


def test_an_empty_place_has_limits_and_a_probability_for_a_magnitude_alone(judged):
    archive, place, _ = judged
    empty = place[0] + 8 / 3600, place[1]
    near = archive.cone(*empty, 6.0)
    assert near.empty
    curve = archive.light_curve(*empty, complete=True).data
    asked = archive.light_curve(*empty, complete=True, mag=19.0).data
    truth = archive.completeness(*empty, mag=19.0)
    pd.testing.assert_frame_equal(asked[NAMES], truth[NAMES], rtol=1e-9)
    assert asked.p_detect.notna().sum() == 3 and curve.limit50.notna().sum() == 3
    # without a star of positive median flux there is no magnitude to judge by
    positive = curve.groupby(curve.filtercode.astype(str)).flux_ujy.transform("median") > 0
    np.testing.assert_array_equal(curve.p_detect.notna(), positive & curve.limit50.notna())


def test_many_positions_are_as_each_alone(judged):
    archive, place, _ = judged
    ra, dec = np.array([place[0], place[0] + 8 / 3600, place[0] + 20.0]), np.array([place[1]] * 3)
    for options in ({}, {"mag": 20.0}, {"measure": "none"}):
        many = archive.light_curves({"ra": ra, "dec": dec}, complete=True, **options)
        alone = [archive.light_curve(*one, complete=True, **options).data for one in zip(ra, dec, strict=True)]
        assert len(many) and list(many["position"].unique()) <= [0, 1]
        expected = pd.concat([one[NAMES] for one in alone if len(one)], ignore_index=True)
        pd.testing.assert_frame_equal(many[NAMES], expected, rtol=1e-12)


def test_a_magnitude_goes_with_complete_light_curves_and_is_a_number(judged):
    archive, place, _ = judged
    with pytest.raises(OptionError, match="'mag' with complete=True only"):
        archive.light_curve(*place, mag=20.0)
    for wrong, wanted in ((np.nan, "a magnitude"), (np.inf, "a magnitude"), ("faint", "a number")):
        with pytest.raises(ValueError, match=f"mag {wrong!r}: expected {wanted}"):
            archive.light_curve(*place, complete=True, mag=wrong)
    assert not set(NAMES) & set(archive.light_curve(*place).columns)


def test_both_engines_say_the_same(both_urls, epochs):
    answers = []
    for url in both_urls.values():
        with ztfdb.open(url, create=True) as archive:
            archive.ingest([epoch.sci for epoch in epochs], jobs=1, completeness=True)
            truth = epochs[0].truth
            ra, dec = truth.ra[:20], truth.dec[:20]
            answers.append(archive.light_curves({"ra": ra, "dec": dec}, complete=True, measure="none", mag=20.3))
    assert answers[0].p_detect.notna().mean() > 0.9
    pd.testing.assert_frame_equal(*answers)
