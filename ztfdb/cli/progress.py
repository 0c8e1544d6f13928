"""Bars on stderr: how far, how fast, how long still. Only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """What the work tells about itself."""

    def begin(self, title: str, n: int | None) -> None:
        """Begin some work of `n` steps, None where that is unknown."""

    def step(self, note: str = "", n: int = 1) -> None:
        """Say that one more is done, or `n`."""

    def line(self, text: str) -> None:
        """Print a line of stdout without disturbing the bar."""


class _Quiet:
    """No terminal, no bar."""

    def begin(self, title: str, n: int | None) -> None:
        """Do nothing."""

    def step(self, note: str = "", n: int = 1) -> None:
        """Do nothing."""

    def line(self, text: str) -> None:
        """Print the line."""
        sys.stdout.write(f"{text}\n")


@contextmanager
def progress_bar(unit: str) -> Iterator[Bar]:
    """Show a bar while the work in the ``with`` block goes on.

    Parameters
    ----------
    unit : str
        What is counted, for the rate: ``images`` gives "1.4 images/s".
    """
    if not sys.stderr.isatty():
        yield _Quiet()
        return
    from ztfdb.cli.richbar import rich_bar  # rich takes as long to import as all of --help

    with rich_bar(unit) as bar:
        yield bar
