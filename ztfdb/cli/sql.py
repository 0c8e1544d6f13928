"""``ztfdb sql``: run a read-only SQL statement."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ztfdb.cli.options import Command, Number, shared_options
from ztfdb.cli.output import Output, output_options
from ztfdb.cli.session import opened, wrong_usage
from ztfdb.errors import QueryError

STREAMED = ("csv", "votable", "parquet")
"""Formats whose rows are written in parts."""

_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_UNKNOWN = re.compile(r"no such (?:table|column)|(?:relation|column) .* does not exist")
_TRUTH = {"true": True, "false": False}
_OPTIONS = frozenset({"force", "timeout_s"})
"""Arguments of `Archive.sql` that are not parameters of the statement."""


class Statement(Command):
    """A command whose argument may begin with SQL's comment, ``-- ``, which click takes for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; a comment gets a blank before it."""
        return super().parse_args(ctx, [f" {arg}" if re.match(r"--\s", arg) else arg for arg in args])


@click.command(
    cls=Statement,
    examples=(
        'ztfdb sql "select filtercode, count(*) as n from image group by filtercode"',
        'ztfdb sql "select * from image_summary where fid = :fid" -p fid=2 -o r.csv',
        "ztfdb sql --tables",
        "ztfdb sql --describe light_curve_point",
    ),
)
@click.argument("text", metavar="[STATEMENT]", required=False)
@click.option("--tables", is_flag=True, help="List every table and view instead.")
@click.option("--describe", metavar="TABLE", help="List the columns of a table or view instead.")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Value of :NAME; repeatable.")
@click.option("--timeout", type=Number(min=0, min_open=True), metavar="SECONDS", help="Time limit.")
@click.option("--force", is_flag=True, help="Allow a PostgreSQL superuser, whom read-only mode cannot restrict.")
@output_options
@shared_options
@click.pass_context
def sql(
    ctx: click.Context,
    text: str | None,
    tables: bool,
    describe: str | None,
    params: tuple[str, ...],
    timeout: float | None,
    force: bool,
    output: Output,
) -> None:
    """Run one read-only SQL statement.

    The database itself refuses to write. STATEMENT may be - to read it from stdin. Useful views: light_curve_point,
    image_summary; --tables lists them all, --describe describes their columns, with unit and UCD.
    """
    if (text is not None) + tables + (describe is not None) != 1:
        raise click.UsageError("take one of STATEMENT, --tables and --describe TABLE")
    if text is None:
        from ztfdb.query.tables import column_list, table_list  # imports pandas

        with wrong_usage():
            output.write(table_list() if describe is None else column_list(describe), known=False)
        return
    statement = sys.stdin.read() if text == "-" else text
    values = _values(params)
    with opened(ctx, read_only=True) as archive, wrong_usage(), _names_told():
        if output.format == "csv" and output.columns is None:
            output.write_bytes(archive.sql_csv(statement, timeout_s=timeout, force=force, params=values))
            return
        if output.format in STREAMED:
            with output.counted("reading") as step:
                parts = archive.sql_parts(statement, timeout_s=timeout, force=force, params=values, progress=step)
        else:
            frame = archive.sql(statement, timeout_s=timeout, force=force, **values)
    if output.format not in STREAMED:
        output.write(frame, known=False)
        return
    with parts:
        output.write_sql(parts)


def _values(params: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of a statement's parameters by name."""
    values: dict[str, Any] = {}
    for name, value in map(parse_param, params):
        if name in values:
            raise click.UsageError(f"--param {name} is given twice")
        values[name] = value
    return values


@contextmanager
def _names_told() -> Iterator[None]:
    """Add to an error about an unknown name where the names are."""
    try:
        yield
    except QueryError as exc:
        if _UNKNOWN.search(str(exc)):
            raise QueryError(f"{exc}; `ztfdb sql --tables` lists tables, `--describe TABLE` their columns") from exc
        raise


def parse_param(text: str) -> tuple[str, bool | int | float | str]:
    """Return name and value of ``NAME=VALUE``: a number or a truth value if it reads as one, else text.

    Raises
    ------
    click.UsageError
        If there is no name, or one that no parameter can have.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise click.UsageError(f"--param {text}: expected NAME=VALUE")
    if name in _OPTIONS:
        raise click.UsageError(f"--param {name}: take another name; this is an option of archive.sql")
    if value in _TRUTH:
        return name, _TRUTH[value]
    if _INTEGER.fullmatch(value):
        return name, int(value)
    return name, float(value) if _FLOAT.fullmatch(value) else value
