"""Parse positions and radii as users type them: decimal degrees or sexagesimal, arcsec or with a unit."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

DASHES = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
"""What papers, pages and word processors print for a minus: hyphens, dashes of a digit's width, the minus itself."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_DECIMAL = re.compile(rf"([+-]?{_NUMBER}(?:e[+-]?\d+)?)\s*(deg|d|°|h)?")
_SEXAGESIMAL = re.compile(
    rf"([+-]?)(\d{{1,3}})\s*([:hd°\s])\s*({_NUMBER})(?:\s*[:m'′\s]\s*(?:({_NUMBER})\s*(?:s|\"|″|'')?)?)?"
)
_DESIGNATION = re.compile(
    r"(?:[A-Za-z][\w.]*[\s_-]*)?J\s?(\d{2})(\d{2})(\d{2}(?:\.\d*)?)\s?([+-])(\d{2})(\d{2})(\d{2}(?:\.\d*)?)"
)
_LABEL = re.compile(r"\b(?:ra|dec|α|δ)\s*[=:]\s*", re.IGNORECASE)
_JOINED = re.compile(r"(?<=[\d.smd\"″'′°])(?=[+\-" + DASHES + r"]\d)")
"""Where a declination follows a right ascension without a blank, as in catalogues' names of positions."""
_RADIUS = re.compile(rf"({_NUMBER}(?:e[+-]?\d+)?)\s*([a-z\"'″′°]*)")
_ARCSEC = {
    **dict.fromkeys(("", "arcsec", "as", '"', "″"), 1.0),
    **dict.fromkeys(("arcmin", "am", "'", "′"), 60.0),
    **dict.fromkeys(("deg", "d", "°"), 3600.0),
}

MINUS = "\u2212"
"""The typographic minus; the command line puts it before negative numbers."""

_PLAIN = str.maketrans(dict.fromkeys(DASHES, "-"))


_FILE = re.compile(r"[/\\]|\.[a-z]{3,7}$", re.IGNORECASE)
"""A path, or a name with a suffix of letters."""


def plain_minus(text: str) -> str:
    """Return `text` with `DASHES` replaced by ASCII minus signs."""
    return text.translate(_PLAIN)


def parse_ra(text: str) -> float:
    """Parse a right ascension.

    Parameters
    ----------
    text : str
        Decimal degrees (``188.7362``, ``188.7362d``), decimal hours (``12.58h``), or sexagesimal hours
        (``12:34:56.7``, ``12h34m56.7s``, ``12 34 56.7``); ``188d44m10s`` is sexagesimal degrees.

    Returns
    -------
    float
        Degrees in [0, 360).

    Raises
    ------
    ValueError
        If it is none of these, or outside -360 … 360 degrees.
    """
    ra = _parse_angle(text, "right ascension", sexagesimal_hours=True)
    if not -360.0 <= ra <= 360.0:
        raise ValueError(f"right ascension {text!r} is outside 0 to 360 deg (0 to 24 h)")
    return ra % 360.0


def parse_dec(text: str) -> float:
    """Parse a declination, degrees: decimal (``-3.2``) or sexagesimal (``-03:12:00``, ``-3d12m``).

    Raises
    ------
    ValueError
        If it is neither, or outside -90 … 90 degrees.
    """
    dec = _parse_angle(text, "declination", sexagesimal_hours=False)
    if not -90.0 <= dec <= 90.0:
        raise ValueError(f"declination {text!r} is outside -90 to 90 deg")
    return dec


