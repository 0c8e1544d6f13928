"""Check the values of arguments by the annotation of their parameter, and convert them to plain ones of Python."""

from __future__ import annotations

import ast
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, get_args, get_origin

import numpy as np

from ztfdb.codes import FILTERS, N_APERTURE, fid_of

Converter: TypeAlias = Callable[[str, Any], Any]
"""Returns the value of a named argument; a ValueError names the value and what is expected."""

MOST_SHOWN = 80
"""Characters of a wrong value in an error."""

CATALOGUE_NAME = r"[\w.+-]{1,64}"
"""Regular expression of names of catalogues."""

MOST_EXACT = 2.0**53
"""Whole doubles up to here are exact."""


def shown(value: Any) -> str:
    """Return a value as errors show it: on one line, and short."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of thousands of digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def whole(name: str, value: Any, *, low: int = -(2**63), wanted: str = "a whole number of at most 64 bits") -> int:
    """Return a whole number of any type; doubles count if they are exact, booleans and texts do not."""
    number = _whole(value)
    if number is None or not low <= number < 2**63:
        raise ValueError(f"{name} {shown(value)}: expected {wanted}")
    return number


def count(name: str, value: Any) -> int:
    """Return a whole number, 1 or more."""
    return whole(name, value, low=1, wanted="a whole number, 1 or more")


def whole_numbers(name: str, value: Any) -> list[int]:
    """Return the whole numbers of a list or column, or a single one."""
    one = _whole(value)
    if one is not None:
        return [whole(name, one)]
    return [whole(f"{name}: element", one) for one in _elements(name, value, "whole numbers")]


def one_or_more(name: str, value: Any) -> int | list[int]:
    """Return a whole number as it is, and several as a list."""
    return whole_numbers(name, value) if _whole(value) is None else whole(name, value)


def real(name: str, value: Any) -> float:
    """Return a number; booleans and texts are none."""
    if type(value) is float:
        return value
    try:
        if not isinstance(value, bool | np.bool_ | str | bytes) and value is not np.ma.masked and np.ndim(value) == 0:
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} {shown(value)}: expected a number")


def arcsec(name: str, value: Any) -> float:
    """Return a radius without a unit."""
    radius = real(name, value)
    if not 0.0 <= radius < np.inf:
        raise ValueError(f"a {name} of {radius} arcsec: expected a number, 0 or more")
    return radius


def aperture(name: str, value: Any) -> int:
    """Return the number of an aperture."""
    number = _whole(value)
    if number is None or not 1 <= number <= N_APERTURE:
        raise ValueError(f"{name} {shown(value)}: expected 1 to {N_APERTURE}")
    return number


def text(name: str, value: Any) -> str:
    """Return a text that a database and a service can take."""
    if not isinstance(value, str):
        raise ValueError(f"{name} {shown(value)}: expected a text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} {shown(value)}: expected a text that is UTF-8") from None
    return str(value)


def catalogue(name: str, value: Any) -> str:
    """Return what can be the name of a catalogue."""
    if not isinstance(value, str) or not re.fullmatch(CATALOGUE_NAME, value):
        raise ValueError(f"{name} {shown(value)}: expected the name of a catalogue (letters, digits, - _ .)")
    return str(value)


def texts(name: str, value: Any) -> list[str]:
    """Return the texts of a list; a text by itself would be a list of its letters."""
    found = [] if isinstance(value, str) else _elements(name, value, "names")
    if isinstance(value, str) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{name} {shown(value)}: expected a list of names")
    return list(map(str, found))


def word_of(words: tuple[str, ...]) -> Converter:
    """Return a converter of one of some words."""

    def word(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{name} {shown(value)}: expected {', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return word


def filters(name: str, value: Any) -> list[str]:
    """Return the codes of one filter or several, each by any of its names."""
    single = isinstance(value, str) or _whole(value) is not None
    return [FILTERS[fid_of(one)] for one in ([value] if single else _elements(name, value, "filters"))]


def path(name: str, value: Any) -> Any:
    """Return a path as it is."""
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise ValueError(f"{name} {shown(value)}: expected a path")
    return value


def paths(name: str, value: Any) -> list[Any]:
    """Return one path or several as a list."""
    found = [value] if isinstance(value, str | os.PathLike) else _elements(name, value, "paths")
    if not all(isinstance(one, str | os.PathLike) for one in found):
        raise ValueError(f"{name} {shown(value)}: expected paths")
    return found


def mapping(name: str, value: Any) -> Any:
    """Return a mapping by texts as it is."""
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} {shown(value)}: expected a mapping of names")
    return value


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return two values in their order."""
    ordered = not isinstance(value, str | bytes | Mapping) and hasattr(value, "__getitem__")
    found = tuple(value) if ordered and getattr(value, "ndim", 1) == 1 and _is_iterable(value) else ()
    if len(found) != 2:
        raise ValueError(f"{name} {shown(value)}: expected (first, last), two MJDs or dates; None leaves an end open")
    return found


