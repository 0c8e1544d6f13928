"""Shared by the commands: their base class, common options, and the parsing of arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ztfdb.sky.typed import MINUS, name_help, parse_designation, parse_position, parse_radius, plain_minus

F = TypeVar("F", bound=Callable[..., Any])

_NEGATIVE_NUMBER = re.compile(r"^-(?=\.?\d)")
_TYPOGRAPHIC_NUMBER = re.compile(rf"^{MINUS}(?=\.?\d)")


_EMPTY_OPTION = re.compile(r"--[\w-]+=")


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse empty words: of a shell's variable that is not set, they would be a folder, or all of something."""
        for before, word in zip(["", *args], args, strict=False):
            if not word or _EMPTY_OPTION.fullmatch(word):
                where = f" after {before}" if before else ""
                raise click.UsageError(f"an empty argument{where}: is a variable of the shell not set?", ctx)
        return super().parse_args(ctx, args)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the whole first sentence, for lists of commands; they wrap it."""
        return super().get_short_help_str(max(limit, 1000))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class CommandGroup(Command, click.Group):
    """A group of commands, listed in the order of their registration."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


class PositionCommand(Command):
    """A command on which ``-3.2`` is a number: a negative declination needs no ``--`` before it."""

    def make_parser(self, ctx: click.Context) -> Any:
        """Return click's parser, which sees a typographic minus: it would read a negative number as an option."""
        parser = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_args(args: list[str]) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
            options, rest, order = parse([_NEGATIVE_NUMBER.sub(MINUS, arg) for arg in args])
            return {name: _as_typed(value) for name, value in options.items()}, _as_typed(rest), order

        parser.parse_args = parse_args  # type: ignore[method-assign]
        return parser


def _as_typed(value: Any) -> Any:
    """Return the words of a parsed value as they were typed."""
    if isinstance(value, list | tuple):
        return type(value)(map(_as_typed, value))
    return _TYPOGRAPHIC_NUMBER.sub("-", value) if isinstance(value, str) else value


