"""Options by their names: a slip is answered by the public function's own name, with what was meant.

Public methods pass options on to functions of other rooms. `passes_on` records to which, so that `spelled` can check
a name before anything runs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeVar

from ztfdb.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=type)

ALIASES = {
    "filter": ("filters",),
    "field": ("fields",),
    "image": ("image_id", "image_ids"),
    "image_id": ("image_ids",),
}
"""The command line's words (``--filter zr``), which are taken as well."""

HINTS = {
    "forced": ("measure", "measure='forced'"),
    "psf": ("measure", "measure='psf'"),
    "psfcat": ("phot", "phot='psfcat'"),
    **dict.fromkeys(("start", "end", "from_", "to"), ("mjd", "mjd=(first, last)")),
}
"""The option, and how it is written, of words that are options of the command line only."""

INTERNAL = frozenset({"session", "sessions", "engine", "settings", "how", "images", "n_position"})
"""Parameters of other rooms that the public methods fill themselves."""

COMPLETE_OPTIONS = frozenset({"measure", "bjd", "jobs", "keep", "places", "progress"})
"""Options that only a complete light curve has."""

_ATTRIBUTE = "__passes_on__"


def passes_on(*functions: Callable[..., Any] | str) -> Callable[[F], F]:
    """Record to which functions (or dataclasses) the decorated one passes its ``**options``.

    A name such as ``query.cone.cone`` stands for a function whose module is loaded when an option is checked.
    """

    def record(function: F) -> F:
        setattr(function, _ATTRIBUTE, functions)
        return function

    return record


@functools.cache
def option_names(function: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names that a function takes, those that it passes on among them; None where it takes any."""
    names = _own_names(function)
    if any(one.kind is one.VAR_KEYWORD for one in inspect.signature(function).parameters.values()):
        onward = getattr(function, _ATTRIBUTE, None)
        if onward is None:
            return None
        for one in onward:
            names |= (option_names(_found(one)) or frozenset()) - INTERNAL
    return names - {"self"}


@functools.lru_cache(maxsize=1_000)
def _unknown(function: Callable[..., Any], names: frozenset[str]) -> frozenset[str]:
    """Return the names that a function does not take; it is looked no further than the last of them is found."""
    unknown = names - _own_names(function)
    for one in getattr(function, _ATTRIBUTE, ()):
        if not unknown:
            break
        unknown &= _unknown(_found(one), unknown) | INTERNAL
    return unknown


def _own_names(function: Callable[..., Any]) -> frozenset[str]:
    parameters = inspect.signature(function).parameters.values()
    return frozenset(one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))


def _found(function: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(function, str):
        return function
    module, _, name = function.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(f"ztfdb.{module}"), name)
    return found


def checked(function: F, label: str) -> F:
    """Return a function that checks the names of its options first.

    Parameters
    ----------
    function : callable
    label : str
        Its public name, for the message.

    Returns
    -------
    callable
        Raises `ztfdb.errors.OptionError`, a TypeError, for an unknown name, with the nearest known one.
    """

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if options and _unknown(function, frozenset(options)) and (known := option_names(function)) is not None:
            options = _renamed(options, known, label)
        return function(*args, **options)

    return call  # type: ignore[return-value]


def checked_as(label: str) -> Callable[[F], F]:
    """Return a decorator by which a function is `checked`."""
    return lambda function: checked(function, label)


def spelled(label: str) -> Callable[[T], T]:
    """Return a decorator by which every public method of a class is `checked`, named ``label.method``."""

    def decorate(cls: T) -> T:
        for name, method in list(vars(cls).items()):
            if not name.startswith("_") and inspect.isfunction(method):
                setattr(cls, name, checked(method, f"{label}.{name}"))
        return cls

    return decorate


def _renamed(options: dict[str, Any], known: frozenset[str], label: str) -> dict[str, Any]:
    """Return the options by the names that are known, those of the command line translated."""
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
    near = get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(sorted(known)) or 'none'}"


def only_complete(name: str, complete: bool, options: Iterable[str]) -> None:
    """Refuse `COMPLETE_OPTIONS` where the light curve is not complete.

    Raises
    ------
    OptionError
    """
    found = sorted(COMPLETE_OPTIONS.intersection(options))
    if found and not complete:
        raise OptionError(f"archive.{name}() takes {', '.join(map(repr, found))} with complete=True only")
