"""The configuration and the archive of a command."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ztfdb
from ztfdb.cli.options import shared
from ztfdb.errors import EmptyAnswerWarning, StoreError

if TYPE_CHECKING:
    from ztfdb.archive import Archive
    from ztfdb.config import Config
    from ztfdb.extract.settings import ExtractionSettings


_METHOD = re.compile(r"^archive\.\w+\(\): ")
"""Names the method of Python that an error is of; on the command line there is none."""


def configuration(ctx: click.Context, **flags: Any) -> Config:
    """Read the configuration, which flags override, and set up logging.

    Parameters
    ----------
    ctx : click.Context
        The command's context with ``--db``, ``--config`` and ``-v``.
    **flags
        Further values by `Config`'s names; None for a flag that was not given.
    """
    from ztfdb.config import load_config  # imports SQLAlchemy, which --help does not need
    from ztfdb.logs import set_up_logs

    given = shared(ctx)
    config = load_config({"url": given.db, "log_level": given.log_level, **flags}, path=given.config)
    given.places = config.roots
    handler = set_up_logs(config.log_level, config.log_format)
    if given.log_level is None:
        handler.addFilter(_told_by_the_report)
    ctx.find_root().call_on_close(lambda: logging.getLogger("ztfdb").removeHandler(handler))
    return config


def _told_by_the_report(record: logging.LogRecord) -> bool:
    """Drop records that the report repeats: ingest lists its failures at the end."""
    return record.getMessage() != "image failed"


def is_new_file(url: str) -> bool:
    """Return whether an archive is a SQLite file that does not exist, or has no table: one that was interrupted."""
    from ztfdb.store.backends.connect_sqlite import has_no_table
    from ztfdb.store.engine import normalise_url

    parsed = normalise_url(url)
    if parsed.get_backend_name() != "sqlite":
        return False
    path = str(parsed.database)
    return not os.path.lexists(path) or has_no_table(Path(path))


def own_settings(config: Config) -> ExtractionSettings | None:
    """Return the configuration's extraction settings, None if they are the defaults.

    An archive with other settings refuses them.
    """
    return None if config.extraction == type(config.extraction)() else config.extraction


@contextmanager
def opened(ctx: click.Context, **how: Any) -> Iterator[Archive]:
    """Open the archive that ``--db``, the environment or the configuration file names, and close it at the end.

    Parameters
    ----------
    ctx : click.Context
        The command's context.
    **how
        Passed on to `ztfdb.open`.
    """
    with ztfdb.open(configuration(ctx).url, **how) as archive, told_on_stderr(), _damage_told(archive):
        yield archive


@contextmanager
def _damage_told(archive: Archive) -> Iterator[None]:
    """Report a damaged database in one line if an invalid value broke a command: SQLite does not check what it reads.

    Only damage found by the database's own check counts; every other exception is a bug of ztfdb and is raised again.
    """
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError) as exc:
        problems = archive.storage_problems()
        if not problems:
            raise
        raise StoreError(f"the database is damaged: {problems[0]}; `ztfdb verify --deep` lists the damage") from exc


@contextmanager
def told_on_stderr() -> Iterator[None]:
    """Print the text of an `EmptyAnswerWarning` as a line on stderr."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, EmptyAnswerWarning):
                click.echo(message, err=True)
            else:
                shown(message, category, *where, **more)

        warnings.simplefilter("always", EmptyAnswerWarning)
        warnings.showwarning = show
        yield


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turn a query's ``ValueError`` about its arguments into a usage error (exit status 2)."""
    try:
        yield
    except UnicodeError:  # a file name that is not UTF-8 is not a usage error
        raise
    except ValueError as exc:
        raise click.UsageError(_METHOD.sub("", str(exc))) from exc
