"""``/api/v1``: created at the first request, because importing fastapi is a large part of the start time."""

from __future__ import annotations

import asyncio

from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from ztfdb.client.transport import PREFIX
from ztfdb.serve.ways import Ways


class _WithFirstRequest:
    """The REST interface, created in a thread at the first request.

    Attributes
    ----------
    ways : Ways or None
        Direct ways to its end points, once it is created.
    """

    def __init__(self) -> None:
        self.ways: Ways | None = None
        self._made: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with self._making:
            if self._made is None:
                app, self.ways = await asyncio.to_thread(_make)
                self._made = app
        await self._made(scope, receive, send)


def _make() -> tuple[ASGIApp, Ways]:
    from ztfdb.serve.api.application import make_api, make_ways

    return make_api(), make_ways()


def routes() -> list[BaseRoute]:
    """Return the routes of this interface."""
    return [Mount(PREFIX, app=_WithFirstRequest())]
