"""Values of DALI's parameters: positions and shapes, intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ztfdb.adql.geometry import MAX_CORNERS
from ztfdb.serve.errors import ServiceError, has_own_words
from ztfdb.serve.params import Parameters, number, shown
from ztfdb.sky.shapes import SkyCircle, SkyPolygon, SkyRange, SkyShape


def shapes(params: Parameters, names: Sequence[str] = ("POS",)) -> list[SkyShape]:
    """Return the shapes of the parameters: ``POS=CIRCLE ra dec r`` and so on, ``CIRCLE=ra dec r``, ``POLYGON=…``.

    Raises
    ------
    ServiceError
        If one is invalid; the message names the parameter.
    """
    found: list[SkyShape] = []
    for name in names:
        for value in params.all(name):
            words = value.replace(",", " ").split()
            kind = words.pop(0).upper() if name == "POS" and words else name
            found.append(_shape(name, kind, words, value))
    return found


def _shape(name: str, kind: str, words: list[str], value: str) -> SkyShape:
    try:
        if kind == "CIRCLE" and len(words) == 3:
            ra, dec = _position(name, *words[:2])
            return SkyCircle(ra, dec, number(name, words[2], 0.0, 180.0))
        if kind == "RANGE" and len(words) == 4:
            return _range(name, [_end(name, word) for word in words])
        if kind == "POLYGON" and 6 <= len(words) <= 2 * MAX_CORNERS and len(words) % 2 == 0:
            corners = [_position(name, *words[at : at + 2]) for at in range(0, len(words), 2)]
            return SkyPolygon(tuple(ra for ra, _ in corners), tuple(dec for _, dec in corners))
    except ValueError as exc:
        if not has_own_words(exc):
            raise
        raise ServiceError(f"{name} is {shown(value)}: {exc}") from exc
    wanted = {"CIRCLE": "ra dec radius", "POLYGON": f"ra dec of 3 to {MAX_CORNERS} corners"}
    expected = wanted.get(name, "CIRCLE ra dec radius, RANGE ra1 ra2 dec1 dec2 or POLYGON ra1 dec1 …")
    raise ServiceError(f"{name} is {shown(value)}, expected {expected}, in degrees")


def _position(name: str, ra: str, dec: str) -> tuple[float, float]:
    return number(name, ra, -360.0, 720.0) % 360.0, number(name, dec, -90.0, 90.0)


def _range(name: str, ends: list[float]) -> SkyRange:
    ra1, ra2, dec1, dec2 = ends
    if ra1 == -math.inf or ra2 == math.inf:
        ra1, ra2 = (0.0, 360.0) if not (math.isfinite(ra1) or math.isfinite(ra2)) else (max(ra1, 0.0), min(ra2, 360.0))
    dec1, dec2 = max(dec1, -90.0), min(dec2, 90.0)
    if not (-360.0 <= ra1 <= 720.0 and -360.0 <= ra2 <= 720.0 and dec1 <= dec2):
        raise ServiceError(f"{name}: RANGE is ra1 ra2 dec1 dec2 with dec1 <= dec2 in -90..90")
    if ra2 < ra1:
        raise ServiceError(f"{name}: RANGE has ra1 {ra1:g} beyond ra2 {ra2:g}; across RA 0, ask for two ranges")
    return SkyRange(ra1, ra2, dec1, dec2)


def intervals(params: Parameters, name: str, *, scalar: bool = True) -> list[tuple[float, float]]:
    """Return the intervals of a parameter; ends are included and may be infinite; a single number is both ends.

    Raises
    ------
    ServiceError
        If one is invalid.
    """
    found = []
    for value in params.all(name):
        words = value.replace("/", " ").split()
        if len(words) == 1 and scalar:
            words *= 2
        if len(words) != 2:
            raise ServiceError(f"{name} is {shown(value)}, expected two numbers, low and high; -Inf and +Inf are open")
        low, high = (_end(name, word) for word in words)
        if low > high:
            raise ServiceError(f"{name} is {shown(value)}: the first number is above the second")
        found.append((low, high))
    return found


def _end(name: str, word: str) -> float:
    if word.lower() in ("inf", "+inf", "-inf"):
        return float(word)
    return number(name, word)
