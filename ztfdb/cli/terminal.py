"""The streams of a command: what reaches a terminal is printable, and a stream that is closed ends in one line.

Everything that a command prints passes through here, whoever prints it (click, logging, a library's warning): stderr
always, for its lines are words; stdout where it is a terminal. Files and pipes get the rows byte for byte.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO, cast

import click

from ztfdb.errors import ZtfdbError
from ztfdb.texts import hide_secrets, printable

KEPT = "\n\t"
"""The control characters that lines and tables are made of."""


def say(line: str) -> None:
    """Print a line of words to stdout, where rows are printed as they are: without secrets."""
    click.echo(hide_secrets(line))


class StdoutError(ZtfdbError):
    """What was printed cannot be written."""


class Layer(io.RawIOBase):
    """Bytes on their way to a standard stream; the bytes are text in UTF-8 where they are to be escaped.

    Parameters
    ----------
    under : file
        The stream of bytes to write to.
    encoding : str
        Of the terminal; a character that it lacks is escaped.
    exact : bool
        Pass on the bytes as they are; otherwise everything is escaped that would act on a terminal.
    words : bool
        These are words, no rows: secrets are hidden, and where nobody can read them any more they are dropped.
    """

    def __init__(self, under: BinaryIO, encoding: str, *, exact: bool, words: bool) -> None:
        super().__init__()
        self.under, self.encoding = under, encoding
        self._exact, self._words, self._broken = exact, words, False
        self._at_once = words or under.isatty()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write these bytes; a character that they cut in two waits for its rest.

        Raises
        ------
        BrokenPipeError
            If the reader of the rows has gone.
        StdoutError
            If the rows cannot be written for another reason; what comes later is dropped.
        """
        content = bytes(data)
        if not self._exact:
            text = printable(self._decoder.decode(content), keep=KEPT)
            content = (hide_secrets(text) if self._words else text).encode(self.encoding, "backslashreplace")
        if content:  # click tries a stream by writing nothing, and would swallow the error
            with self._failing():
                self.under.write(content)
                if self._at_once:
                    self.under.flush()
        return len(data)

    def flush(self) -> None:
        """Flush the stream below."""
        if not self.closed:
            with self._failing():
                self.under.flush()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            again, self._broken = self._broken, True
            if self._words or again:
                return
            _discard(self.under)
            if isinstance(exc, BrokenPipeError):
                raise
            raise StdoutError(f"stdout cannot be written: {exc.strerror or exc}") from exc

    def isatty(self) -> bool:
        """Tell whether the stream below is a terminal."""
        return self.under.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self.under.fileno()


class PrintableText(io.TextIOBase):
    """A text stream that passes on printable text, without secrets.

    Parameters
    ----------
    under : file
        The stream of text to write to.
    """

    def __init__(self, under: TextIO) -> None:
        super().__init__()
        self._under = under

    @property
    def buffer(self) -> BinaryIO:
        """The stream of bytes below."""
        return self._under.buffer

    def write(self, text: str) -> int:
        """Write the text."""
        self._under.write(hide_secrets(printable(text, keep=KEPT)))
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self._under.flush()

    def isatty(self) -> bool:
        """Return True: only beside a progress bar such a stream is needed."""
        return True


@contextlib.contextmanager
def streams() -> Iterator[None]:
    """Give the process the streams of a command while the block runs."""
    _open_what_is_closed()
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _layered(out, exact=not out.isatty()), _layered(err, words=True)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, StdoutError):
                stream.flush()
        sys.stdout, sys.stderr = out, err


@contextlib.contextmanager
def rich_file() -> Iterator[TextIO]:
    """Yield a terminal's own stderr for a progress bar, whose escape sequences are meant; notes must be printable."""
    layer = getattr(sys.stderr, "buffer", None)
    if not isinstance(layer, Layer):
        yield sys.stderr
        return
    text = io.TextIOWrapper(layer.under, layer.encoding, errors="backslashreplace", write_through=True)
    try:
        yield text
    finally:
        text.detach()


def _discard(stream: BinaryIO) -> None:
    """Point a stream at nothing: Python flushes it once more at the end, and would complain of what is left in it."""
    with contextlib.suppress(OSError, ValueError):
        number, nothing = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)


def _layered(stream: TextIO, *, exact: bool = False, words: bool = False) -> TextIO:
    """Return a text stream that ends in `stream`."""
    under = getattr(stream, "buffer", None)
    if under is None:  # a stream of text alone, as some test runners put there
        return stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    layer = cast(BinaryIO, Layer(under, encoding, exact=exact, words=words))
    above = encoding if exact else "utf-8"
    return io.TextIOWrapper(layer, above, errors="surrogateescape", write_through=True, newline="")


def _open_what_is_closed() -> None:
    """Open the standard streams that the process was started without.

    A file that is opened later would take the free number, and what is printed would go into it. Reading of a closed
    stdin ends at once, writing to a closed stdout fails, words to a closed stderr are dropped.
    """
    for number, how in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, how)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (it stays open)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