def parse_position(words: Sequence[str]) -> tuple[float, float]:
    """Parse a position from one text, from 2 words, or from 2 times 3 words.

    Parameters
    ----------
    words : sequence of str
        ``["188.7", "-3.2"]``, ``["12:34:56.7 +12:34:56"]``, ``["12", "34", "56.7", "+12", "34", "56"]``,
        ``["(188.7, -3.2)"]``, ``["RA=188.7 Dec=-3.2"]``, ``["12:34:56.7+12:34:56"]``, …

    Returns
    -------
    ra, dec : float
        Degrees, ICRS.

    Raises
    ------
    ValueError
        If the words are not a position.
    """
    bare = _LABEL.sub("", " ".join(words)).strip().strip("()[]")
    parts = _JOINED.sub(" ", bare.replace(",", " ")).split()
    if len(parts) not in (2, 6):
        found = " ".join(words) or "nothing"
        wanted = "a position is RA and DEC, as in 188.736 -3.2 or 12:34:56.7 -03:12:00"
        raise ValueError(f"{wanted}; found {found}{name_help(found)}")
    if help_ := name_help(bare):
        raise ValueError(f"{' '.join(words)} is not a position{help_}")
    half = len(parts) // 2
    return parse_ra(" ".join(parts[:half])), parse_dec(" ".join(parts[half:]))


def parse_designation(text: str) -> tuple[float, float] | None:
    """Parse a name that contains its position, such as ``ZTF J035200.70+354411.5``.

    Parameters
    ----------
    text : str
        ``JHHMMSS.ss±DDMMSS.s``, with or without a prefix for the survey.

    Returns
    -------
    tuple of float or None
        ra, dec, degrees; None if it is not such a name. Names are truncated, not rounded: the star is up to one unit of
        the last digits farther from 0 h and from the equator.

    Raises
    ------
    ValueError
        If a part of it is out of range.
    """
    found = _DESIGNATION.fullmatch(plain_minus(text).strip())
    if found is None:
        return None
    parts = found.groups()
    return parse_ra(":".join(parts[:3])), parse_dec(parts[3] + ":".join(parts[4:]))


def name_help(text: str) -> str:
    """Return how to look up the position of a text that looks like an object's name, else nothing.

    A name begins with a letter; it is no number such as ``nan``, and no name of a file.
    """
    if not text[:1].isalpha() or text.split()[0].lower() in {"nothing", "nan", "inf"} or _FILE.search(text):
        return ""
    return f"; astropy looks up a name: SkyCoord.from_name({text!r}).to_string('decimal')"


def parse_radius(text: str) -> float:
    """Parse a radius: a number with an optional unit (arcsec, arcmin, deg; arcsec without one).

    Returns
    -------
    float
        Arcsec.

    Raises
    ------
    ValueError
        If it is not a number, is negative, or has another unit.
    """
    match = _RADIUS.fullmatch(text.strip().lower())
    if match is None or match[2] not in _ARCSEC:
        raise ValueError(f"radius {text!r} is not a number with arcsec, arcmin or deg, such as 3, 3arcsec or 0.1deg")
    radius = float(match[1]) * _ARCSEC[match[2]]
    if not math.isfinite(radius):
        raise ValueError(f"radius {text!r} is not finite")
    return radius


def _parse_angle(text: str, what: str, *, sexagesimal_hours: bool) -> float:
    """Return degrees; colons mean hours if `sexagesimal_hours`; the letters h and d override this."""
    cleaned = plain_minus(text).strip().lower()
    if decimal := _DECIMAL.fullmatch(cleaned):
        return float(decimal[1]) * _degrees_per(decimal[2] or "d", text, what, hours_allowed=sexagesimal_hours)
    match = _SEXAGESIMAL.fullmatch(cleaned)
    if match is None:
        raise ValueError(f"{what} {text!r} is neither decimal degrees nor sexagesimal")
    sign, whole, mark, minutes, seconds = match.groups()
    if float(minutes) >= 60.0 or float(seconds or 0.0) >= 60.0:
        raise ValueError(f"{what} {text!r} has 60 or more minutes or seconds")
    unit = mark if mark in "hd" else "d" if mark == "°" or not sexagesimal_hours else "h"
    value = float(whole) + float(minutes) / 60.0 + float(seconds or 0.0) / 3600.0
    return (-value if sign == "-" else value) * _degrees_per(unit, text, what, hours_allowed=sexagesimal_hours)


def _degrees_per(unit: str, text: str, what: str, *, hours_allowed: bool) -> float:
    if unit != "h":
        return 1.0
    if not hours_allowed:
        raise ValueError(f"{what} {text!r} is in hours; expected degrees")
    return 15.0
