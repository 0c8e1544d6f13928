"""What the commands share: their class, the options all of them take, and how an argument's text becomes a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ztfdb.cli.positions import MINUS, parse_position, parse_radius, plain_minus

F = TypeVar("F", bound=Callable[..., Any])

_NEGATIVE_NUMBER = re.compile(r"^-(?=\.?\d)")


class Command(click.Command):
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


class CommandGroup(Command, click.Group):
    """A command of commands, listed in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


class PositionCommand(Command):
    """A command on which ``-3.2`` is a number: a negative declination needs no ``--`` before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the command; the typographic minus keeps click from reading numbers as options."""
        return super().parse_args(ctx, [_NEGATIVE_NUMBER.sub(MINUS, arg) for arg in args])


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


@dataclass
class Shared:
    """What the shared options say.

    Attributes
    ----------
    db : str or None
        The archive's URL.
    config : str or None
        The configuration file.
    verbose : int
        How often ``-v`` was given.
    """

    db: str | None = None
    config: str | None = None
    verbose: int = 0

    @property
    def log_level(self) -> str | None:
        """The logging level asked for, None where it was not."""
        return {0: None, 1: "INFO"}.get(self.verbose, "DEBUG")


def shared(ctx: click.Context) -> Shared:
    """Return what the shared options of the group and of the command say."""
    return ctx.ensure_object(Shared)


def shared_options(function: F) -> F:
    """Add ``--db``, ``--config`` and ``-v``, which may stand before or after the command."""
    for option in reversed(_SHARED_OPTIONS):
        function = option(function)
    return function


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and param.name == "verbose":
        shared(ctx).verbose += value
    elif value is not None and param.name:
        setattr(shared(ctx), param.name, value)


_SHARED_OPTIONS = (
    click.option(
        "--db",
        metavar="URL",
        expose_value=False,
        callback=_remember,
        help="Archive: sqlite:///FILE or postgresql://…  [default: $ZTFDB_URL, else sqlite:///ztfdb.sqlite]",
    ),
    click.option(
        "--config",
        metavar="FILE",
        expose_value=False,
        callback=_remember,
        help="Configuration.  [default: $ZTFDB_CONFIG, else ztfdb.toml where there is one]",
    ),
    click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_remember, help="Log to stderr; -vv: every step."
    ),
)
