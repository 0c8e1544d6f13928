"""Check the names of options and their values: an error names the public function and suggests the intended option.

Public methods name their options in a TypedDict (`ztfdb.options`), so that `spelled` can check names before anything
runs, and ``help()`` shows them all.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ztfdb.arguments import Converter, converter, shown
from ztfdb.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=type)

ALIASES = {
    "filter": ("filters",),
    "field": ("fields",),
    "image": ("image_id", "image_ids"),
    "image_id": ("image_ids",),
}
"""Names of the command line's options (``--filter zr``), which are accepted as well."""

HINTS = {
    "forced": ("measure", "measure='forced'"),
    "psf": ("measure", "measure='psf'"),
    "psfcat": ("phot", "phot='psfcat'"),
    **dict.fromkeys(("start", "end", "from_", "to"), ("mjd", "mjd=(first, last)")),
}
"""The option, and its spelling, for words that are options of the command line only."""


class _Omitted:
    """Default of an option in a signature; the docstring has the actual one."""

    def __repr__(self) -> str:
        return "..."


_OMITTED = _Omitted()
_UNPACKED = re.compile(r"Unpack\[(\w+)\]")


@functools.cache
def option_names(function: Callable[..., Any]) -> frozenset[str] | None:
    """Return the option names of a function, including those of its ``**options: Unpack[…]``; None if it takes any."""
    parameters = inspect.signature(function).parameters.values()
    names = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        options = _options_of(function)
        if options is None:
            return None
        names |= options.__optional_keys__ | options.__required_keys__
    return frozenset(names - {"self"})


def _converters(
    function: Callable[..., Any], label: str
) -> tuple[list[tuple[str, Converter | None]], dict[str, Converter]]:
    """Return the positional arguments of a function with their converters, and those of all by name."""
    options = _options_of(function)
    kinds = {name: (kind, function.__globals__) for name, kind in function.__annotations__.items()}
    if options is not None:
        names = vars(sys.modules[options.__module__])
        kinds |= {name: (kind, names) for name, kind in options.__annotations__.items()}
    switch = _switch_of(label)
    found = {
        name: switch if _spelled_out(kind) in (bool, "bool") else converter(kind, names)
        for name, (kind, names) in kinds.items()
        if name != "return"
    }
    parameters = inspect.signature(function).parameters.values()
    positional = [
        (one.name, found.get(one.name))
        for one in parameters
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return positional, {name: one for name, one in found.items() if one is not None}


def _switch_of(label: str) -> Converter:
    def switch(name: str, value: Any) -> Any:
        """Refuse what Python would take for True: a text, even ``"no"``, or an array."""
        if type(value).__name__ not in ("bool", "bool_", "int") or value not in (True, False):
            raise OptionError(f"{label}(): {name} is {shown(value)}, expected True or False")
        return value

    return switch


def _options_of(function: Callable[..., Any]) -> Any:
    """Return the TypedDict of a function's ``**options: Unpack[…]``, None if there is none."""
    for word in function.__annotations__.values():
        if isinstance(word, str) and (found := _UNPACKED.fullmatch(word)):
            return function.__globals__[found[1]]
    return None


def full_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a signature that lists each option of ``**options: Unpack[…]``; all may be omitted."""
    signature = inspect.signature(function)
    options = _options_of(function)
    if options is None:
        return signature
    given = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    named = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_OMITTED, annotation=_spelled_out(kind))
        for name, kind in options.__annotations__.items()
    ]
    return signature.replace(parameters=[*given, *named])


def _spelled_out(kind: Any) -> Any:
    return getattr(kind, "__forward_arg__", kind)


def checked(function: F, label: str) -> F:
    """Return a function that checks the names of its options first, and converts the values of its arguments.

    Parameters
    ----------
    function : callable
    label : str
        Its public name, for messages.

    Returns
    -------
    callable
        Raises `ztfdb.errors.OptionError`, a TypeError, for an unknown name, with the nearest known one, and for a
        switch that is neither True nor False; ValueError for another value that its annotation does not allow
        (`ztfdb.arguments`).
    """
    made: list[tuple[list[tuple[str, Converter | None]], dict[str, Converter]]] = []

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not made:  # on first use: it needs all annotations of the module
            made.append(_converters(function, label))
        positional, named = made[0]
        if options:
            if (known := option_names(function)) is not None and not known.issuperset(options):
                options = _renamed(options, known, label)
            for name in named.keys() & options.keys():
                options[name] = named[name](name, options[name])
        plain = [
            value if convert is None else convert(name, value)
            for value, (name, convert) in zip(args, positional, strict=False)
        ]
        return function(*plain, *args[len(plain) :], **options)

    if _options_of(function) is not None:
        call.__signature__ = full_signature(function)  # type: ignore[attr-defined]  # what help() shows
    return call  # type: ignore[return-value]


def checked_as(label: str) -> Callable[[F], F]:
    """Return a decorator that makes a function `checked`."""
    return lambda function: checked(function, label)


def spelled(label: str) -> Callable[[T], T]:
    """Return a decorator that makes every public method of a class `checked`, as ``label.method``."""

    def decorate(cls: T) -> T:
        for name, method in inspect.getmembers(cls, inspect.isfunction):  # including inherited ones
            if not name.startswith("_"):
                setattr(cls, name, checked(method, f"{label}.{name}"))
        return cls

    return decorate


def _renamed(options: dict[str, Any], known: frozenset[str], label: str) -> dict[str, Any]:
    """Return the options with their actual names, translating those of the command line."""
    renamed: dict[str, Any] = {}
    for given, value in options.items():
        name = given if given in known else next((one for one in ALIASES.get(given, ()) if one in known), None)
        if name is None:
            raise OptionError(f"{label}() got an unexpected keyword argument {given!r}{_meant(given, known)}")
        if name in renamed or (name != given and name in options):
            raise OptionError(f"{label}() got {name!r} twice, once as {given!r}")
        renamed[name] = value
    return renamed


def _meant(given: str, known: Iterable[str]) -> str:
    option, written = HINTS.get(given, ("", ""))
    if option in known:
        return f"; did you mean {written}?"
    from difflib import get_close_matches

    near = get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(sorted(known)) or 'none'}"
