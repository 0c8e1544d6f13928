"""Progress bars on stderr with rate and remaining time, only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """Interface through which work reports its progress."""

    def begin(self, title: str, n: int | None) -> None:
        """Begin work of `n` steps; None if unknown."""

    def step(self, note: str = "", n: int = 1) -> None:
        """Advance by `n` steps."""

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
    from ztfdb.cli.richbar import rich_bar  # importing rich takes as long as all of --help

    with rich_bar(unit) as bar:
        yield bar
