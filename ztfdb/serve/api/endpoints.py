"""``/api/v1``: made with the first request, since fastapi takes a good part of the time of a start."""

from __future__ import annotations

import asyncio

from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from ztfdb.client.transport import PREFIX
from ztfdb.serve.ways import Ways


class _WithFirstRequest:
    """The REST interface, made in a thread when it is asked for the first time.

    Attributes
    ----------
    ways : Ways or None
        To its end points, once it is made.
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
