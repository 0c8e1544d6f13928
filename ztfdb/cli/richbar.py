"""The progress bar for terminals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from ztfdb.cli.terminal import PrintableText, rich_file
from ztfdb.texts import printable


class RateColumn(ProgressColumn):
    """Steps per second, or per minute below 0.5 per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate of a task; empty before its first step."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} {self.unit}/s" if speed >= 0.5 else f"{speed * 60:.1f} {self.unit}/min")


class RichBar:
    """A bar on stderr; lines of stdout go above it if both are the same terminal."""

    def __init__(self, progress: Progress, task: TaskID, *, above: bool) -> None:
        self._progress = progress
        self._task = task
        self._above = above

    def begin(self, title: str, n: int | None) -> None:
        """Begin work of `n` steps; None if unknown."""
        self._progress.reset(self._task, description=title, total=n, note="")

    def step(self, note: str = "", n: int = 1) -> None:
        """Advance by `n` steps."""
        self._progress.update(self._task, advance=n, note=printable(note))

    def line(self, text: str) -> None:
        """Print a line of stdout above the bar."""
        if self._above:
            self._progress.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stdout.write(f"{text}\n")


@contextmanager
def rich_bar(unit: str) -> Iterator[RichBar]:
    """Show the bar while the block runs; it disappears at the end."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn(
            "{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
    )
    above = sys.stdout.isatty()  # otherwise stdout is a file or a pipe
    with rich_file() as file:
        console = Console(file=file)
        with Progress(
            *columns, console=console, transient=True, expand=True, speed_estimate_period=120, redirect_stdout=above
        ) as progress:
            out, err = sys.stdout, sys.stderr
            sys.stderr = PrintableText(err)  # rich prints it above the bar
            if above:
                sys.stdout = PrintableText(out)
            try:
                yield RichBar(progress, progress.add_task("", total=None, note=""), above=above)
            finally:
                sys.stdout, sys.stderr = out, err
