"""Remote files, read by byte ranges: ``https://`` with the standard library, other URLs with fsspec.

Servers are not trusted: at most the requested bytes plus `SPARE` are read, within `WHOLE_S`, and only from the host
given in the archive.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import urllib.error
import urllib.request
from typing import Any, Protocol
from urllib.parse import urlsplit

from ztfdb.errors import FileMissingError, ImageReadError, MissingExtraError

TIMEOUT_S = 60.0
"""Timeout for each read from a server."""

WHOLE_S = 600.0
"""Time limit of one response, from the connection to its last byte."""

SPARE = 1 << 20
"""Maximum bytes that are read beyond the requested ones."""

_PIECE = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class NoRangesError(ImageReadError):
    """The server sends only whole files, and the requested range lies too far from the start."""

    retryable = False


class RemoteFile(Protocol):
    """A file with random access."""

    path: str

    def read(self, offset: int, n: int) -> bytes:
        """Return up to `n` bytes from `offset` on."""

    def size(self) -> int:
        """Return the size in bytes."""


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return "://" in path


def open_remote(url: str) -> RemoteFile:
    """Return a remote file, without contacting the server.

    Raises
    ------
    MissingExtraError
        If it is not an HTTP(S) URL and fsspec is not installed.
    ImageReadError
        If fsspec does not support such URLs.
    """
    return _WebFile(url) if url.startswith(("http://", "https://")) else _FsspecFile(url)


class _Deadline:
    """Closes a connection when its time is up; a socket timeout does not suffice, because every byte restarts it."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._twins: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *words: object) -> None:
        self._timer.cancel()
        for twin in self._twins:
            twin.close()

    def connect(self, *words: Any, **how: Any) -> socket.socket:
        """Make a connection with a deadline; a duplicate of the socket stays valid when TLS wraps the original."""
        made = socket.create_connection(*words, **how)
        self._twins.append(made.dup())
        return made

    def _end(self) -> None:
        self.over = True
        for twin in self._twins:
            try:
                twin.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def _opener(deadline: _Deadline) -> urllib.request.OpenerDirector:
    """Return an opener with a deadline for connections, which only follows redirects within scheme and host."""

    class Plain(http.client.HTTPConnection):
        def __init__(self, *words: Any, **how: Any) -> None:
            super().__init__(*words, **how)
            self._create_connection = deadline.connect

    class Secure(http.client.HTTPSConnection):
        def __init__(self, *words: Any, **how: Any) -> None:
            super().__init__(*words, **how)
            self._create_connection = deadline.connect

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    return urllib.request.build_opener(PlainHandler, SecureHandler, _SameHost)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to another path of the same host and scheme."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if (here.scheme, here.hostname, here.port) != (there.scheme, there.hostname, there.port):
            raise _Elsewhere(f"{there.scheme}://{there.hostname}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Elsewhere(Exception):
    """A server redirected to another one."""


class _WebFile:
    def __init__(self, url: str) -> None:
        self.path = url
        self._size: int | None = None

    def read(self, offset: int, n: int) -> bytes:
        if n <= 0:
            return b""
        with _Deadline(WHOLE_S) as deadline:
            try:
                content = self._ask(_opener(deadline), offset, n)
            except ImageReadError:
                if not deadline.over:
                    raise
            except urllib.error.HTTPError as exc:
                exc.close()  # the exception holds the response and its connection
                if exc.code in (404, 410):
                    raise FileMissingError(self.path, f"the server says {exc.code}") from exc
                if exc.code == 416:
                    return b""
                raise ImageReadError(self.path, f"the server says {exc.code} {exc.reason}") from exc
            except _Elsewhere as exc:
                raise ImageReadError(
                    self.path, f"the server sends us to {exc}: only redirects within its scheme and host are followed"
                ) from exc
            except (OSError, http.client.HTTPException, ValueError) as exc:
                if not deadline.over:
                    reason = str(exc) or type(exc).__name__
                    raise ImageReadError(self.path, f"cannot be read: {reason[:200]}") from exc
            if deadline.over:  # the error was caused by closing the connection
                raise ImageReadError(self.path, f"the answer was not whole after {WHOLE_S:g} s")
            return content

    def size(self) -> int:
        if self._size is None:
            self.read(0, 1)
        if self._size is None:
            raise ImageReadError(self.path, "the server does not say how long the file is")
        return self._size

    def _ask(self, opener: urllib.request.OpenerDirector, offset: int, n: int) -> bytes:
        # identity: compressed content would have other offsets
        headers = {"Range": f"bytes={offset}-{offset + n - 1}", "Accept-Encoding": "identity"}
        with opener.open(urllib.request.Request(self.path, headers=headers), timeout=TIMEOUT_S) as answer:
            if answer.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
                raise ImageReadError(self.path, "the server sends packed what was asked for as it is")
            if answer.status == 206:
                return self._part(answer, offset, n)
            if answer.status != 200:
                raise ImageReadError(self.path, f"the server says {answer.status}, not a file")
            return self._beginning(answer, offset, n)

    def _part(self, answer: Any, offset: int, n: int) -> bytes:
        """Return the requested range, or the part of it that exists."""
        text = answer.headers.get("Content-Range", "")
        found = _RANGE.fullmatch(text.strip())
        first, last = (int(found[1]), int(found[2])) if found else (-1, -1)
        total = int(found[3]) if found and found[3] != "*" else None
        end = offset + n if total is None else min(offset + n, total)
        if first != offset or last != end - 1:
            raise ImageReadError(
                self.path, f"asked for bytes {offset}-{offset + n - 1}, the server sends {text[:80] or 'others'}"
            )
        length = answer.headers.get("Content-Length", str(end - offset)).strip()
        if length != str(end - offset):
            raise ImageReadError(self.path, f"the server sends {end - offset} bytes and announces {length[:40]}")
        content = self._content(answer, end - offset)
        self._size = total
        return content

    def _beginning(self, answer: Any, offset: int, n: int) -> bytes:
        """Return the range from a whole file, for servers without ranges."""
        length = answer.headers.get("Content-Length")
        self._size = int(length) if length is not None and length.isdigit() else None
        if offset > SPARE:
            raise NoRangesError(self.path, "the server sends no byte ranges")
        wanted = offset + n if self._size is None else min(offset + n, self._size)
        return self._content(answer, wanted, more=True)[offset:]

    def _content(self, answer: Any, n: int, *, more: bool = False) -> bytes:
        """Read exactly `n` bytes of a response; fewer, or unexpected further ones, are an error."""
        pieces = []
        left = n
        while left > 0 and (piece := answer.read(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
        if left > 0 and (not more or answer.headers.get("Content-Length") is not None):
            raise ImageReadError(self.path, f"the answer ends after {n - left} of {n} bytes")
        if not more and answer.read(1):
            raise ImageReadError(self.path, f"the server sends more than the {n} bytes it announced")
        return b"".join(pieces)


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
        if len(content) > n:
            raise ImageReadError(self.path, f"{len(content)} bytes came where {n} were asked for")
        return content

    def size(self) -> int:
        return int(self._asked(self._system.info)["size"])

    def _asked(self, question: Any, **how: int) -> Any:
        try:
            return question(self._name, **how)
        except FileNotFoundError as exc:
            raise FileMissingError(self.path, "there is no such file") from exc
        except Exception as exc:  # each fsspec package has its own errors
            raise ImageReadError(self.path, f"cannot be read: {exc}") from exc
