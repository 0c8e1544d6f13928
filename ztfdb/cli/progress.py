"""Bars on stderr: how far, how fast, how long still. Only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """What the work tells about itself."""

    def total(self, n: int) -> None:
        """Say how many steps there are."""

    def step(self, note: str = "") -> None:
        """Say that one more is done."""

    def line(self, text: str) -> None:
        """Print a line of stdout without disturbing the bar."""


class _Quiet:
    """No terminal, no bar."""

    def total(self, n: int) -> None:
        """Do nothing."""

    def step(self, note: str = "") -> None:
        """Do nothing."""

    def line(self, text: str) -> None:
        """Print the line."""
        sys.stdout.write(f"{text}\n")


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Bar]:
    """Show a bar while the work in the ``with`` block goes on.

    Parameters
    ----------
    title : str
        What is being done.
    unit : str
        What is counted, for the rate: ``images`` gives "1.4 images/s".
    """
    if not sys.stderr.isatty():
        yield _Quiet()
        return
    from ztfdb.cli.richbar import rich_bar  # rich takes as long to import as all of --help

    with rich_bar(title, unit) as bar:
        yield bar
