"""The streams of a command: terminals get printable text only, and a closed stream gives a one-line error.

All output of a command passes through here (click, logging, library warnings): stderr always, because its lines are
messages; stdout if it is a terminal. Files and pipes get the rows byte for byte.
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
"""Control characters that are not escaped: lines and tables need them."""


def say(line: str) -> None:
    """Print a message to stdout without secrets; rows on stdout are not filtered."""
    click.echo(hide_secrets(line))


class StdoutError(ZtfdbError):
    """stdout cannot be written."""


class Layer(io.RawIOBase):
    """A byte stream in front of a standard stream; bytes to be escaped must be UTF-8 text.

    Parameters
    ----------
    under : file
        The stream of bytes to write to.
    encoding : str
        Encoding of the terminal; characters outside it are escaped.
    exact : bool
        Pass on the bytes unchanged; otherwise escape everything that would control a terminal.
    words : bool
        The stream carries messages, not rows: secrets are hidden, and if the stream is closed they are dropped.
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
        """Write these bytes; an incomplete character at the end waits for its remaining bytes.

        Raises
        ------
        BrokenPipeError
            If the reader of the rows has closed the pipe.
        StdoutError
            If the rows cannot be written for another reason; later output is dropped.
        """
        content = bytes(data)
        if not self._exact:
            text = printable(self._decoder.decode(content), keep=KEPT)
            content = (hide_secrets(text) if self._words else text).encode(self.encoding, "backslashreplace")
        if content:  # click tests a stream with an empty write, and would swallow the error
            with self._failing():
                self.under.write(content)
                if self._at_once:
                    self.under.flush()
        return len(data)

    def flush(self) -> None:
        """Flush the stream below, unless either is closed: Python flushes a stream that is no longer used."""
        if not (self.closed or self.under.closed):
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
        """Return True: such a stream is only used with a progress bar."""
        return True


@contextlib.contextmanager
def streams() -> Iterator[None]:
    """Install the streams of a command while the block runs."""
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
    """Yield the unfiltered stderr for a progress bar, which needs escape sequences; notes must be printable."""
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
    """Redirect a stream to /dev/null: Python flushes it at exit, and would report an error for its buffered rest."""
    with contextlib.suppress(OSError, ValueError):
        number, nothing = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)


def _layered(stream: TextIO, *, exact: bool = False, words: bool = False) -> TextIO:
    """Return a text stream that ends in `stream`."""
    under = getattr(stream, "buffer", None)
    if under is None:  # a text-only stream, as some test runners install
        return stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    layer = cast(BinaryIO, Layer(under, encoding, exact=exact, words=words))
    above = encoding if exact else "utf-8"
    return io.TextIOWrapper(layer, above, errors="surrogateescape", write_through=True, newline="")


def _open_what_is_closed() -> None:
    """Open the standard streams that were closed when the process started.

    Otherwise a file opened later would get the free descriptor, and output would go into it. Reading a closed stdin
    ends at once, writing to a closed stdout fails, messages to a closed stderr are dropped.
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
