"""Where a command's rows go: format, file, columns."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ztfdb.errors import OutputError
from ztfdb.texts import printable

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.schema import ColumnDescription

FORMATS = ("table", "csv", "json", "votable", "parquet", "fits", "ecsv", "ipac")
_TITLES = {"parquet": "Parquet", "fits": "FITS"}
_SUFFIXES = {
    ".txt": "table",
    ".csv": "csv",
    ".json": "json",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".fits": "fits",
    ".fit": "fits",
    ".ecsv": "ecsv",
    ".tbl": "ipac",
    ".ipac": "ipac",
}


@dataclass(frozen=True)
class Output:
    """What the output options of one call say.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    path : Path or None
        The file, None for stdout.
    columns : tuple of str or None
        Columns to write, in this order; None for the usual ones.
    every : bool
        Write all columns, also as a text table.
    """

    format: str
    path: Path | None
    columns: tuple[str, ...] | None
    every: bool

    def write(
        self,
        frame: pd.DataFrame,
        *,
        usual: Sequence[str] | None = None,
        known: bool = True,
        hint: bool = True,
        answer: str | None = None,
    ) -> None:
        """Write the rows; words about them go to stderr.

        Parameters
        ----------
        frame : DataFrame
            The rows; may be empty.
        usual : sequence of str, optional
            The columns of a text table, most telling first; all of them by default. As many as fit the terminal
            are shown. Every other format has all columns.
        known : bool
            Whether the columns are ztfdb's own, which are described by their names.
        hint : bool
            Say on a terminal how to see the columns that are not shown.
        answer : str, optional
            Which answer it is, for columns that mean something more particular in it: `ztfdb.schema.describe_column`.

        Raises
        ------
        click.UsageError
            If a column was asked for that the answer does not have.
        OutputError
            If the file cannot be written.
        """
        from ztfdb.cli.writers import WRITERS  # imports what --help does not need to wait for

        chosen = self._chosen(frame, usual)
        with self._stream() as stream:
            if self.format == "table":
                self._write_table(chosen, frame.shape[1], stream, known, hint)
            else:
                WRITERS[self.format](chosen, _words(chosen, answer) if known else {}, stream)
        self._say(len(frame))

    @property
    def in_parts(self) -> bool:
        """Whether this format is written piece by piece, so that an answer need not fit into memory."""
        from ztfdb.cli.writers import PART_WRITERS

        return self.format in PART_WRITERS

    def write_parts(self, parts: Iterable[pd.DataFrame], answer: str | None = None) -> None:
        """Write rows that come in several frames of ztfdb's own columns; otherwise as `write`."""
        from ztfdb.cli.writers import PART_WRITERS

        n_row = 0
        words: dict[str, ColumnDescription] = {}

        def counted() -> Iterator[pd.DataFrame]:
            nonlocal n_row
            for frame in parts:
                n_row += len(frame)
                chosen = self._chosen(frame, None)
                words.update(_words(chosen, answer))
                yield chosen

        with self._stream() as stream:
            PART_WRITERS[self.format](counted(), words, stream)
        self._say(n_row)

    def write_bytes(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        """Write what comes in pieces, each with the number of its rows, ready in this format."""
        from ztfdb.cli.progress import progress_bar

        n_row = 0
        with progress_bar("rows") as bar, self._stream() as stream:
            bar.begin("writing", None)
            for content, n in pieces:
                stream.write(content)
                n_row += n
                bar.step(n=n)
        self._say(n_row)

    def _say(self, n_row: int) -> None:
        if n_row == 0:
            click.echo("no rows", err=True)
        elif self.path is not None:
            click.echo(f"wrote {n_row:,} {'row' if n_row == 1 else 'rows'} to {self.path}", err=True)

    def _chosen(self, frame: pd.DataFrame, usual: Sequence[str] | None) -> pd.DataFrame:
        if self.columns is not None:
            if unknown := [name for name in self.columns if name not in frame.columns]:
                known = ", ".join(map(str, frame.columns))
                raise click.UsageError(f"no column {', '.join(unknown)}; there are {known}")
            return frame[list(self.columns)]
        if self.format != "table" or self.every or usual is None:
            return frame
        return frame[[name for name in usual if name in frame.columns]]

    def _write_table(self, frame: pd.DataFrame, n_column: int, stream: BinaryIO, known: bool, hint: bool) -> None:
        from ztfdb.cli.table import fitting, text_table

        width = shutil.get_terminal_size().columns if self.path is None and sys.stdout.isatty() else None
        if width is not None and self.columns is None and not self.every and frame.shape[1] < n_column:
            frame = frame.iloc[:, : fitting(frame, width)]
        units = {name: described.unit for name, described in _words(frame).items()} if known else {}
        if self.path is None and sys.stdout.isatty():
            frame = _printable(frame)
        for line in text_table(frame, units, width, known=known):
            stream.write(f"{line}\n".encode("utf-8", "surrogateescape"))
        if hint and frame.shape[1] < n_column and sys.stderr.isatty():
            stream.flush()
            click.echo(f"{frame.shape[1]} of {n_column} columns; --all shows every one", err=True)

    @contextlib.contextmanager
    def _stream(self) -> Iterator[BinaryIO]:
        """Yield stdout, or a file that takes its name only when it is whole."""
        if self.path is None:
            stream = sys.stdout.buffer
            yield stream
            stream.flush()
            return
        try:
            if self.path.exists() and not self.path.is_file():  # a device or a pipe
                with self.path.open("wb") as stream:
                    yield stream
                return
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.", delete=False) as part:
                try:
                    yield part  # type: ignore[misc]  # the wrapper has every method of BinaryIO
                    part.close()
                    _permit(part.name)
                    Path(part.name).replace(self.path)
                except BaseException:
                    Path(part.name).unlink(missing_ok=True)
                    raise
        except OSError as exc:
            raise OutputError(f"{self.path} cannot be written: {exc.strerror or exc}") from exc


def _words(frame: pd.DataFrame, answer: str | None = None) -> dict[str, ColumnDescription]:
    """Return what the columns of ztfdb's own are; those that users brought are not among them."""
    from ztfdb.schema import describe_column  # imports SQLAlchemy

    found = {str(name): describe_column(str(name), answer) for name in frame.columns}
    return {name: described for name, described in found.items() if described is not None}


def _printable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with their texts as the terminal will show them, so that its columns stay in line."""
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufMm"]
    shown = {name: frame[name].map(lambda one: printable(one) if isinstance(one, str) else one) for name in texts}
    return frame.assign(**shown).rename(columns=lambda name: printable(str(name)))


def _permit(path: str) -> None:
    """Give a temporary file (which is private) the permissions that any new file has."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how rows are written; the command gets them as ``output``, an `Output`."""

    @click.option("--format", "format_", type=click.Choice(FORMATS), help="[default: by -o, else table]")
    @click.option("-o", "--output", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
    @click.option("--columns", metavar="A,B,…", help="Only these columns, in this order.")
    @click.option("--all", "every", is_flag=True, help="All columns, also in a table.")
    @wraps(command)
    def with_output(
        *args: Any, format_: str | None, path: Path | None, columns: str | None, every: bool, **kwargs: Any
    ) -> Any:
        return command(*args, output=make_output(format_, path, columns, every), **kwargs)

    return with_output


def make_output(format_: str | None, path: Path | None, columns: str | None, every: bool) -> Output:
    """Check the output options before any work is done.

    Raises
    ------
    click.UsageError
        If a file's suffix tells no format and none was given, or a binary format was meant for a terminal.
    MissingExtraError
        If Parquet is wanted and pyarrow is not installed.
    OutputError
        If the file's folder does not exist.
    """
    if path is not None and str(path) == "-":
        path = None
    if path is not None and not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {path.parent}")
    chosen = format_ or (_guessed(path) if path is not None else "table")
    if chosen == "parquet":
        from ztfdb.cli.writers import require_parquet  # imports pandas

        require_parquet()
    if chosen in _TITLES and path is None and sys.stdout.isatty():
        raise click.UsageError(f"{_TITLES[chosen]} is binary; name a file with -o")
    names = tuple(name.strip() for name in columns.split(",") if name.strip()) if columns is not None else None
    return Output(chosen, path, names, every)


def _guessed(path: Path) -> str:
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise click.UsageError(f"the suffix of {path} tells no format ({known}); give one with --format") from None
