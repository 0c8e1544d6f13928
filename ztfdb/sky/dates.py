"""Times and nights in the forms that users write: MJD, ISO dates, ``today``."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arguments import shown
from ztfdb.sky.given import is_a
from ztfdb.sky.motion import julian_year
from ztfdb.sky.times import MJD_ZERO

MJD_DAY_ZERO = datetime(1858, 11, 17, tzinfo=UTC)

ZTF_MJD = (57754.0, 73415.0)
"""2017-01-01 to 2060-01-01: ZTF's first light was in October 2017, and its images end at some time."""

ZTF_NIGHTS = (20170101, 20591231)

_COMPACT = re.compile(r"\d{8}")
_EIGHT_DIGITS = (10_000_000, 100_000_000)


def mjd_of(value: Any, name: str = "time") -> float:
    """Return a time as MJD (UTC).

    Parameters
    ----------
    value : float, str, date, datetime or Time
        MJD; an ISO date with or without a time of day, UTC (``2020-09-24``, ``2020-09-24T10:21:45``, ``20200924``);
        ``today`` (its beginning), ``yesterday`` or ``now``. Infinite numbers stay as they are.
    name : str
        Name of the value, for messages.

    Raises
    ------
    ValueError
        If it is none of these, or outside `ZTF_MJD`.
    """
    if is_a(value, "astropy.time", "Time"):
        mjd = _mjd_of_number(value.utc.mjd, name)
    elif isinstance(value, date | np.datetime64):
        if value != value:  # NaT
            raise ValueError(f"{name} {value}: there is no time")
        mjd = _mjd_of_datetime(_as_datetime(value))
    elif isinstance(value, str):
        mjd = _mjd_of_text(value, name)
    else:
        mjd = _mjd_of_number(value, name)
    if not (math.isinf(mjd) or ZTF_MJD[0] <= mjd <= ZTF_MJD[1]):
        raise ValueError(f"{name} {value}: {_beyond(mjd)}")
    return mjd


def mjds_of(values: Any, name: str) -> NDArray[np.float64]:
    """Return many times, each in a form of `mjd_of`, as an array of MJDs of shape (n,)."""
    if is_a(values, "astropy.time", "Time"):
        values = values.utc.mjd
    plain = np.atleast_1d(np.asarray(values))
    if plain.dtype.kind not in "iuf":
        return np.array([mjd_of(one, name) for one in plain.tolist()])
    mjd = plain.astype(np.float64)
    if len(mjd):
        for one in (mjd.min(), mjd.max()):
            mjd_of(float(one), name)
    return mjd


def night_of(value: Any) -> int:
    """Return a night, a UTC date, as the number YYYYMMDD.

    Parameters
    ----------
    value : int, str, date, datetime or Time
        20200924, ``2020-09-24``, ``today`` or ``yesterday``.

    Raises
    ------
    ValueError
        If it is not a date, or outside ZTF's years.
    """
    if isinstance(value, int | np.integer) or (isinstance(value, str) and value.strip().isdecimal()):
        number = int(value)
        if not _EIGHT_DIGITS[0] <= number < _EIGHT_DIGITS[1]:
            meant = f"; MJD {number} is the night {_night(number)}" if ZTF_MJD[0] <= number <= ZTF_MJD[1] else ""
            raise ValueError(f"night {value} is not a date: expected a UTC date such as 20200924{meant}")
        day = _compact(str(number), "night")
    elif isinstance(value, float):
        raise ValueError(f"night {value} is not a date: expected a UTC date such as 20200924")
    else:
        mjd = mjd_of(value, "night")
        if math.isinf(mjd):
            raise ValueError(f"night {value} is not a date: expected a UTC date such as 20200924")
        day = MJD_DAY_ZERO + timedelta(days=math.floor(mjd))
    night = int(f"{day:%Y%m%d}")
    if not ZTF_NIGHTS[0] <= night <= ZTF_NIGHTS[1]:
        raise ValueError(f"night {value} is outside ZTF's years, {ZTF_NIGHTS[0]} to {ZTF_NIGHTS[1]}")
    return night


def iso_date(mjd: float) -> str:
    """Return the UTC date of an MJD, as in 2020-09-24."""
    return f"{MJD_DAY_ZERO + timedelta(days=math.floor(mjd)):%Y-%m-%d}"


def _night(mjd: float) -> str:
    return iso_date(mjd).replace("-", "")


def _mjd_of_number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ValueError(f"{name} {shown(value)}: expected an MJD, an ISO date or 'today'") from exc
    if math.isnan(number):
        raise ValueError(f"{name} {value!r}: expected an MJD, an ISO date or 'today'")
    if number.is_integer() and _EIGHT_DIGITS[0] <= number < _EIGHT_DIGITS[1]:
        return _mjd_of_datetime(_compact(str(int(number)), name))
    return number


def _mjd_of_text(text: str, name: str) -> float:
    word = text.strip()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    known = {"now": datetime.now(UTC), "today": today, "yesterday": today - timedelta(days=1)}
    if word.lower() in known:
        return _mjd_of_datetime(known[word.lower()])
    if _COMPACT.fullmatch(word):
        return _mjd_of_datetime(_compact(word, name))
    try:
        return float(word)
    except ValueError:
        pass
    try:
        return _mjd_of_datetime(_as_datetime(datetime.fromisoformat(word)))
    except ValueError as exc:
        raise ValueError(f"{name} {text!r}: expected an MJD, an ISO date such as 2020-09-24, or 'today'") from exc


def _compact(digits: str, name: str) -> datetime:
    try:
        return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError as exc:
        raise ValueError(f"{name} {digits} is not a date: expected year, month and day as in 20200924") from exc


def _as_datetime(value: date | np.datetime64) -> datetime:
    if isinstance(value, np.datetime64):
        value = datetime.fromisoformat(str(value.astype("datetime64[us]")))
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _mjd_of_datetime(value: datetime) -> float:
    return (value - MJD_DAY_ZERO) / timedelta(days=1)


def _beyond(number: float) -> str:
    """Return a message about a number outside ZTF's years, with what it may be instead."""
    wanted = f"expected an MJD of ZTF's years, {ZTF_MJD[0]:.0f} to {ZTF_MJD[1]:.0f}"
    if ZTF_MJD[0] <= number - MJD_ZERO <= ZTF_MJD[1]:
        return f"{wanted}; it looks like a JD, whose MJD is {number - MJD_ZERO:.10g}"
    if julian_year(ZTF_MJD[0]) <= number <= julian_year(ZTF_MJD[1]):
        return f"{wanted}, or a date such as {int(number)}-01-01; it looks like a year"
    return wanted
