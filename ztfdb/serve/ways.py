"""Direct routing of a request to its end point, past the routers.

The routers try one pattern after another, and each nested application adds its own layers; together they take longer
than a short query. The end points render all errors themselves (`ztfdb.serve.service.endpoint`,
`ztfdb.serve.api.answers.ProblemRoute`), so bypassing these layers loses nothing. All other requests (unknown paths,
other methods, end points that need more) go through the routers.
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
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = tuple(ways)
        self._fixed: dict[tuple[str, str], EndPoint | None] = {}
        for way in ways:
            if not way.convertors:
                self._fixed |= {(method, way.path): self._first(method, way.path)[0] for method in way.methods}

    def find(self, method: str, path: str) -> tuple[EndPoint | None, dict[str, Any]]:
        """Return the end point of a request and the parts of its path; None if it must go through the routers."""
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
        A mounted application has its own ``ways``, None until it is created.
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
