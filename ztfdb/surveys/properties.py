"""The properties files of HATS: Java's ``key=value`` lines."""

from __future__ import annotations

import re

_PAIR = re.compile(r"((?:\\.|[^\\=:\s])+)\s*[=:\s]\s*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


def parse_properties(text: str) -> dict[str, str]:
    """Return the values of a properties file.

    Lines that begin with ``#`` or ``!`` are comments; a line that ends in a single backslash continues on the next one.
    """
    found: dict[str, str] = {}
    for line in _lines(text):
        pair = _PAIR.fullmatch(line)
        if pair is not None:
            found[_unescaped(pair[1])] = _unescaped(pair[2])
    return found


def _lines(text: str) -> list[str]:
    lines: list[str] = []
    goes_on = False
    for line in text.splitlines():
        line = line.lstrip()
        if not goes_on and (not line or line[0] in "#!"):
            continue
        if goes_on:
            line = lines.pop() + line
        goes_on = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        lines.append(line[:-1] if goes_on else line)
    return lines


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _PLAIN.get(m[2], m[2]), text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
