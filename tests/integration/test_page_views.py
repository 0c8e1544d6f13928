"""What the page shows beside the light curve: periods, objects, the sky, coverage, answers as plots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright, of the group oracles, is not installed")

import ztfdb
from tests.support.browsing import NEEDS_CHROMIUM, ready, show, state
from tests.support.postgres import ENGINES
from tests.support.serving import reader_url
from tests.support.variables import PERIOD_D, make_variable
from ztfdb.errors import QueryError

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Thirty exposures of a field with a variable star, and its stars as a catalogue."""
    folder = tmp_path_factory.mktemp("variable")
    made = make_variable(folder)
    mags = dict.fromkeys(("gMeanPSFMag", "rMeanPSFMag", "iMeanPSFMag"), made.stars["mag"])
    table = {"objID": np.arange(len(made.stars)) + 2**60, "raMean": made.stars["ra"], "decMean": made.stars["dec"]}
    pd.DataFrame(table | mags).to_csv(folder / "ps1.csv", index=False)
    return folder, made


@pytest.fixture(scope="module", params=ENGINES)
def held(request, field, databases):
    """URL of an archive of these exposures, with objects and PS1; where the variable is."""
    folder, made = field
    url = databases.migrated(request.param)
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder / "images").failed == 0
        archive.import_catalogue("ps1", folder / "ps1.csv")
        archive.build_objects()
    yield reader_url(url), (round(made.ra, 6), round(made.dec, 6))
    databases.drop(url)


def powers(page) -> pd.DataFrame:
    return pd.DataFrame(page.evaluate("() => document.getElementById('powers').powers"))


def test_the_proposed_period_is_the_archives_and_folds_the_curve(page, served, held, local):
    ra, dec = held[1]
    show(page, served, f"{ra} {dec}")
    page.click("#find-period")
    page.wait_for_selector("#peaks td")
    truth = local.periodogram(ra, dec, complete=True)
    seen = powers(page)
    np.testing.assert_array_equal(seen["power"], truth.data["power"])
    np.testing.assert_array_equal(seen["frequency"], truth.data["frequency"])
    typed = float(page.input_value("#period"))
    width = 1.0 / truth.meta["baseline"]
    assert abs(1 / typed - 1 / truth.period) < 0.03 * width and abs(1 / typed - 1 / PERIOD_D) < 0.2 * width
    assert page.input_value("#x") == "phase"
    assert len(page.evaluate("() => document.getElementById('plot').drawn")) == 60  # each epoch twice
    assert f"{truth.meta['n_frequency']:,} frequencies, from 30 epochs in zg, zr" in page.inner_text("#periods-said")
    page.click("#double")
    assert float(page.input_value("#period")) == pytest.approx(2 * typed)
    page.click("#halve")
    assert float(page.input_value("#period")) == typed
    page.click("#peaks tr:nth-child(2) button")
    second = truth.peaks["period"].iloc[1]
    assert float(page.input_value("#period")) == pytest.approx(second, rel=1e-3)


@pytest.mark.filterwarnings("ignore::ztfdb.errors.EmptyAnswerWarning")
def test_a_periodogram_is_the_archives_over_http(served, held, local):
    with ztfdb.open(served.base) as remote:
        for options in ({}, {"complete": True, "filters": "zg", "max_period": 9.0, "oversampling": 3.0}):
            theirs, ours = (one.periodogram(*held[1], **options) for one in (remote, local))
            pd.testing.assert_frame_equal(theirs.data, ours.data, check_exact=True)
            pd.testing.assert_frame_equal(theirs.peaks, ours.peaks, check_exact=True)
            assert theirs.meta == ours.meta and repr(theirs) == repr(ours)
        for archive in (remote, local):
            with pytest.raises(QueryError, match="0 epochs"):
                archive.periodogram(0.0, 0.0)


def test_a_search_is_in_the_address_and_has_bounds(page, served, held, local, browser):
    ra, dec = held[1]
    show(page, served, f"{ra} {dec}")
    page.click("#periods summary")
    page.select_option("#pfilter", "zr")
    page.fill("#pmin", "0.3")
    page.fill("#pmax", "5")
    page.click("#search button")
    page.wait_for_selector("#peaks td")
    truth = local.periodogram(ra, dec, complete=True, filters="zr", min_period=0.3, max_period=5.0)
    np.testing.assert_array_equal(powers(page)["power"], truth.data["power"])
    assert truth.meta["n_epoch"] == 15
    other = browser.new_page()
    other.goto(page.evaluate("location.href"))
    ready(other)
    other.wait_for_selector("#peaks td")
    pd.testing.assert_frame_equal(powers(other), powers(page))
    assert other.input_value("#period") == page.input_value("#period") and state(other, "x") == "phase"
    other.close()
    page.allowed.append("status of 400")
    page.fill("#pmin", "0.00001")
    page.click("#search button")
    page.wait_for_selector("#periods-said >> text=at most 500000 are searched")
    assert page.is_hidden("#powers")
    page.fill("#pmin", "6")
    page.click("#search button")
    page.wait_for_selector("#periods-said >> text=min_period 6 d is not below max_period 5 d")
