"""Middleware for every request: its id, its line in the access log, the limits of its body and time."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ztfdb.serve.errors import RETRY_AFTER_S, ClientGone, ServiceError
from ztfdb.serve.gate import REFUSAL, Gate
from ztfdb.serve.limits import Limits
from ztfdb.serve.metrics import Meters
from ztfdb.serve.params import MB

MAX_TARGET = 32_768
"""Bytes of a request's path and query; longer statements are sent by POST. The parser refuses all above 65,536."""

MAX_HEADERS = 65_536
"""Bytes of a request's headers."""

log = logging.getLogger("ztfdb.serve.access")

_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-request-id, x-overflow, retry-after"),
    (b"server", b"ztfdb"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"86400"),
]


class Envelope:
    """ASGI middleware that every request passes first.

    Parameters
    ----------
    app : ASGI application
    limits : Limits
    meters : Meters
        Count every request.
    gate : Gate, optional
        Admits requests with a token; without it all requests pass.
    root_path : str
        Prefix of the service, which is removed from paths before the gate and the meters see them.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, meters: Meters, gate: Gate | None = None, root_path: str = ""
    ) -> None:
        self._app = app
        self._limits = limits
        self._meters = meters
        self._gate = gate
        self._root_path = root_path
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["ztfdb_request_id"] = secrets.token_hex(8)
        scope["ztfdb_caller"] = None if self._gate is None else self._gate.holder(scope["headers"])
        exchange = _Exchange(scope, receive, send, self._limits)
        self._open += 1
        self._meters.opened(self._open)
        try:
            await self._answer(exchange)
        except (ClientGone, TimeoutError):
            exchange.status = 499
        except asyncio.CancelledError:  # the server ends, and waits no longer for this answer
            log.warning("cut off: the service ends", extra={"request": scope["ztfdb_request_id"]})
        finally:
            self._open -= 1
            self._meters.opened(self._open)
            self._meters.answered(self._path(scope), scope["method"], exchange.status, exchange.seconds, exchange.given)
            exchange.log()

    def _path(self, scope: Scope) -> str:
        return str(scope["path"]).removeprefix(self._root_path)

    async def _answer(self, exchange: _Exchange) -> None:
        if self._open > self._limits.connections:
            await exchange.refuse(503, "too many requests are open: try again in a moment")
        elif exchange.too_long:
            await exchange.refuse(414, f"the address is longer than {MAX_TARGET} bytes: send its parameters by POST")
        elif exchange.too_many_headers:
            await exchange.refuse(431, f"the headers of the request are longer than {MAX_HEADERS} bytes")
        elif exchange.scope["method"] == "OPTIONS":
            await exchange.respond(204, b"", _PREFLIGHT)
        elif self._gate is not None and not self._gate.admits(self._path(exchange.scope), exchange.scope["headers"]):
            await exchange.refuse(401, "a token is needed: send it as Authorization: Bearer TOKEN", REFUSAL)
        else:
            try:
                await self._app(exchange.scope, exchange.receive, exchange.send)
            except (ClientGone, TimeoutError):
                raise
            except Exception:
                log.exception("request failed", extra={"request": exchange.scope["ztfdb_request_id"]})
                if not exchange.status:
                    await exchange.refuse(500, f"the service failed: {exchange.scope['ztfdb_request_id']}")


class _Exchange:
    """One request and its answer, counted."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self.scope = scope
        self.status = 0
        self._receive, self._send, self._limits = receive, send, limits
        self._began = time.perf_counter()
        self._taken = self._given = 0
        self._whole = False

    @property
    def too_long(self) -> bool:
        return len(self.scope.get("raw_path") or b"") + len(self.scope["query_string"]) > MAX_TARGET

    @property
    def too_many_headers(self) -> bool:
        return sum(len(name) + len(value) for name, value in self.scope["headers"]) > MAX_HEADERS

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._limits.body_s):
                message = await self._receive()
        except TimeoutError:
            raise ServiceError(f"the body did not arrive within {self._limits.body_s:g} s", 408) from None
        self._taken += len(message.get("body", b""))
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._taken > self._limits.body_mb * MB:
            raise ServiceError(f"the body is larger than {self._limits.body_mb} MB", 413)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"x-request-id", self.scope["ztfdb_request_id"].encode())
            message = {**message, "headers": [*message.get("headers", ()), own, *_HEADERS]}
        self._given += len(message.get("body", b""))
        await self._send(message)  # ztfdb.serve.connections limits how long a client may not read

    async def respond(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        length = [(b"content-length", str(len(body)).encode())] if status != 204 else []
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        await self.send({"type": "http.response.body", "body": body})

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def given(self) -> int:
        return self._given

    async def refuse(self, status: int, message: str, *more: tuple[bytes, bytes]) -> None:
        headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close"), *more]
        headers += [(b"retry-after", str(RETRY_AFTER_S).encode())] if status == 503 else []
        body = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": message,
            "error": "ServiceError",
            "request_id": self.scope["ztfdb_request_id"],
        }
        await self.respond(status, json.dumps(body).encode() + b"\n", headers)

    def log(self) -> None:
        if not log.isEnabledFor(logging.INFO):
            return
        client = self.scope.get("client")
        facts = {
            "name": log.name,
            "levelno": logging.INFO,
            "levelname": "INFO",
            "msg": "request",
            "request": self.scope["ztfdb_request_id"],
            "client": client[0] if client else None,
            "method": self.scope["method"],
            "path": self.scope["path"][:200],
            "status": self.status,
            "bytes_in": self._taken,
            "bytes_out": self._given,
            "ms": round(1000.0 * self.seconds, 1),
        }
        log.handle(logging.makeLogRecord(facts))  # log.info() would also look up the caller's line of code