def function(name: str, value: Any) -> Any:
    """Return what can be called as it is."""
    if not callable(value):
        raise ValueError(f"{name} {shown(value)}: expected a function")
    return value


KINDS: dict[str, Converter] = {
    "int": whole,
    "Aperture": aperture,
    "Arcsec": arcsec,
    "CatalogueName": catalogue,
    "Count": count,
    "float": real,
    "str": text,
    "str | Path": path,
    "str | Path | Iterable[str | Path]": paths,
    "int | Iterable[int]": one_or_more,
    "Iterable[str | int] | str | int": filters,
    "tuple[Moment, Moment]": pair,
    **dict.fromkeys(("Sequence[int]", "Iterable[int]", "Iterable[int] | int"), whole_numbers),
    "Sequence[str]": texts,
    **dict.fromkeys(("Mapping[str, str | Path]", "Mapping[str, str]", "Mapping[str, Any]", "dict[str, Any]"), mapping),
    **dict.fromkeys(("Progress", "IngestProgress", "FileProgress"), function),
    **{f"Callable[[{given}], None]": function for given in ("int", "str", "str, int, int")},
}
"""The converter of each annotation; positions, angles and times have readers of their own (`ztfdb.query.given`)."""


def converter(annotation: Any, names: Mapping[str, Any]) -> Converter | None:
    """Return the converter of an annotation, None if its values are not checked here.

    Parameters
    ----------
    annotation : str or ForwardRef
    names : mapping
        What the words of the annotation mean: the globals of its module.
    """
    written = getattr(annotation, "__forward_arg__", annotation)
    meant = names.get(written)
    if isinstance(meant, str):  # an alias that is a text itself
        written = meant
    kind = str(written).removesuffix(" | None")
    meant = names.get(kind)
    if get_origin(meant) is Literal:
        found: Converter | None = word_of(get_args(meant))
    elif kind.startswith("Literal["):
        found = word_of(ast.literal_eval(f"({kind[8:-1]},)"))
    elif kind.endswith("Settings"):
        found = _settings(kind)
    else:
        found = KINDS.get(kind)
    return found if found is None or kind == written else _optional(found)


def _settings(kind: str) -> Converter:
    def settings(name: str, value: Any) -> Any:
        if not {one.__name__ for one in type(value).__mro__} & set(kind.split(" | ")):
            raise ValueError(f"{name} {shown(value)}: expected {kind.replace(' | ', ' or ')}")
        return value

    return settings


def _optional(convert: Converter) -> Converter:
    return lambda name, value: None if value is None else convert(name, value)


def _whole(value: Any) -> int | None:
    """Return a value as an integer, None if it is no whole number."""
    if type(value) is int:
        return value
    if isinstance(value, bool | np.bool_) or np.ma.is_masked(value):
        return None
    if isinstance(value, float | np.floating):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) <= MOST_EXACT else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _is_iterable(value: Any) -> bool:
    try:
        iter(value)
    except TypeError:
        return False
    return True


def _elements(name: str, value: Any, of: str) -> list[Any]:
    """Return the elements of a list, a set, a column or an array of one dimension."""
    listed = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    if not listed or getattr(value, "ndim", 1) != 1 or not _is_iterable(value):
        raise ValueError(f"{name} {shown(value)}: expected a list of {of}")
    return value.tolist() if type(value) is np.ndarray and value.dtype.kind in "iu" else list(value)
