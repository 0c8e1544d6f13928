"""The archive a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import ztfdb
from ztfdb.cli.options import database

if TYPE_CHECKING:
    from ztfdb.archive import Archive


@contextmanager
def opened(ctx: click.Context, **how: Any) -> Iterator[Archive]:
    """Open the archive that ``--db`` or the environment names, and close it at the end.

    Parameters
    ----------
    ctx : click.Context
        The command's context.
    **how
        Passed on to `ztfdb.open`.
    """
    with ztfdb.open(database(ctx), **how) as archive:
        yield archive


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turn the ``ValueError`` by which a question refuses its arguments into wrong usage (exit status 2)."""
    try:
        yield
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
