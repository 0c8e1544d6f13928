"""Output of a command's rows: format, file, columns."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from ztfdb.errors import OutputError
from ztfdb.texts import failure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ztfdb.cli.cells import Rows
    from ztfdb.query.readonly import SqlParts
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
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""Suffixes by which pandas and others unpack what they read."""


@dataclass(frozen=True)
class Output:
    """Values of the output options of one call.

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

    @property
    def is_plain(self) -> bool:
        """Whether no option selects another output than the usual text on stdout."""
        return self.format == "table" and self.path is None and self.columns is None and not self.every

    def write(
        self,
        rows: Rows,
        *,
        usual: Sequence[str] | None = None,
        known: bool = True,
        hint: bool = True,
        answer: str | None = None,
    ) -> None:
        """Write the rows; messages about them go to stderr.

        Parameters
        ----------
        rows : DataFrame or Answer
            May be empty. An Answer is not converted to a DataFrame for a text table, CSV or JSON.
        usual : sequence of str, optional
            The columns of a text table, most important first; all by default. As many as fit the terminal are shown.
            Every other format has all columns.
        known : bool
            Whether the columns are ztfdb's own, whose descriptions are found by name.
        hint : bool
            On a terminal, mention how to see the hidden columns.
        answer : str, optional
            Name of the answer, for columns with a specific description in it: `ztfdb.schema.describe_column`.

        Raises
        ------
        click.UsageError
            If a requested column does not exist.
        OutputError
            If the file cannot be written.
        """
        chosen = self._chosen(rows, usual)
        with self._stream() as stream:
            if self.format == "table":
                self._write_table(chosen, len(_names(rows)), stream, known, hint)
            else:
                _write(chosen, self.format, _words(chosen, answer) if known else {}, stream)
        self._say(len(rows))

    @property
    def in_parts(self) -> bool:
        """Whether this format is written in batches, so that an answer need not fit into memory."""
        from ztfdb.cli.writers import PART_WRITERS

        return self.format in PART_WRITERS

    def write_parts(self, parts: Iterable[pd.DataFrame], answer: str | None = None) -> None:
        """Write rows from several frames with ztfdb's own columns; otherwise as `write`."""
        from ztfdb.cli.writers import PART_WRITERS

        n_row = 0
        words: dict[str, ColumnDescription] = {}

        def counted() -> Iterator[pd.DataFrame]:
            nonlocal n_row
            for frame in parts:
                n_row += len(frame)
                chosen = self._chosen(frame, None)
                words.update(_words(chosen, answer))
                yield cast("pd.DataFrame", chosen)

        with self._stream() as stream:
            PART_WRITERS[self.format](counted(), words, stream)
        self._say(n_row)

    def write_bytes(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        """Write pieces that are already in this format, each with its number of rows.

        Shows a progress bar, unless the rows themselves go to the terminal.
        """
        n_row = 0
        with self.counted("writing") as step, self._stream() as stream:
            for content, n in pieces:
                stream.write(content)
                n_row += n
                step(n)
        self._say(n_row)

    def write_sql(self, parts: SqlParts) -> None:
        """Write the rows of a statement in parts, with a progress bar; see `ztfdb.cli.sql_writers.write_sql`."""
        from ztfdb.cli.sql_writers import write_sql

        with self.counted("writing", parts.n_row) as step, self._stream() as stream:

            def chosen() -> Iterator[pd.DataFrame]:
                for frame in parts:
                    yield cast("pd.DataFrame", self._chosen(frame, None))

            write_sql(chosen, parts.n_row, self.format, stream, step)
        self._say(parts.n_row)

    @contextlib.contextmanager
    def counted(self, title: str, n_row: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a progress bar, unless the rows themselves go to the terminal; yield what counts rows."""
        from ztfdb.cli.progress import progress_bar

        if self.path is None and sys.stdout.isatty():
            yield lambda n: None
            return
        with progress_bar("rows") as bar:
            bar.begin(title, n_row)
            yield lambda n: bar.step(n=n)

    def _say(self, n_row: int) -> None:
        if n_row == 0:
            click.echo("no rows", err=True)
        elif self.path is not None:
            click.echo(f"wrote {n_row:,} {'row' if n_row == 1 else 'rows'} to {self.path}", err=True)

    def _chosen(self, rows: Rows, usual: Sequence[str] | None) -> Rows:
        names = _names(rows)
        if self.columns is not None:
            if unknown := [name for name in self.columns if name not in names]:
                raise click.UsageError(f"no column {', '.join(unknown)}; there are {', '.join(names)}")
            return _only(rows, self.columns)
        if self.format != "table" or self.every or usual is None:
            return rows
        return _only(rows, [name for name in usual if name in names])

    def _write_table(self, rows: Rows, n_column: int, stream: BinaryIO, known: bool, hint: bool) -> None:
        from ztfdb.cli.table import fitting, text_table

        terminal = self.path is None and sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else None
        if width is not None and self.columns is None and not self.every and len(_names(rows)) < n_column:
            rows = _only(rows, _names(rows)[: fitting(rows, width)])
        units = {name: described.unit for name, described in _words(rows).items()} if known else {}
        for line in text_table(rows, units, width, known=known, terminal=terminal):
            stream.write(f"{line}\n".encode("utf-8", "surrogateescape"))
        n_shown = len(_names(rows))
        if hint and n_shown < n_column and sys.stderr.isatty():
            stream.flush()
            click.echo(f"{n_shown} of {n_column} columns; --all shows every one", err=True)

    @contextlib.contextmanager
    def _stream(self) -> Iterator[BinaryIO]:
        """Yield stdout, or a temporary file that is renamed when it is complete."""
        if self.path is None:
            stream = sys.stdout.buffer
            yield stream
            stream.flush()
            return
        with whole_file(self.path) as stream:
            yield stream


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file, with the suffix of `path`, that takes its place when it is complete.

    Raises
    ------
    OutputError
        If it cannot be written; then there is no file, or the former one.
    """
    try:
        if path.exists() and (not path.is_file() or _is_open(path)):
            with path.open("wb") as stream:  # a device, a pipe, or what is open already
                yield stream
            return
        place = Path(os.path.realpath(path))  # a link stays a link
        with tempfile.NamedTemporaryFile(
            dir=place.parent, prefix=f".{place.stem}.", suffix=path.suffix, delete=False
        ) as part:
            try:
                yield part  # type: ignore[misc]  # the wrapper has every method of BinaryIO
                part.close()
                _permit(part.name, place)
                Path(part.name).replace(place)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise OutputError(f"{path} cannot be written: {failure(exc)}") from exc


def save_figure(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a figure to a file; its suffix selects the format.

    Raises
    ------
    OutputError
        If the suffix is of no known format, or the file cannot be written.
    """
    drawn = io.BytesIO()  # on a full disk some formats fail again when they close the file
    try:
        figure.savefig(drawn, dpi=dpi, format=path.suffix[1:])
    except ValueError as exc:
        raise OutputError(f"{path} cannot be written: {exc}") from exc
    with whole_file(path) as stream:
        stream.write(drawn.getbuffer())


def _write(rows: Rows, form: str, words: dict[str, ColumnDescription], stream: BinaryIO) -> None:
    from ztfdb.query.answer import Answer

    if isinstance(rows, Answer) and form in ("csv", "json"):
        from ztfdb.cli.column_writers import WRITERS as OF_COLUMNS

        OF_COLUMNS[form](list(rows.arrays.items()), len(rows), stream)
        return
    from ztfdb.cli.writers import WRITERS  # imports pandas

    WRITERS[form](rows.to_pandas() if isinstance(rows, Answer) else rows, words, stream)


def _names(rows: Rows) -> list[str]:
    from ztfdb.query.answer import Answer

    return list(rows.names) if isinstance(rows, Answer) else [str(name) for name in rows.columns]


def _only(rows: Rows, names: Sequence[str]) -> Rows:
    """Return some columns, in this order."""
    from ztfdb.query.answer import Answer

    return rows.only(names) if isinstance(rows, Answer) else rows[list(names)]


def _words(rows: Rows, answer: str | None = None) -> dict[str, ColumnDescription]:
    """Return the descriptions of ztfdb's own columns; columns brought by users have none."""
    from ztfdb.schema import describe_column

    found = {name: describe_column(name, answer) for name in _names(rows)}
    return {name: described for name, described in found.items() if described is not None}


def _is_open(path: Path) -> bool:
    """Return whether a path names what some process has open, as ``/dev/stderr`` and ``/dev/fd/3`` do."""
    folder = os.path.realpath(path.parent)
    return folder == "/dev" or folder.startswith("/proc/")


def _permit(path: str, place: Path) -> None:
    """Give a temporary file (which is private) the permissions of the file it replaces, or of an ordinary new one."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(stat.S_IMODE(place.stat().st_mode) if place.exists() else 0o666 & ~mask)


def new_picture(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Check before any work is done that a picture can be drawn into a file (click callback).

    Raises
    ------
    click.UsageError
        If the suffix is of no known format.
    MissingExtraError
        If matplotlib is not installed.
    OutputError
        If the file's folder does not exist.
    """
    if path is None:
        return None
    check_folder(path)
    from ztfdb.plot.canvas import picture_suffixes  # imports matplotlib

    if path.suffix.lower() not in picture_suffixes():
        raise click.UsageError(f"the suffix of {path} tells no format of a picture, such as .png, .pdf or .svg")
    return path


def check_folder(path: Path) -> None:
    """Raise an OutputError if the folder of a new file does not exist."""
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {path.parent}")


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the output of rows; the command gets them as ``output``, an `Output`."""

    @click.option(
        "--format", "format_", type=click.Choice(FORMATS, case_sensitive=False), help="[default: by -o, else table]"
    )
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
        If a file's suffix is unknown and no format was given, or is that of a packed file, or a binary format would
        go to a terminal.
    MissingExtraError
        If the format is Parquet and pyarrow is not installed.
    OutputError
        If the file's folder does not exist.
    """
    if path is not None and str(path) in ("-", "/dev/stdout"):
        path = None
    if path is not None:
        check_folder(path)
        if path.suffix.lower() in _PACKED:
            raise click.UsageError(f"{path}: files are written as they are; pack it afterwards, as with gzip")
    chosen = format_ or (_guessed(path) if path is not None else "table")
    if chosen == "parquet":
        from ztfdb.cli.writers import require_parquet  # imports pandas

        require_parquet()
    if chosen in _TITLES and path is None and sys.stdout.isatty():
        raise click.UsageError(f"{_TITLES[chosen]} is binary; name a file with -o")
    names = tuple(name.strip() for name in columns.split(",") if name.strip()) if columns is not None else None
    if names == ():
        raise click.UsageError(f"--columns {columns}: expected names of columns")
    return Output(chosen, path, names, every)


def _guessed(path: Path) -> str:
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise click.UsageError(f"the suffix of {path} tells no format ({known}); give one with --format") from None
