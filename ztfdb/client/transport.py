"""Requests to a service: its token, its time limit, and its errors as ztfdb's own."""

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
    """Follows nothing: a token would go where its owner did not send it."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        """Refuse."""


class Transport:
    """The way to one service.

    Parameters
    ----------
    url : str
        Its address, ``http://host:8000`` or ``https://host/prefix``.
    token : str
        Sent as ``Authorization: Bearer``; none where it is empty.
    timeout_s : float
        Seconds without a byte until a request is given up.

    Raises
    ------
    ConfigError
        If the address cannot be one, or has a name and a password in it.
    """

    def __init__(self, url: str, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"{url!r} is no address of a service: expected http://host:port or https://host/prefix")
        if parts.username is not None or parts.password is not None:
            raise ConfigError("a service's token belongs in ZTFDB_TOKEN or the configuration, not in its address")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ConfigError("the token of the service (ZTFDB_TOKEN) has characters that no token has")
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an address below ``/api/v1``; lists are repeated parameters, None is left away."""
        query = urlencode({k: v for k, v in (params or {}).items() if v is not None}, doseq=True)
        return self._json(f"{quote(path)}?{query}" if query else quote(path), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON that answers a JSON document."""
        return self._json(quote(path), json.dumps(body, allow_nan=False).encode())

    def lines(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the JSON documents, one a line, that answer a JSON document; an ``error`` among them is raised."""
        with self._asked(quote(path), json.dumps(body, allow_nan=False).encode()) as answer:
            for line in answer:
                found = json.loads(line)
                if "error" in found:
                    self._raise(found["error"])
                yield found

    def _json(self, target: str, body: bytes | None) -> Any:
        with self._asked(target, body) as answer:
            try:
                return json.loads(answer.read())
            except ValueError:
                raise RemoteError(f"{self.url} does not answer as a service of ztfdb") from None

    @contextmanager
    def _asked(self, target: str, body: bytes | None) -> Iterator[Any]:
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
            told = json.loads(exc.read())
            detail = told.get("detail") or told["error"]
        except (ValueError, KeyError, AttributeError, TypeError):
            told, detail = {}, f"status {exc.code}"
        if exc.code in (502, 503, 504, 429):
            raise ServiceUnavailableError(f"{self.url}: {detail}")
        if exc.code in (401, 403):
            raise ServiceRefusedError(f"{self.url}: {detail}; a token goes into ZTFDB_TOKEN or the configuration")
        self._raise({"status": exc.code, "error": "", **told, "detail": detail})

    def _raise(self, told: Mapping[str, Any]) -> NoReturn:
        """Raise what the service raised, as the same error."""
        name, detail, status = told["error"], told["detail"], told["status"]
        kind: Any = _ARGUMENTS.get(name) or (getattr(errors, name, None) if name else None)
        if name in _ARGUMENTS:
            raise kind(detail)
        if isinstance(kind, type) and issubclass(kind, ImageError):
            file = told.get("file", "")
            raise kind(file, detail.removeprefix(f"{file}: "))
        if status == 413:
            raise QueryError(detail)
        if isinstance(kind, type) and issubclass(kind, errors.ZtfdbError) and "__reduce__" not in vars(kind):
            raise kind(detail)  # those with a __reduce__ of their own take more than a message
        raise RemoteError(f"{self.url}: {detail} (status {status})")
