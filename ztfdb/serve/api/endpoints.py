"""``/api/v1``: made with the first request, since fastapi takes a good part of the time of a start."""

from __future__ import annotations

import asyncio

from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from ztfdb.client.transport import PREFIX


class _WithFirstRequest:
    """The REST interface, made in a thread when it is asked for the first time."""

    def __init__(self) -> None:
        self._made: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(_make)
        await self._made(scope, receive, send)


def _make() -> ASGIApp:
    from ztfdb.serve.api.application import make_api

    return make_api()


def routes() -> list[BaseRoute]:
    """Return the routes of this interface."""
    return [Mount(PREFIX, app=_WithFirstRequest())]
