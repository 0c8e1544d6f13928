"""Find the numbers of a statement that may change without changing the structure of its translation.

Two statements of one shape differ only in such numbers: the centre and radius of the one circle (or DISTANCE) in their
conditions, and numbers that are compared with columns. Everything else is part of the shape, for example TOP, OFFSET,
positions in ORDER BY, digits of ROUND, texts, IN lists, and polygons, on which the translation depends.

One regular expression splits a statement, 10 times as fast as the parser's tokenizer. It need not follow the grammar:
statements of one shape have the same tokens, any whitespace between them, and any numbers in place of numbers.
Statements with comments or characters outside ADQL have no shape.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORDS = {
    "(": "(", ")": ")", ",": ",", ".": ".", "-": "-", "=": "=", "<>": "=", "!=": "=", "<": "<", ">": "<", "<=": "<",
    ">=": "<", "CIRCLE": "C", "POINT": "P", "DISTANCE": "D", "AND": "&", "OR": "|", "BETWEEN": "B", "SELECT": "S",
    "WHERE": "W", "ON": "W", "FROM": "X", "JOIN": "X", "GROUP": "X", "ORDER": "X", "HAVING": "X", "UNION": "X",
    "EXCEPT": "X", "INTERSECT": "X", "OFFSET": "X", "INNER": "X", "LEFT": "X", "RIGHT": "X", "FULL": "X", "CROSS": "X",
    "NOT": "?",
}  # fmt: skip
"""One letter for each kind of token; names are ``i``, numbers ``n``, texts ``s``, all others ``?``."""

_PLAIN = re.compile(r"""(?:[\w\s(),.+*/=<>!|-]|'[^'\\]*'|"[^"\\]*")*""", re.ASCII)
_PART = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_]\w*|\d[\w.]*(?:(?<=[eE])[+-]\d+)?|[+*/=<>!|-]+|\S""", re.ASCII
)
_NUMBER = re.compile(r"(?:0|[1-9]\d{0,17})|\d{1,18}\.\d*(?:[eE][+-]?\d{1,2})?|\d{1,18}[eE][+-]?\d{1,2}")
_INTEGER = re.compile(r"\d+")

_COLUMN = r"i(?:\.i)*"
_NUMBERS = r"-?n,-?n"
_AT_NUMBERS = rf"P\((?:s,)?{_NUMBERS}\)"
_AT_COLUMNS = rf"P\((?:s,)?{_COLUMN},{_COLUMN}\)"
_END = r"(?=[&|)XSW]|$)"

_CIRCLE = re.compile(rf"C\((?:s,)?(?:{_AT_NUMBERS}|{_NUMBERS}),n\)")
_DISTANCE = re.compile(
    rf"D\((?:{_AT_COLUMNS},{_AT_NUMBERS}|{_AT_NUMBERS},{_AT_COLUMNS}|{_COLUMN},{_COLUMN},{_NUMBERS}|"
    rf"{_NUMBERS},{_COLUMN},{_COLUMN})\)<n{_END}"
)
_PLACE = re.compile(rf"{_AT_NUMBERS}|(?<=D\(){_NUMBERS}|(?<=,){_NUMBERS}(?=\))")
"""Two numbers that may repeat the centre of the circle, as in ``DISTANCE`` of a SELECT list."""

_COMPARED = re.compile(rf"(?<=i)[=<](-?n){_END}|(?<=i)B(-?n)&(-?n){_END}")

CENTRE, RADIUS = ("lon", "lat"), "radius"


@dataclass(frozen=True)
class Shape:
    """A statement without its variable numbers.

    Attributes
    ----------
    key : bytes
        Key of everything else.
    values : mapping of str to str
        The numbers as written, with sign: ``lon``, ``lat``, ``radius``, and ``c0`` and so on of comparisons.
    text : str
        The statement.
    slots : mapping of int to str
        The names of the numbers by the index of their token.
    """

    key: bytes
    values: Mapping[str, str]
    text: str
    slots: Mapping[int, str]

    def with_values(self, values: Mapping[str, str]) -> str:
        """Return the statement with other numbers of the same signs."""
        made, at = [], 0
        for number, part in enumerate(_PART.finditer(self.text)):
            if number in self.slots:
                made += [self.text[at : part.start()], values[self.slots[number]].removeprefix("-")]
                at = part.end()
        return "".join([*made, self.text[at:]])


def shape_of(text: str) -> Shape | None:
    """Return the shape of a statement, None if it has no variable number or is not plain."""
    if "--" in text or "/*" in text or not _PLAIN.fullmatch(text):
        return None
    parts = _PART.findall(text)
    kinds = "".join(map(_kind, parts))
    slots = _slots(kinds, parts)
    if not slots:
        return None
    values = {name: _signed(at, kinds, parts) for at, name in slots.items()}
    for at, name in slots.items():
        parts[at] = f"\1{name}"
        if name not in (*CENTRE, RADIUS) and is_integer(values[name]):
            parts[at] += "i"  # in a comparison, an integer has another type than a real number
    key = hashlib.blake2b("\0".join(parts).encode(), digest_size=16)
    return Shape(key.digest(), values, text, slots)


def is_integer(value: str) -> bool:
    """Return whether a number is an integer."""
    return _INTEGER.fullmatch(value.removeprefix("-")) is not None


def _kind(part: str) -> str:
    word = part.upper()
    if word in _WORDS:
        return _WORDS[word]
    if part[0].isdigit():
        return "n" if _NUMBER.fullmatch(part) else "?"
    return "s" if part[0] == "'" else "i" if part[0] == '"' or part[0] == "_" or part[0].isalpha() else "?"


def _slots(kinds: str, parts: Sequence[str]) -> dict[int, str]:
    """Return the names of the variable numbers by the index of their token."""
    in_conditions = _conditions(kinds)
    rounds = [match for form in (_CIRCLE, _DISTANCE) for match in form.finditer(kinds)]
    found = {}
    if len(rounds) == 1 and in_conditions[rounds[0].start()]:
        (one,) = rounds
        if one.re is _CIRCLE or not is_integer(parts[one.end() - 1]):  # else compared as an integer
            found = _round_slots(one, kinds, parts)
    compared: list[int] = []
    for match in _COMPARED.finditer(kinds):
        if in_conditions[match.start()]:
            compared += [match.end(group) - 1 for group in (1, 2, 3) if match.start(group) >= 0]
    return found | {at: f"c{number}" for number, at in enumerate(compared) if at not in found}


def _round_slots(match: re.Match[str], kinds: str, parts: Sequence[str]) -> dict[int, str]:
    """Return the slots of a circle, and of other occurrences of its centre with the same text."""
    numbers = [at for at in range(match.start(), match.end()) if kinds[at] == "n"]
    lon, lat, radius = numbers
    found = {lon: CENTRE[0], lat: CENTRE[1], radius: RADIUS}
    signed = [_signed(at, kinds, parts) for at in (lon, lat)]
    for place in _PLACE.finditer(kinds):
        pair = [at for at in range(place.start(), place.end()) if kinds[at] == "n"]
        if not found.keys() & set(pair) and [_signed(at, kinds, parts) for at in pair] == signed:
            found |= dict(zip(pair, CENTRE, strict=True))
    return found


def _signed(at: int, kinds: str, parts: Sequence[str]) -> str:
    return ("-" if kinds[at - 1] == "-" else "") + parts[at]


def _conditions(kinds: str) -> list[bool]:
    """Return for each token whether it is in a condition of WHERE or ON."""
    states = [False]
    made: list[bool] = []
    for kind in kinds:
        if kind == "(":
            states.append(states[-1])
        elif kind == ")" and len(states) > 1:
            states.pop()
        elif kind == "W":
            states[-1] = True
        elif kind in "SX":
            states[-1] = False
        made.append(states[-1])
    return made
