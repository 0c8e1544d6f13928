"""The way of a request to its end point: found at once and called directly.

The routers try one pattern after another, and each application that they lead through adds layers of its own: more than
a short question costs. All errors are rendered by the end points themselves (`ztfdb.serve.service.endpoint`,
`ztfdb.serve.api.answers.ProblemRoute`), so that nothing is lost by going past these layers. Whatever is not found here
(a path that does not exist, a method that it does not take, an end point that needs more) goes through the routers.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

EndPoint = Callable[[Request], Awaitable[Response]]


class _Convertor(Protocol):
    def convert(self, value: str) -> Any: ...


@dataclass(frozen=True)
class Way:
    """A route, and what it leads to.

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
        Takes the request, returns the response; None where the routers must be gone through.
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
    """Ways in the order of the routes, of which the first that fits is taken.

    Parameters
    ----------
    ways : sequence of Way
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = tuple(ways)
        self._fixed: dict[tuple[str, str], EndPoint | None] = {}
        for way in ways:
            if not way.convertors:
                self._fixed |= {(method, way.path): self._first(method, way.path)[0] for method in way.methods}

    def find(self, method: str, path: str) -> tuple[EndPoint | None, dict[str, Any]]:
        """Return the end point of a request and the parts of its path; None where the routers must be gone through."""
        key = method, path
        return (self._fixed[key], {}) if key in self._fixed else self._first(*key)

    def _first(self, method: str, path: str) -> tuple[EndPoint | None, dict[str, Any]]:
        for way in self._ways:
            if method in way.methods and (match := way.pattern.match(path)) is not None:
                return way.end, {name: way.convertors[name].convert(text) for name, text in match.groupdict().items()}
        return None, {}


class Shortcut:
    """An ASGI application that calls end points directly, else another application with all their routes.

    Parameters
    ----------
    app : ASGI application
    routes : iterable of Route and Mount
        An application that is mounted is asked for its own ``ways``, None while it is not made.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        routes = list(routes)
        self._app = app
        self._ways = Ways([way_of(one, one.endpoint) for one in routes if isinstance(one, Route)])
        self._mounted = [(f"{one.path}/", one.app) for one in routes if isinstance(one, Mount)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        end, parts = self._find(scope) if scope["type"] == "http" else (None, {})
        if end is None:
            await self._app(scope, receive, send)
            return
        scope["path_params"] = parts
        response = await end(Request(scope, receive, send))
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[EndPoint | None, dict[str, Any]]:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for prefix, app in self._mounted:
            if path.startswith(prefix):
                ways: Ways | None = getattr(app, "ways", None)
                return (None, {}) if ways is None else ways.find(scope["method"], path[len(prefix) - 1 :])
        return self._ways.find(scope["method"], path)
