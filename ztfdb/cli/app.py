"""The command line: its commands, and the handling of their errors."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import sys
from typing import Any

import click

from ztfdb import __version__
from ztfdb.cli.backup import backup
from ztfdb.cli.calibrate import calibrate
from ztfdb.cli.catalog import catalog
from ztfdb.cli.completeness import completeness
from ztfdb.cli.cone import cone
from ztfdb.cli.crossmatch import crossmatch
from ztfdb.cli.demo import demo
from ztfdb.cli.diff import diff
from ztfdb.cli.ending import how_ended, is_ended, let_signals_end_the_process
from ztfdb.cli.explain import explain
from ztfdb.cli.export import export
from ztfdb.cli.images import images
from ztfdb.cli.ingest import ingest
from ztfdb.cli.init import init
from ztfdb.cli.lightcurve import lightcurve
from ztfdb.cli.objects import objects
from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.psfcheck import psfcheck
from ztfdb.cli.queue import quarantine, retry
from ztfdb.cli.region import region
from ztfdb.cli.serve import serve
from ztfdb.cli.sql import sql
from ztfdb.cli.stamp import stamp
from ztfdb.cli.status import status
from ztfdb.cli.terminal import streams
from ztfdb.cli.token import token
from ztfdb.cli.upkeep import relocate, remove, verify
from ztfdb.cli.watch import watch
from ztfdb.errors import ZtfdbError
from ztfdb.texts import one_line

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

log = logging.getLogger(__name__)


class Application(Command, click.Group):
    """The group of commands; a failure is one line on stderr and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their registration."""
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run one command and exit.

        0 success, 1 something failed, 2 wrong usage, 130 interrupted, 141 pipe closed, 143 ended by SIGTERM.
        """
        kwargs["standalone_mode"] = False
        _end_quickly()
        with streams():
            status = EXIT_INTERRUPTED
            try:
                status = self._run(*args, **kwargs)
            except Exception:  # what a library makes of an interrupt is no bug
                if not is_ended():
                    raise
            if is_ended() or status == EXIT_INTERRUPTED:
                words, status = how_ended()
                click.echo(f"\n{words}" if sys.stderr.isatty() else words, err=True)  # after the terminal's ^C
            let_signals_end_the_process()
            try:
                sys.stdout.flush()  # a full disk fails here at the latest
            except BrokenPipeError:
                status = EXIT_BROKEN_PIPE
            except ZtfdbError as exc:
                status = status or _failed(str(exc))
            except ValueError:  # closed; the command has printed the error
                status = status or EXIT_FAILED
        _discard_unwritable()
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C and a closed pipe (``| head``) are an exit status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            ctx.exit(EXIT_BROKEN_PIPE)
        except (ZtfdbError, OSError):
            log.debug("command failed", exc_info=True)
            raise

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            result = super().main(*args, **kwargs)
        except click.Abort:  # an interrupt outside of `invoke`
            return EXIT_INTERRUPTED
        except click.ClickException as exc:
            if not is_ended():
                exc.show()
            return exc.exit_code
        except UnicodeEncodeError as exc:
            return _failed(f"{exc.object} is not UTF-8")
        except ZtfdbError as exc:
            return _failed(str(exc))
        except OSError as exc:
            return _failed(f"{exc.filename}: {exc.strerror}" if exc.filename and exc.strerror else str(exc))
        return result if isinstance(result, int) else 0


def _end_quickly() -> None:
    """Do not search for cycles of objects when the process ends: that takes 10 % of a light curve's time."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def _discard_unwritable() -> None:
    """Redirect unwritable streams to /dev/null: Python flushes them at exit, and would exit with status 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _failed(message: str) -> int:
    if not is_ended():  # else it has failed because of that
        click.echo(f"error: {one_line(message)}", err=True)
    return EXIT_FAILED


@click.group(
    "ztfdb",
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
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
    """Search sources and light curves of ZTF images by position.

    An archive is one database; --db or ZTFDB_URL names it. Rows go to stdout, messages to stderr. Exit status:
    0 success, 1 something failed, 2 wrong usage.
    """


for command in (
    init,
    ingest,
    watch,
    retry,
    quarantine,
    status,
    cone,
    region,
    lightcurve,
    images,
    stamp,
    catalog,
    crossmatch,
    calibrate,
    psfcheck,
    diff,
    completeness,
    objects,
    explain,
    sql,
    serve,
    token,
    export,
    relocate,
    verify,
    backup,
    remove,
    demo,
):
    application.add_command(command)
