"""The options of a light curve are checked once, in all their spellings."""

import numpy as np
import pytest
from astropy.time import Time

from ztfdb.query.request import light_curve_request


@pytest.mark.parametrize(
    ("filters", "fids"),
    [
        ("zg", {1}),
        ("r", {2}),
        (3, {3}),
        (np.int64(1), {1}),
        (["zg", "i"], {1, 3}),
        ("2", {2}),
        ("ZTF_r", {2}),
        ("ZG", {1}),
        ((), set()),
        (None, None),
    ],
)
def test_filters_have_many_spellings(filters, fids):
    assert light_curve_request(filters=filters).fids == (None if fids is None else frozenset(fids))


@pytest.mark.parametrize("filters", ["g'", "y", 4, 0, ["zg", "zz"]])
def test_a_filter_that_ztf_does_not_have_is_refused(filters):
    with pytest.raises(ValueError, match="expected zg, zr or zi"):
        light_curve_request(filters=filters)


def test_an_open_end_of_a_time_range_is_infinite():
    assert light_curve_request(mjd=(58000.0, None)).mjd == (58000.0, np.inf)
    assert light_curve_request(mjd=(None, 58000)).mjd == (-np.inf, 58000.0)
    assert light_curve_request().mjd == (-np.inf, np.inf)


@pytest.mark.parametrize("mjd", [(58002.0, 58001.0), ("2020-09-25", "2020-09-24")])
def test_times_that_are_no_range_are_refused(mjd):
    with pytest.raises(ValueError, match="in order"):
        light_curve_request(mjd=mjd)


@pytest.mark.parametrize(
    "mjd", [(np.nan, 58001.0), (58001.0, np.nan), (1.0, None), (None, 2459116.5), 58001.0, "today"]
)
def test_times_that_are_none_of_ztf_are_refused_naming_mjd(mjd):
    with pytest.raises(ValueError, match="MJD"):
        light_curve_request(mjd=mjd)


def test_times_are_dates_too():
    assert light_curve_request(mjd=("2020-09-24", Time("2020-09-25"))).mjd == (59116.0, 59117.0)


@pytest.mark.parametrize("aperture", [0, 7, -1, 2.5, "4"])
def test_an_aperture_is_one_of_six(aperture):
    with pytest.raises(ValueError, match="1 to 6"):
        light_curve_request(aperture=aperture)


def test_fields_are_integers():
    assert light_curve_request(fields=651).fields == {651}
    assert light_curve_request(fields=[651, np.int32(652)]).fields == {651, 652}
