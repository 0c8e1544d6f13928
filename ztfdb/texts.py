"""Text as it may be shown: without control characters, without secrets, on one line.

What ztfdb shows comes from file names, headers, rows and servers. None of it may move a terminal's cursor, and a
password in a URL is for the server alone.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

HIDDEN = "***"
"""What stands for a secret."""

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
"""One of these is in every key whose value is hidden."""
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode's categories of what is no sign on paper: controls, directions, lone surrogates, ends of lines."""


def hide_secrets(text: str) -> str:
    """Return a text with the secrets of URLs and of libpq's ``key=value`` words in it as ``***``.

    Hidden are passwords before the host, and the values of keys such as ``password``, ``sslpassword``, ``token``,
    ``secret``, ``X-Amz-Signature``; rather one word too much than a password.
    """
    if "://" in text:
        text = _USER.sub(rf"\1:{HIDDEN}", text)
    return _PAIR.sub(rf"\g<key>\g<sign>{HIDDEN}", text) if "=" in text and _may_hold_key(text) else text


def _may_hold_key(text: str) -> bool:
    """Tell whether it is worth to look for keys: a line of a log mostly has none, and looking for all takes longer."""
    if not text.isascii():  # the expression ignores case, by which ſ is an s
        return True
    lower = text.lower()
    return any(word in lower for word in _IN_KEYS)


def is_secret_key(key: str) -> bool:
    """Tell whether a key of a URL's query names a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


def without_secrets(value: Any) -> Any:
    """Return a value with the secrets of every text in it hidden; lists and dictionaries are gone through."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {key: without_secrets(one) for key, one in value.items()}
    return [without_secrets(one) for one in value] if isinstance(value, list | tuple) else value


def printable(text: str, *, keep: str = "") -> str:
    r"""Return a text in which nothing acts on a terminal: what cannot be seen is written as an escape.

    A byte of a name that is not UTF-8 becomes ``\xff``, a control character ``\x1b``, a mark that turns the direction
    of writing ``\u202e``.

    Parameters
    ----------
    text : str
    keep : str
        Characters to leave as they are, as ``"\n"``.
    """
    rest = text
    for one in keep:
        rest = rest.replace(one, "")
    if rest.isascii() and rest.isprintable():
        return text
    return "".join(one if one in keep or _is_seen(one) else _escaped(one) for one in text)


def one_line(said: object) -> str:
    """Return a text, or an error's message, on one line, printable and without secrets; the type of a silent error."""
    line = printable(hide_secrets(" ".join(str(said).split())))
    return line or (type(said).__name__ if isinstance(said, BaseException) else "")


def _is_seen(one: str) -> bool:
    return one.isprintable() or unicodedata.category(one) not in _UNSEEN


def _escaped(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that os.fsdecode could not read
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
