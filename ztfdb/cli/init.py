"""``ztfdb init``: create an archive, or upgrade an old one."""

from __future__ import annotations

import click

import ztfdb
from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.session import configuration, own_settings


@click.command(
    cls=Command,
    examples=(
        "ztfdb init",
        "ztfdb init --db postgresql://ztf@db.example.org/ztf",
    ),
)
@shared_options
@click.pass_context
def init(ctx: click.Context) -> None:
    """Create the archive, or upgrade its schema.

    A current archive is not changed. On PostgreSQL the database itself must exist (createdb). Extraction settings
    other than the defaults come from [extraction] of the configuration and are frozen.
    """
    config = configuration(ctx)
    with ztfdb.open(config.url, create=True, settings=own_settings(config)) as archive:
        click.echo(f"{archive.url} is ready", err=True)
