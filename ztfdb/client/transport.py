"""Requests to a service with its token and time limit; its errors become ztfdb's own."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from ztfdb import __version__, errors
from ztfdb.errors import ConfigError, ImageError, QueryError, RemoteError, ServiceRefusedError, ServiceUnavailableError

PREFIX = "/api/v1"
TIMEOUT_S = 60.0

_ARGUMENTS: dict[str, Any] = {"ValueError": ValueError, "TypeError": TypeError}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirects, because a token would be sent to another address than its owner chose."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        """Refuse."""


class Transport:
    """The connection to one service.

    Parameters
    ----------
    url : str
        URL of the service, ``http://host:8000`` or ``https://host/prefix``.
    token : str
        Sent as ``Authorization: Bearer``; nothing is sent if it is empty.
    timeout_s : float
        Seconds without any data until a request fails.

    Raises
    ------
    ConfigError
        If the URL is invalid, or contains a user name or password.
    """

    def __init__(self, url: str, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(
                f"{url!r} is not the address of a service: expected http://host:port or https://host/prefix"
            )
        if parts.username is not None or parts.password is not None:
            raise ConfigError("a service's token belongs in ZTFDB_TOKEN or the configuration, not in its address")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ConfigError("the token of the service (ZTFDB_TOKEN) has characters that no token can have")
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON from a path below ``/api/v1``; lists become repeated parameters, None is left out."""
        query = urlencode({k: v for k, v in (params or {}).items() if v is not None}, doseq=True)
        return self._json(f"{quote(path)}?{query}" if query else quote(path), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON answer to a JSON document."""
        return self._json(quote(path), json.dumps(body, allow_nan=False).encode())

    def lines(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the JSON documents, one per line, of the answer to a JSON document; raise an ``error`` among them."""
        with self._opened(quote(path), json.dumps(body, allow_nan=False).encode()) as answer:
            for line in answer:
                found = json.loads(line)
                if "error" in found:
                    self._raise(found["error"])
                yield found

    def _json(self, target: str, body: bytes | None) -> Any:
        with self._opened(target, body) as answer:
            try:
                return json.loads(answer.read())
            except ValueError:
                raise RemoteError(f"{self.url} does not answer as a service of ztfdb") from None

    @contextmanager
    def _opened(self, target: str, body: bytes | None) -> Iterator[Any]:
        headers = {"User-Agent": f"ztfdb/{__version__}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self.url}{PREFIX}{target}", body, headers)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                yield answer
        except urllib.error.HTTPError as exc:
            with exc:
                self._refused(exc)
        except (OSError, http.client.HTTPException) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise ServiceUnavailableError(f"{self.url} cannot be reached: {reason or type(exc).__name__}") from exc

    def _refused(self, exc: urllib.error.HTTPError) -> NoReturn:
        if 300 <= exc.code < 400:
            raise RemoteError(f"{self.url} points to {exc.headers.get('Location', 'another address')}: open that one")
        try:
            body = json.loads(exc.read())
            detail = body.get("detail") or body["error"]
        except (ValueError, KeyError, AttributeError, TypeError):
            body, detail = {}, f"status {exc.code}"
        if exc.code in (502, 503, 504, 429):
            raise ServiceUnavailableError(f"{self.url}: {detail}")
        if exc.code in (401, 403):
            raise ServiceRefusedError(f"{self.url}: {detail}; a token goes into ZTFDB_TOKEN or the configuration")
        self._raise({"status": exc.code, "error": "", **body, "detail": detail})

    def _raise(self, error: Mapping[str, Any]) -> NoReturn:
        """Raise the same error as the service."""
        name, detail, status = error["error"], error["detail"], error["status"]
        kind: Any = _ARGUMENTS.get(name) or (getattr(errors, name, None) if name else None)
        if name in _ARGUMENTS:
            raise kind(detail)
        if isinstance(kind, type) and issubclass(kind, ImageError):
            file = error.get("file", "")
            raise kind(file, detail.removeprefix(f"{file}: "))
        if status == 413:
            raise QueryError(detail)
        if isinstance(kind, type) and issubclass(kind, errors.ZtfdbError) and "__reduce__" not in vars(kind):
            raise kind(detail)  # those with their own __reduce__ need more than a message
        raise RemoteError(f"{self.url}: {detail} (status {status})")
