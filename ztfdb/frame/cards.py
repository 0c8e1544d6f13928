"""Read single header cards safely: unreadable, undefined and sentinel values count as absent."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

from astropy.io import fits

AnyHeader: TypeAlias = "fits.Header | Mapping[str, Any]"
"""A header, or the first value of each of its keywords (in upper case)."""

SENTINELS = (-9999.0, -999.0)
"""Values that ZTF and its calibrators write for unknown numbers."""

UNBELIEVABLE = 1e30
"""Larger numbers of a header are refused; results computed from them might overflow."""


def card_value(header: AnyHeader, keyword: str) -> Any:
    """Return a card's value; None if it is absent, undefined or cannot be parsed.

    The first of duplicate cards counts, as in astropy.
    """
    if not isinstance(header, fits.Header):
        return header.get(keyword)
    if keyword not in header:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = header[keyword]
        except (fits.VerifyError, ValueError, TypeError, IndexError):
            return None
    return None if isinstance(value, fits.card.Undefined) else value


def number(header: AnyHeader, *keywords: str) -> float | None:
    """Return the first number below 1e30 among the keywords; text and sentinels (-9999, -999) do not count."""
    for keyword in keywords:
        value = card_value(header, keyword)
        if _is_number(value) and abs(value) < UNBELIEVABLE and value not in SENTINELS:  # false for NaN
            return float(value)
    return None


def integer(header: AnyHeader, *keywords: str) -> int | None:
    """Return the first 64-bit integer among the keywords; digits in quotes count, sentinels do not."""
    for keyword in keywords:
        value = card_value(header, keyword)
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if _is_number(value) and abs(value) < 2**63 and value == int(value) and value not in SENTINELS:
            return int(value)
    return None


def text(header: AnyHeader, keyword: str) -> str | None:
    """Return a card's text without control characters and outer blanks; None if it is empty or absent."""
    value = card_value(header, keyword)
    if value is None:
        return None
    return clean_text(str(value)).strip() or None


def clean_text(value: str) -> str:
    """Drop NUL and other control characters, which are not allowed in database text and disturb terminals."""
    return "".join(c for c in value if c.isprintable())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
