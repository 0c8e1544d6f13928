"""The way of a request to its end point: its protocol is imported with the first request, and no router is passed.

Each protocol has a module with ``routes()``. What these modules import takes several times as long as the rest of a
start, and few services need all of it, so a module is imported when the first request with its segment of the path
comes.

The routers try one pattern after another, and each nested application adds its own layers; together they take longer
than a short query. The end points render all errors themselves (`ztfdb.serve.service.endpoint`,
`ztfdb.serve.api.answers.ProblemRoute`), so bypassing these layers loses nothing. All other requests (unknown paths,
other methods, end points that need more) go through the routers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

EndPoint = Callable[[Request], Awaitable[Response]]
Found = tuple[EndPoint | None, dict[str, Any]]


class _Convertor(Protocol):
    def convert(self, value: str) -> Any: ...


@dataclass(frozen=True)
class Way:
    """A route and its end point.

    Attributes
    ----------
    path : str
        As it is declared.
    pattern : Pattern
        Of the path.
    convertors : mapping of str to convertor
        Of the parts of the path.
    methods : frozenset of str
    end : callable or None
        Takes the request, returns the response; None if the request must go through the routers.
    """

    path: str
    pattern: re.Pattern[str]
    convertors: Mapping[str, _Convertor]
    methods: frozenset[str]
    end: EndPoint | None


def way_of(route: Route, end: EndPoint | None) -> Way:
    """Return the way of a route."""
    return Way(route.path, route.path_regex, route.param_convertors, frozenset(route.methods or ()), end)


class Ways:
    """Ways in the order of the routes; the first match is used.

    Parameters
    ----------
    ways : sequence of Way
    prefix : str
        Of all their paths.
    """

    def __init__(self, ways: Sequence[Way], prefix: str = "") -> None:
        self._ways = tuple(ways)
        self._prefix = prefix
        self._fixed: dict[tuple[str, str], EndPoint | None] = {}
        for way in ways:
            if not way.convertors:
                self._fixed |= {(method, way.path): self._first(method, way.path)[0] for method in way.methods}

    def find(self, method: str, path: str) -> Found:
        """Return the end point of a request and the parts of its path; None if it must go through the routers.

        HEAD has the end point of GET, as HTTP demands (RFC 9110, section 9.1). The server leaves the body out.
        """
        key = "GET" if method == "HEAD" else method, path.removeprefix(self._prefix)
        return (self._fixed[key], {}) if key in self._fixed else self._first(*key)

    def _first(self, method: str, path: str) -> Found:
        for way in self._ways:
            if method in way.methods and (match := way.pattern.match(path)) is not None:
                return way.end, {name: way.convertors[name].convert(text) for name, text in match.groupdict().items()}
        return None, {}


class WithWays(Mount):
    """A mounted application whose end points can be called directly.

    Parameters
    ----------
    path : str
    app : ASGI application
    ways : sequence of Way
        Of its routes, without the path.
    """

    def __init__(self, path: str, app: ASGIApp, ways: Sequence[Way]) -> None:
        super().__init__(path, app=app)
        self.ways = Ways(ways, path)


class Protocols:
    """An ASGI application that imports protocols with their first requests, and calls end points directly.

    Parameters
    ----------
    app : Starlette
        Gets the routes of each protocol when it is imported, and all requests without a direct way.
    modules : mapping of str to str
        The module with ``routes()`` by the first segment of its paths.
    """

    def __init__(self, app: Starlette, modules: Mapping[str, str]) -> None:
        self._app = app
        self._modules = modules
        self._ways: dict[str, Ways] = {}
        self._importing = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        end, parts = await self._find(scope) if scope["type"] == "http" else (None, {})
        if end is None:
            if scope.get("method") == "HEAD":  # unknown to fastapi's routes; the server's own scope keeps it
                scope = {**scope, "method": "GET"}
            await self._app(scope, receive, send)
            return
        scope["path_params"] = parts
        response = await end(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _find(self, scope: Scope) -> Found:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        module = self._modules.get(path[1:].partition("/")[0])
        if module is None:
            return None, {}
        ways = self._ways.get(module) or await self._imported(module)
        return ways.find(scope["method"], path)

    async def _imported(self, module: str) -> Ways:
        """Import a protocol in a thread; requests of others are answered meanwhile."""
        async with self._importing:
            if module not in self._ways:
                routes = await asyncio.to_thread(_routes_of, module)
                self._app.router.routes += routes
                self._ways[module] = _ways_of(routes)
        return self._ways[module]


def _routes_of(module: str) -> list[BaseRoute]:
    return list(import_module(module).routes())


def _ways_of(routes: Sequence[BaseRoute]) -> Ways:
    for one in routes:
        if isinstance(one, WithWays):
            return one.ways
    return Ways([way_of(one, one.endpoint) for one in routes if isinstance(one, Route)])
