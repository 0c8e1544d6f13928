"""Times and nights as people write them, against astropy."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from astropy.time import Time

from ztfdb.sky.dates import iso_date, mjd_of, mjds_of, night_of

MICROSECOND = 1e-11  # day; a double holds an MJD to 7e-12


@pytest.mark.parametrize(
    "text", ["2020-09-24", "2020-09-24T10:21:45", "2020-09-24 10:21:45.123456", "2019-02-28T23:59:59", "2020-02-29"]
)
def test_iso_dates_are_astropys(text):
    expected = Time(text, scale="utc").mjd
    for given in (text, f" {text}", np.datetime64(text.replace(" ", "T")), datetime.fromisoformat(text), Time(text)):
        assert mjd_of(given) == pytest.approx(expected, abs=MICROSECOND)


def test_other_forms_of_a_date():
    for given in ("20200924", 20200924, date(2020, 9, 24), "2020-09-24T00:00Z", "2020-09-24T02:00+02:00", "59116"):
        assert mjd_of(given) == 59116.0
    assert mjd_of(np.inf) == np.inf
    assert mjd_of(np.float32(59116.5)) == 59116.5
    assert mjd_of(Time(59116.0, format="mjd", scale="tai")) == pytest.approx(59116.0 - 37 / 86400, abs=1e-9)


def test_today_begins_at_midnight_utc():
    before = Time.now().utc.mjd
    today, yesterday, now = (mjd_of(word) for word in ("Today", "yesterday", "now"))
    assert now == pytest.approx(before, abs=1e-3)
    assert today in (np.floor(before), np.floor(before + 1e-3))
    assert yesterday == today - 1
    assert night_of("today") == int(f"{datetime.now(UTC):%Y%m%d}") or datetime.now(UTC).hour == 0
    assert (
        night_of("yesterday") == int(f"{datetime.now(UTC) - timedelta(days=1):%Y%m%d}") or datetime.now(UTC).hour == 0
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2459116.5, "looks like a JD, whose MJD is 59116"),
        ("2459116.5", "looks like a JD"),
        (2020.7, "looks like a year"),
        (2020, "date such as 2020-01-01"),
        (0, "MJD of ZTF's years, 57754 to 73415"),
        (-5.0, "MJD"),
        ("2010-01-01", "MJD of ZTF's years"),
        (np.nan, "expected an MJD"),
        ("M31", "expected an MJD, an ISO date such as"),
        ("2020-13-01", "expected an MJD, an ISO date"),
        (99999999, "99999999 is not a date"),
        (None, "expected an MJD"),
    ],
)
def test_what_is_no_time_of_ztf_is_refused_naming_mjd(value, words):
    with pytest.raises(ValueError, match=words):
        mjd_of(value, "first")


def test_many_times_are_checked_at_their_ends():
    assert mjds_of(["2020-09-24", "2020-09-25"], "time").tolist() == [59116.0, 59117.0]
    assert mjds_of(Time(["2020-09-24", "2020-09-25"]), "time").tolist() == [59116.0, 59117.0]
    assert mjds_of(np.array([58000.0, 60000.0]), "time").tolist() == [58000.0, 60000.0]
    assert mjds_of([], "time").tolist() == []
    with pytest.raises(ValueError, match=r"time 2459116\.5: .*JD"):
        mjds_of(np.array([58000.0, 2459116.5]), "time")


@pytest.mark.parametrize(
    "value", [20200924, "20200924", "2020-09-24", date(2020, 9, 24), "2020-09-24T08:00", Time("2020-09-24T23:00")]
)
def test_a_night_is_its_utc_date(value):
    assert night_of(value) == 20200924


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (99999999, "night 99999999 is not a date"),
        ("20200931", "night 20200931 is not a date"),
        (19991231, "outside ZTF's years"),
        (59116, "MJD 59116 is the night 20200924"),
        (59116.3, "expected a UTC date"),
        (0, "expected a UTC date such as 20200924"),
        ("last", "night 'last'"),
        ("1e400", "night 1e400 is not a date"),
        ("²0200924", "night '²0200924'"),
    ],
)
def test_what_is_no_night_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        night_of(value)


def test_dates_of_mjds():
    assert [iso_date(mjd) for mjd in (59116.0, 59116.99, 57754.0)] == ["2020-09-24", "2020-09-24", "2017-01-01"]
