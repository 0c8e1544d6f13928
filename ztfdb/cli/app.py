"""The command line: its commands, and the handling of their errors."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
from types import FrameType
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
            status = self._run(*args, **kwargs)
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
        """Run the command; Ctrl-C prints one line, a closed pipe (``| head``) none."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            words = f"ended by {_received[0].name}" if _received else "interrupted"
            click.echo(f"\n{words}" if sys.stderr.isatty() else words, err=True)  # after the terminal's ^C
            ctx.exit(128 + (_received[0] if _received else signal.SIGINT))
        except BrokenPipeError:
            ctx.exit(EXIT_BROKEN_PIPE)
        except (ZtfdbError, OSError):
            log.debug("command failed", exc_info=True)
            raise

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            result = super().main(*args, **kwargs)
        except click.ClickException as exc:
            exc.show()
            return exc.exit_code
        except UnicodeEncodeError as exc:
            return _failed(f"{exc.object} is not UTF-8")
        except (ZtfdbError, OSError) as exc:
            return _failed(str(exc))
        return result if isinstance(result, int) else 0


_received: list[signal.Signals] = []
"""The signal that ends this process, once it came; Ctrl-C is not one."""


def _end_in_order() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, leaving no half of a file; a second one ends it at once.

    Commands that run until they are ended, and programs that are started with a signal ignored, have their own way.
    """
    atexit.register(_end_by_signal)  # as the first, so that it is called as the last
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _end_by_signal() -> None:
    """Let the signal end the process: for systemd, that is a clean end, and an exit status of 143 a failure."""
    if _received:
        os.kill(os.getpid(), _received[0])  # whose handler is the default by now


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _received.append(signal.Signals(number))
    raise KeyboardInterrupt


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


def main() -> None:
    """Entry point ``ztfdb``."""
    # Set before numpy is imported: otherwise OpenBLAS starts a thread for each core, and each waits in a loop, which
    # takes as much processor time as the import. No command multiplies matrices that are large enough for threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _end_in_order()
    application.main(prog_name="ztfdb")
