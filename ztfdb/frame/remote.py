"""Files on the other side of a network, read by byte ranges: ``https://`` by the standard library, others by fsspec."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from typing import Any, Protocol

from ztfdb.errors import FileMissingError, ImageReadError, MissingExtraError

TIMEOUT_S = 60.0
"""How long a server may be silent."""

_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


class RemoteFile(Protocol):
    """A file of which parts can be had."""

    path: str

    def read(self, offset: int, n: int) -> bytes:
        """Return up to `n` bytes from `offset` on."""

    def size(self) -> int:
        """Return how many bytes there are."""


def is_remote(path: str) -> bool:
    """Tell a URL from a path."""
    return "://" in path


def open_remote(url: str) -> RemoteFile:
    """Return a remote file; nothing is asked of the server yet.

    Raises
    ------
    MissingExtraError
        If it is not on the web and fsspec is not installed.
    ImageReadError
        If fsspec does not know such URLs.
    """
    return _WebFile(url) if url.startswith(("http://", "https://")) else _FsspecFile(url)


class _WebFile:
    def __init__(self, url: str) -> None:
        self.path = url
        self._size: int | None = None

    def read(self, offset: int, n: int) -> bytes:
        request = urllib.request.Request(self.path, headers={"Range": f"bytes={offset}-{offset + n - 1}"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                content: bytes = answer.read()
                total = _TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
                whole = answer.status != 206  # a server without ranges sends everything
        except urllib.error.HTTPError as exc:
            exc.close()  # it is the answer, with its connection
            if exc.code in (404, 410):
                raise FileMissingError(self.path, f"the server says {exc.code}") from exc
            if exc.code == 416:
                return b""
            raise ImageReadError(self.path, f"the server says {exc.code} {exc.reason}") from exc
        except OSError as exc:
            raise ImageReadError(self.path, f"cannot be read: {exc}") from exc
        self._size = len(content) if whole else int(total[1]) if total else None
        return content[offset : offset + n] if whole else content

    def size(self) -> int:
        if self._size is None:
            self.read(0, 1)
        if self._size is None:
            raise ImageReadError(self.path, "the server does not say how long the file is")
        return self._size


class _FsspecFile:
    def __init__(self, url: str) -> None:
        try:
            import fsspec  # an extra
        except ImportError as exc:
            raise MissingExtraError(f"reading {url.partition(':')[0]} files", "remote") from exc
        self.path = url
        try:
            self._system, self._name = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as exc:
            raise ImageReadError(url, f"cannot be read: {exc}") from exc

    def read(self, offset: int, n: int) -> bytes:
        content: bytes = self._asked(self._system.cat_file, start=offset, end=offset + n)
        return content

    def size(self) -> int:
        return int(self._asked(self._system.info)["size"])

    def _asked(self, question: Any, **how: int) -> Any:
        try:
            return question(self._name, **how)
        except FileNotFoundError as exc:
            raise FileMissingError(self.path, "there is no such file") from exc
        except Exception as exc:  # each service has errors of its own
            raise ImageReadError(self.path, f"cannot be read: {exc}") from exc
