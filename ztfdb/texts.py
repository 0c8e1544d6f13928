"""Text for display: without control characters, without secrets, on one line.

ztfdb shows text from file names, headers, rows and servers. It must not move a terminal's cursor, and a password in a
URL is only for the server.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Protocol

HIDDEN = "***"
"""Replaces a secret."""

_KEY = r"[\w.%-]*(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|signature|credential|api[_-]?key|access[_-]?key)"
_SECRET_KEY = re.compile(rf"{_KEY}|(?:account|shared|private)[_-]?key|sig|key", re.IGNORECASE)
_USER = re.compile(r"(?<=://)([^:/?#@\s'\"]*):[^\s'\"<>]+(?=@)")
_PAIR = re.compile(
    rf"""(?P<key>(?<![\w.%-])(?:{_KEY}|(?:account|shared|private)[_-]?key)|(?<=[?&;])(?:sig|key))
    (?P<sign>\s*=\s*)
    (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&;,'"<>)\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_IN_KEYS = ("pass", "pwd", "secret", "token", "sig", "credential", "key")
"""Every key of a hidden value contains one of these."""
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories of invisible characters: controls, directions, lone surrogates, ends of lines."""


class SupportsWrite(Protocol):
    """A file of text."""

    def write(self, text: str, /) -> Any:
        """Write a text."""


class CsvLines:
    """What `csv.writer` (with its own ends of lines) writes to, so that lines end with a line feed alone.

    With another ``lineterminator`` it leaves a carriage return within a text without quotes, up to Python 3.12, and
    readers take that for the end of the line.

    Parameters
    ----------
    stream : file
        Of text.
    """

    def __init__(self, stream: SupportsWrite) -> None:
        self._write = stream.write

    def write(self, line: str, /) -> None:
        """Write one line, which ends with a carriage return and a line feed."""
        self._write(f"{line[:-2]}\n")


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 image``, ``2,000 images``; `many` is a plural that is not made by an s."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def hide_secrets(text: str) -> str:
    """Return a text with ``***`` instead of the secrets of URLs and of libpq's ``key=value`` words.

    Passwords before the host are hidden, and the values of keys such as ``password``, ``sslpassword``, ``token``,
    ``secret``, ``X-Amz-Signature``. Hiding one word too many is better than showing a password.
    """
    if "://" in text:
        text = _USER.sub(rf"\1:{HIDDEN}", text)
    return _PAIR.sub(rf"\g<key>\g<sign>{HIDDEN}", text) if "=" in text and _may_hold_key(text) else text


def _may_hold_key(text: str) -> bool:
    """Return whether a text may contain such keys: most lines of a log do not, and the full search takes longer."""
    if not text.isascii():  # the expression ignores case, and ſ matches s
        return True
    lower = text.lower()
    return any(word in lower for word in _IN_KEYS)


def is_secret_key(key: str) -> bool:
    """Return whether a key of a URL's query names a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


def without_secrets(value: Any) -> Any:
    """Return a value with the secrets of every text in it hidden, including those in lists and dictionaries."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {key: without_secrets(one) for key, one in value.items()}
    return [without_secrets(one) for one in value] if isinstance(value, list | tuple) else value


def printable(text: str, *, keep: str = "") -> str:
    r"""Return a text that cannot act on a terminal: invisible characters are written as escapes.

    A byte of a name that is not UTF-8 becomes ``\xff``, a control character ``\x1b``, a mark that turns the direction
    of writing ``\u202e``.

    Parameters
    ----------
    text : str
    keep : str
        Characters to leave unchanged, such as ``"\n"``.
    """
    rest = text
    for one in keep:
        rest = rest.replace(one, "")
    if rest.isascii() and rest.isprintable():
        return text
    return "".join(one if one in keep or _is_seen(one) else _escaped(one) for one in text)


def one_line(said: object) -> str:
    """Return a text, or an error's message, on one line, printable and without secrets; the type of an empty error."""
    line = printable(hide_secrets(" ".join(str(said).split())))
    return line or (type(said).__name__ if isinstance(said, BaseException) else "")


def failure(exc: Exception) -> object:
    """Return what an error says; of an error of the system only the reason: messages here name the file themselves."""
    return getattr(exc, "strerror", None) or exc


def _is_seen(one: str) -> bool:
    return one.isprintable() or unicodedata.category(one) not in _UNSEEN


def _escaped(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that os.fsdecode could not decode
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