def file_names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a word as the name of a file (click's ``shell_complete``)."""
    return [CompletionItem(incomplete, type="file")]


def radius_value(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    """Convert a radius to arcsec; an invalid one is a usage error (click callback)."""
    try:
        return parse_radius(plain_minus(text))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def optional_radius(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Convert a radius to arcsec, if one was given (click callback)."""
    return None if text is None else radius_value(ctx, param, text)


def number_value(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Convert text to a float, which may be negative (click callback)."""
    if text is None:
        return None
    try:
        return float(plain_minus(text))
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is not a number") from exc


def time_value(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Convert an MJD or a date to an MJD (click callback)."""
    if text is None:
        return None
    from ztfdb.sky.dates import mjd_of  # imports astropy, which --help does not need

    try:
        return mjd_of(plain_minus(text))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


def night_value(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Convert a date to a night, YYYYMMDD (click callback)."""
    return None if text is None else night_number(text)


def night_number(text: str) -> int:
    """Return a night as the number YYYYMMDD; other text is a usage error."""
    from ztfdb.sky.dates import night_of

    try:
        return night_of(plain_minus(text))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


class Number(click.FloatRange):
    """A number in a range; NaN, which click lets into every range, is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class FilterName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on, not before
    """Converts any name of a filter to ``zg``, ``zr`` or ``zi``."""

    name = "zg|zr|zi"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the filtercode."""
        from ztfdb.codes import FILTERS, fid_of

        try:
            return FILTERS[fid_of(value)]
        except ValueError as exc:
            several = "; repeat the option for several" if "," in str(value) else ""
            self.fail(f"{exc}{several}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the filtercodes that begin so."""
        return [CompletionItem(code) for code in self.name.split("|") if code.startswith(incomplete)]


def cut_options(function: F) -> F:
    """Add the options that select images: filters, times, fields and versions."""
    for option in reversed(_CUT_OPTIONS):
        function = option(function)
    return function


def table_options(function: F) -> F:
    """Add the options that name the columns of positions in a table."""
    for option in reversed(_TABLE_OPTIONS):
        function = option(function)
    return function


def motion_options(function: F) -> F:
    """Add the options of a star's proper motion; `Archive` takes them by the same names."""
    for option in reversed(_MOTION_OPTIONS):
        function = option(function)
    return function


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def times_of(start: float | None, end: float | None) -> tuple[float | None, float | None] | None:
    """Return ``--from`` and ``--to`` as the archive's ``mjd``."""
    return None if start is None and end is None else (start, end)


def table_of(target: tuple[str, ...]) -> str | None:
    """Return the path of the table, or None if the arguments are a position."""
    if len(target) != 1 or len(target[0].replace(",", " ").split()) > 1:
        return None
    if target[0] == "-" or Path(target[0]).is_file():
        return target[0]
    try:
        if parse_designation(target[0]) is not None:
            return None
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    try:
        parse_position(target)
    except ValueError as exc:
        what = f"{target[0]} is neither a position (RA DEC) nor a file{name_help(target[0])}"
        raise click.UsageError(what) from exc
    return None


def position_of(words: tuple[str, ...]) -> tuple[float, float]:
    """Return (ra, dec) in degrees, also from a name such as J035200.70+354411.5; other words are a usage error."""
    try:
        return parse_designation(" ".join(words)) or parse_position(words)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc


@dataclass
class Shared:
    """Values of the shared options.

    Attributes
    ----------
    db : str or None
        The archive's URL.
    config : str or None
        The configuration file.
    verbose : int
        How often ``-v`` was given.
    places : dict of str
        Folders of this host by the name of their data root, once the configuration was read.
    """

    db: str | None = None
    config: str | None = None
    verbose: int = 0
    places: dict[str, str] = field(default_factory=dict)

    @property
    def log_level(self) -> str | None:
        """The logging level set by ``-v``, None without it."""
        return {0: None, 1: "INFO"}.get(self.verbose, "DEBUG")


def shared(ctx: click.Context) -> Shared:
    """Return the shared options, given before or after the command."""
    return ctx.ensure_object(Shared)


def shared_options(function: F) -> F:
    """Add ``--db``, ``--config`` and ``-v``, which may stand before or after the command."""
    return _DB_OPTION(configuration_options(function))


def configuration_options(function: F) -> F:
    """Add ``--config`` and ``-v`` to a command whose arguments name its archives."""
    for option in reversed(_CONFIGURATION_OPTIONS):
        function = option(function)
    return function


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and param.name == "verbose":
        shared(ctx).verbose += value
    elif value is not None and param.name:
        setattr(shared(ctx), param.name, value)


_CUT_OPTIONS = (
    click.option("--filter", "--filters", "filters", multiple=True, type=FilterName(), help="Only this; repeatable."),
    click.option(
        "--from", "start", metavar="TIME", callback=time_value, help="Only exposures from then on: MJD, date or today."
    ),
    click.option("--to", "end", metavar="TIME", callback=time_value, help="Only exposures before this time."),
    click.option("--field", "--fields", "fields", multiple=True, type=int, help="Only this field; repeatable."),
    click.option("--all-versions", is_flag=True, help="Also cutouts and older versions of an exposure."),
)

_MOTION_OPTIONS = (
    click.option("--pmra", metavar="MAS/YR", callback=number_value, help="Proper motion (with cos dec)."),
    click.option("--pmdec", metavar="MAS/YR", callback=number_value, help="Proper motion."),
    click.option("--epoch", metavar="YEAR", callback=number_value, help="Epoch of the position.  [default: 2016]"),
)

_TABLE_OPTIONS = (
    click.option("--ra-column", metavar="NAME", help="Column of right ascensions in TABLE."),
    click.option("--dec-column", metavar="NAME", help="Column of declinations in TABLE."),
)

_DB_OPTION = click.option(
    "--db",
    metavar="URL",
    expose_value=False,
    callback=_remember,
    help="Archive: sqlite:///FILE or postgresql://…  [default: $ZTFDB_URL, else sqlite:///ztfdb.sqlite]",
)

_CONFIGURATION_OPTIONS = (
    click.option(
        "--config",
        metavar="FILE",
        shell_complete=file_names,
        expose_value=False,
        callback=_remember,
        help="Configuration.  [default: $ZTFDB_CONFIG, else ztfdb.toml if it exists]",
    ),
    click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_remember, help="Log to stderr; -vv: every step."
    ),
)
