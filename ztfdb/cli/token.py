"""``ztfdb token``: access tokens of a service started with ``--tokens``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ztfdb.cli.options import Command, CommandGroup, Number
from ztfdb.cli.serve import state_folder
from ztfdb.errors import ConfigError

STATE = click.option(
    "--state",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of the service, as for ztfdb serve.  [default: $XDG_STATE_HOME/ztfdb/serve]",
)


@click.group(cls=CommandGroup, examples=("ztfdb token add anna --days 90", "ztfdb token list"))
def token() -> None:
    """Manage the access tokens of a service."""


@token.command(cls=Command, examples=("ztfdb token add anna", "ztfdb token add pipeline --days 30"))
@click.argument("name")
@click.option("--days", type=Number(0, 36_500, min_open=True), help="Days until it expires.  [default: never]")
@STATE
def add(name: str, days: float | None, state: str | None) -> None:
    """Create a token for NAME and print it: only a hash is stored, so it is never shown again."""
    from ztfdb.store.service_tokens import TokenStore

    click.echo(TokenStore(state_folder(state)).add(name, days))


@token.command("list", cls=Command, examples=("ztfdb token list",))
@STATE
def list_(state: str | None) -> None:
    """Print the name of each token, its creation date and its expiry date."""
    from ztfdb.store.service_tokens import TokenStore

    for one in TokenStore(_used_folder(state)).tokens():
        click.echo(f"{one.name}\t{_day(one.created)}\t{'for good' if one.expires is None else _day(one.expires)}")


@token.command(cls=Command, examples=("ztfdb token remove anna",))
@click.argument("name")
@STATE
def remove(name: str, state: str | None) -> None:
    """Remove the token of NAME; a running service refuses it at once."""
    from ztfdb.store.service_tokens import TokenStore

    if not TokenStore(_used_folder(state)).remove(name):
        raise ConfigError(f"there is no token of the name {name}")


def _used_folder(state: str | None) -> Path:
    """Return the folder of a service; one that is named must exist."""
    folder = state_folder(state)
    if state is not None and not folder.is_dir():
        raise ConfigError(f"--state {state}: there is no such folder")
    return folder


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
