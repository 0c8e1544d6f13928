"""The command line: its commands, and what becomes of their errors."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import click

from ztfdb import __version__
from ztfdb.cli.calibrate import calibrate
from ztfdb.cli.catalog import catalog
from ztfdb.cli.cone import cone
from ztfdb.cli.crossmatch import crossmatch
from ztfdb.cli.demo import demo
from ztfdb.cli.explain import explain
from ztfdb.cli.images import images
from ztfdb.cli.ingest import ingest
from ztfdb.cli.init import init
from ztfdb.cli.lightcurve import lightcurve
from ztfdb.cli.objects import objects
from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.psfcheck import psfcheck
from ztfdb.cli.queue import quarantine, retry
from ztfdb.cli.serve import serve
from ztfdb.cli.sql import sql
from ztfdb.cli.stamp import stamp
from ztfdb.cli.status import status
from ztfdb.cli.upkeep import relocate, remove, verify
from ztfdb.cli.watch import watch
from ztfdb.errors import ZtfdbError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

log = logging.getLogger(__name__)


class Application(Command, click.Group):
    """The group of commands; a failure is one line on stderr and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one meets them."""
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run one command and exit: 0 done, 1 something failed, 2 wrong usage, 130 interrupted, 141 reader gone."""
        kwargs["standalone_mode"] = False
        sys.exit(self._run(*args, **kwargs))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C is one line, and a reader that went away (``| head``) none."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            click.echo("\ninterrupted" if sys.stderr.isatty() else "interrupted", err=True)  # after the terminal's ^C
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            _discard_stdout()
            ctx.exit(EXIT_BROKEN_PIPE)
        except (ZtfdbError, OSError):
            log.debug("command failed", exc_info=True)
            raise
        return result

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            result = super().main(*args, **kwargs)
        except click.ClickException as exc:
            exc.show()
            return exc.exit_code
        except (ZtfdbError, OSError) as exc:
            click.echo(f"error: {one_line(exc)}", err=True)
            return EXIT_FAILED
        return result if isinstance(result, int) else 0


def one_line(exc: BaseException) -> str:
    """Return an error's message on one line."""
    return " ".join(str(exc).split())


def _discard_stdout() -> None:
    """Point stdout at nothing: Python flushes it once more at the end, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    "ztfdb",
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    examples=(
        "export ZTFDB_URL=sqlite:///night.db",
        "ztfdb init",
        "ztfdb ingest data/ --jobs 2",
        "ztfdb lightcurve 58.0029 35.7365",
    ),
)
@click.version_option(__version__, prog_name="ztfdb", message="%(prog)s %(version)s")
@shared_options
def application() -> None:
    """Answer by position: sources and light curves from ZTF images.

    An archive is one database; --db or ZTFDB_URL names it. Rows go to stdout, words to stderr. Exit status: 0 done,
    1 something failed, 2 wrong usage.
    """


for command in (
    init,
    ingest,
    watch,
    retry,
    quarantine,
    status,
    cone,
    lightcurve,
    images,
    stamp,
    catalog,
    crossmatch,
    calibrate,
    psfcheck,
    objects,
    explain,
    sql,
    serve,
    relocate,
    verify,
    remove,
    demo,
):
    application.add_command(command)


def main() -> None:
    """Entry point ``ztfdb``."""
    application.main(prog_name="ztfdb")
