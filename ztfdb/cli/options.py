"""What the commands share: their class, the options all of them take, and how an argument's text becomes a value."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ztfdb.cli.positions import MINUS, parse_position, parse_radius, plain_minus

F = TypeVar("F", bound=Callable[..., Any])

_NEGATIVE_NUMBER = re.compile(r"^-(?=\.?\d)")


class WithExamples(click.Command):
    """A command whose help ends with examples to copy.

    Attributes
    ----------
    examples : tuple of str
        Command lines.
    """

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Command(WithExamples):
    """A command on which ``-3.2`` is a number: a negative declination needs no ``--`` before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the command; the typographic minus keeps click from reading numbers as options."""
        return super().parse_args(
            ctx, [_NEGATIVE_NUMBER.sub(MINUS, arg, count=1) if _is_number(arg) else arg for arg in args]
        )


def _is_number(arg: str) -> bool:
    return _NEGATIVE_NUMBER.match(arg) is not None


def radius_value(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    """Turn a radius into arcsec; wrong usage where it is none (click callback)."""
    try:
        return parse_radius(plain_minus(text))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def number_value(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Turn text into a float that may be negative (click callback)."""
    if text is None:
        return None
    try:
        return float(plain_minus(text))
    except ValueError as exc:
        raise click.BadParameter(f"{plain_minus(text)!r} is not a number") from exc


def position_of(words: tuple[str, ...]) -> tuple[float, float]:
    """Return (ra, dec) in degrees; wrong usage where the words are no position."""
    try:
        return parse_position(words)
    except ValueError as exc:
        raise click.UsageError(plain_minus(str(exc))) from exc


def shared_options(function: F) -> F:
    """Add ``--db`` and ``-v``, which the group takes too: they may stand before or after the command."""
    function = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_verbosity,
        help="Log to stderr; twice for every step.",
    )(function)
    return click.option(
        "--db",
        metavar="URL",
        expose_value=False,
        callback=_database,
        help="Archive: sqlite:///FILE or postgresql://…  [default: $ZTFDB_URL, else sqlite:///ztfdb.sqlite]",
    )(function)


def _database(ctx: click.Context, _param: click.Parameter, url: str | None) -> None:
    if url is not None:
        ctx.ensure_object(dict)["db"] = url


def _verbosity(ctx: click.Context, _param: click.Parameter, count: int) -> None:
    if count:
        facts = ctx.ensure_object(dict)
        facts["verbose"] = facts.get("verbose", 0) + count


def database(ctx: click.Context) -> str | None:
    """Return the URL given with ``--db``, None where it was not."""
    url: str | None = ctx.ensure_object(dict).get("db")
    return url


def log_level(ctx: click.Context) -> int:
    """Return the logging level that the ``-v`` options ask for."""
    return {0: logging.WARNING, 1: logging.INFO}.get(ctx.ensure_object(dict).get("verbose", 0), logging.DEBUG)
