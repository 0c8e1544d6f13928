"""Cache of translations by the shape of a statement: an earlier translation is filled with other numbers.

A template is the SQL of a shape with placeholders for texts computed from the variable numbers (`ztfdb.adql.slots`):
the numbers themselves, sines and cosines, ranges of cells. Templates are derived automatically: the translator
translates the statement with probe numbers, which are then located in its SQL. A template is cached only if it
reproduces, character by character, the translations of the statement itself and of a second set of numbers. Other
shapes are translated every time.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ztfdb.adql.functions import double
from ztfdb.adql.geometry import half_radius, latitude_cosine
from ztfdb.adql.index import SLACK
from ztfdb.adql.relations import DIALECTS, POSTGRESQL, ranges_text
from ztfdb.adql.slots import CENTRE, RADIUS, Shape, is_integer
from ztfdb.errors import QueryError
from ztfdb.sky.cells import cone_ranges

MOST_SQL = 100_000
"""Maximum characters of a template: with `ztfdb.adql.tables.MOST_SHAPES`, at most 25 MB."""

_PLACE = "\ue000{}\ue001"
_FIND = re.compile("\ue000([^\ue001]*)\ue001")
_RANGES = "ranges"


@dataclass(frozen=True)
class Template:
    """SQL with placeholders.

    Attributes
    ----------
    pieces : tuple of str
        Pieces of SQL; at odd indices the names of computed texts.
    engine : str
    """

    pieces: tuple[str, ...]
    engine: str

    def filled(self, values: Mapping[str, str]) -> str | None:
        """Return the SQL with the numbers of a statement, None if the translator must check them."""
        if not _in_reach(values):
            return None
        texts: dict[str, str] = {}
        made = list(self.pieces)
        for at in range(1, len(made), 2):
            name = made[at]
            if name not in texts:
                texts[name] = _text(name, values, self.engine)
            made[at] = texts[name]
        return "".join(made)


def learn(shape: Shape, engine: str, translated: Callable[[str], Any], own: Any) -> Template | None:
    """Return the template of a shape, None if its translation depends on its numbers in another way.

    Parameters
    ----------
    shape : Shape
    engine : str
    translated : callable
        Returns the `ztfdb.adql.translate.Translation` of a text.
    own : Translation
        The translation of the statement itself.
    """
    if len(own.sql) > MOST_SQL or "\ue000" in own.sql:
        return None
    first, second = (_probe(shape.values, seed) for seed in (1, 2))
    try:
        made, other = translated(shape.with_values(first)), translated(shape.with_values(second))
    except QueryError:
        return None
    template = Template(_pieces(made.sql, first, engine), engine)
    for one, values in ((other, second), (own, shape.values)):
        if template.filled(values) != one.sql or replace(one, sql=made.sql) != made:
            return None
    return template


def _probe(values: Mapping[str, str], seed: int) -> dict[str, str]:
    """Return numbers of the same types and signs, whose digits occur nowhere else."""
    dice = random.Random(seed)
    made = {}
    for name, value in values.items():
        low, high = {"lon": (20.0, 340.0), "lat": (20.0, 70.0), "radius": (0.01, 0.02)}.get(name, (1.0, 1e3))
        whole = not name.startswith(("lon", "lat", "radius")) and is_integer(value)
        digits = str(dice.randrange(10**16, 10**17)) if whole else repr(dice.uniform(low, high))
        made[name] = f"-{digits}" if value.startswith("-") else digits
    return made


def _pieces(sql: str, values: Mapping[str, str], engine: str) -> tuple[str, ...]:
    """Return SQL split at every text that is computed from the numbers."""
    if RADIUS in values:
        sql = _without_ranges(sql, values, engine)
    for name in values:
        for form in _FORMS.get(name, ("real", "whole")):
            sql = sql.replace(_text(f"{form} {name}", values, engine), _PLACE.format(f"{form} {name}"))
    return tuple(_FIND.split(sql))


def _without_ranges(sql: str, values: Mapping[str, str], engine: str) -> str:
    if engine != POSTGRESQL:
        return sql.replace(_text(_RANGES, values, engine), _PLACE.format(_RANGES))
    ranges = _ranges(values)
    first = _condition(*ranges[0])
    while (at := sql.find(first)) >= 0:
        start = sql.rfind("SELECT ", 0, at)
        name = f"{_RANGES} {sql[start:at]}"
        whole = _text(name, values, engine)
        if not sql.startswith(whole, start):
            break  # the rest will not match the translator's output
        sql = sql[:start] + _PLACE.format(name) + sql[start + len(whole) :]
    return sql


_FORMS = {"lon": ("real",), "lat": ("real", "cosine"), RADIUS: ("half", "real")}
"""Texts computed from an angle; a number in a comparison is used itself."""


def _text(name: str, values: Mapping[str, str], engine: str) -> str:
    """Return the text for a placeholder of a template."""
    form, _, rest = name.partition(" ")
    if form == _RANGES:
        ranges = _ranges(values)
        if engine != POSTGRESQL:
            return ranges_text(ranges)
        return " UNION ALL ".join(f"{rest}{_condition(lo, hi)}" for lo, hi in ranges)
    if form == "whole":
        return values[rest].removeprefix("-")
    if not rest.startswith("c"):
        value = float(values[rest])
        return _real({"cosine": latitude_cosine, "half": half_radius}.get(form, float)(value), engine)
    return _real(float(values[rest].removeprefix("-")), engine)  # the sign precedes it


def _ranges(values: Mapping[str, str]) -> list[tuple[int, int]]:
    lon, lat, radius = (float(values[name]) for name in (*CENTRE, RADIUS))
    _, lo, hi = cone_ranges(lon % 360.0, lat, min(648000.0, radius * SLACK * 3600.0))
    return list(zip(lo.tolist(), hi.tolist(), strict=True))


def _condition(lo: int, hi: int) -> str:
    return f'"_t"."hpx29" >= {lo} AND "_t"."hpx29" < {hi}'


def _real(value: float, engine: str) -> str:
    """Return a double in the translator's format."""
    below, above = _real_form(value < 0, engine)
    return f"{below}{abs(value)!r}{above}"


@cache
def _real_form(negative: bool, engine: str) -> tuple[str, str]:
    below, _, above = double(-0.125 if negative else 0.125).sql(dialect=DIALECTS[engine]).partition("0.125")
    return below, above


def _in_reach(values: Mapping[str, str]) -> bool:
    """Return whether the numbers are valid; if not, the translator raises the error."""
    numbers = {name: float(value) for name, value in values.items()}
    if not all(map(math.isfinite, numbers.values())):
        return False
    return RADIUS not in values or (abs(numbers["lat"]) <= 90.0 and 0.0 <= numbers[RADIUS] <= 180.0)
