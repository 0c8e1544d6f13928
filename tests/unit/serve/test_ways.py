"""The direct way leads where the routers lead."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Mount, Route

from ztfdb.serve.api.application import MODULES, make_ways
from ztfdb.serve.app import PROTOCOLS
from ztfdb.serve.ways import Shortcut, Ways, way_of

VALUES = {"id": "7", "image_id": "7", "form": "png", "name": "x", "part": "phase", "path": "a/b.fits", "role": "sci",
          "kind": "sci"}  # fmt: skip


def routes_of(routes):
    """Each route with a path of it."""
    for route in routes:
        if isinstance(route, Route):
            yield route, route.path_format.format(**{name: VALUES.get(name, "7") for name in route.param_convertors})


def first(routes, method, path):
    """The route that a router takes."""
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    for route in routes:
        match, more = route.matches(scope)
        if match is Match.FULL:
            return route, more["path_params"]
    return None, {}


def test_every_path_leads_where_the_routers_lead():
    routes = [route for protocol in PROTOCOLS for route in protocol.routes() if isinstance(route, Route)]
    ways = Ways([way_of(route, route.endpoint) for route in routes])
    for _, path in routes_of(routes):
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT"):
            wanted, parts = first(routes, method, path)
            assert ways.find(method, path) == (None if wanted is None else wanted.endpoint, parts)


def test_questions_of_the_rest_interface_are_called_directly():
    routes = [route for module in MODULES for route in module.router.routes]
    ways, direct = make_ways(), 0
    for _, path in routes_of(routes):
        wanted, parts = first(routes, "GET", path)
        end, found = ways.find("GET", path)
        if end is not None:
            direct += 1
            assert found == parts
            assert wanted.direct_handler() is not None
    assert direct > 10
    assert ways.find("POST", "/lightcurves") == (None, {})  # its body is fastapi's to read
    assert ways.find("GET", "/no/such/path") == (None, {})


def called(app, path, root_path=""):
    """What an application answers."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": root_path + path, "root_path": root_path, "headers": [],
             "query_string": b""}  # fmt: skip
    asyncio.run(app(scope, None, send))
    return sent[0]["status"], sent[-1]["body"]


@pytest.mark.parametrize("root_path", ["", "/ztf"])
def test_what_is_not_known_goes_through_the_routers(root_path):
    async def here(request: Request) -> Response:
        return PlainTextResponse(f"direct {request.path_params}")

    async def below(scope, receive, send):
        await PlainTextResponse("mounted")(scope, receive, send)

    app = Starlette(routes=[Route("/one/{name}", here), Route("/one", here), Mount("/api", app=below)])
    shortcut = Shortcut(app, app.routes)
    assert called(shortcut, "/one", root_path) == (200, b"direct {}")
    assert called(shortcut, "/one/two", root_path) == (200, b"direct {'name': 'two'}")
    assert called(shortcut, "/api/three", root_path) == (200, b"mounted")
    assert called(shortcut, "/none", root_path)[0] == 404
