"""``ztfdb backup``: a copy of a SQLite archive while it is in use."""

from __future__ import annotations

import click

from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.session import opened


@click.command(cls=Command, examples=("ztfdb backup /backup/night-20260101.sqlite",))
@click.argument("file")
@shared_options
@click.pass_context
def backup(ctx: click.Context, file: str) -> None:
    """Copy a SQLite archive to FILE while others read and write it.

    FILE must not exist. It becomes a consistent snapshot of the archive. Image files are not copied. For PostgreSQL
    use pg_dump.
    """
    with opened(ctx, read_only=True) as archive:
        made = archive.backup(file)
    click.echo(f"{made}: {made.stat().st_size:,} bytes", err=True)
