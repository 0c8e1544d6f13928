"""``ztfdb backup``: a copy of a SQLite archive while it is in use."""

from __future__ import annotations

import click

from ztfdb.cli.options import Command, file_names, shared_options
from ztfdb.cli.session import configuration, opened
from ztfdb.store.address import address_of


@click.command(cls=Command, examples=("ztfdb backup /backup/night-20260101.sqlite",))
@click.argument("file", shell_complete=file_names)
@shared_options
@click.pass_context
def backup(ctx: click.Context, file: str) -> None:
    """Copy a SQLite archive to FILE while others read and write it.

    FILE must not exist. It becomes a consistent snapshot of the archive. Image files are not copied. An archive that
    an earlier ztfdb made is copied as it is: before `ztfdb init` upgrades it. For PostgreSQL use pg_dump.
    """
    address = address_of(configuration(ctx).url)
    if address.is_file:
        from ztfdb.store.backup import backup as copy_file  # imports SQLAlchemy, which --help does not need
        from ztfdb.store.engine import normalise_url

        made = copy_file(normalise_url(address), file)
    else:
        with opened(ctx, read_only=True) as archive:
            made = archive.backup(file)
    click.echo(f"{made}: {made.stat().st_size:,} bytes", err=True)
