"""The direct way leads where the routers lead; a protocol is imported with its first request."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from types import ModuleType

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route

from ztfdb.serve.api.application import MODULES, make_ways
from ztfdb.serve.app import PROTOCOLS
from ztfdb.serve.metrics import PROTOCOLS as COUNTED
from ztfdb.serve.ways import Protocols, Way, Ways, WithWays, way_of

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
    every = [route for module in dict.fromkeys(PROTOCOLS.values()) for route in import_module(module).routes()]
    routes = [route for route in every if isinstance(route, Route)]
    assert len(routes) > 20
    ways = Ways([way_of(route, route.endpoint) for route in routes])
    for _, path in routes_of(routes):
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT"):
            wanted, parts = first(routes, method, path)
            assert ways.find(method, path) == (None if wanted is None else wanted.endpoint, parts)


def test_a_protocol_is_found_by_the_first_segment_of_its_paths():
    for module in set(PROTOCOLS.values()):
        segments = {one for one, name in PROTOCOLS.items() if name == module}
        assert {route.path.split("/")[1] for route in import_module(module).routes()} == segments
    assert set(PROTOCOLS) - {"", "page"} == set(COUNTED)


def test_questions_of_the_rest_interface_are_called_directly():
    routes = [route for module in MODULES for route in module.router.routes]
    ways, direct = Ways(make_ways()), 0
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


async def answered(app, path, root_path=""):
    """What an application answers."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": root_path + path, "root_path": root_path, "headers": [],
             "query_string": b""}  # fmt: skip
    await app(scope, None, send)
    return sent[0]["status"], sent[-1]["body"]


def called(app, path, root_path=""):
    """What an application answers to one request."""
    return asyncio.run(answered(app, path, root_path))


async def here(request: Request) -> Response:
    return PlainTextResponse(f"direct {request.path_params}")


async def below(scope, receive, send):
    await PlainTextResponse("mounted")(scope, receive, send)


@pytest.fixture
def protocols(monkeypatch):
    """Two protocols, and how often their routes were asked for."""
    asked = []
    direct = Way("/two", *[getattr(Route("/two", here), name) for name in ("path_regex", "param_convertors")],
                 frozenset({"GET"}), here)  # fmt: skip
    for name, routes in (
        ("protocol_one", [Route("/one/{name}", here), Route("/one", here)]),
        ("protocol_api", [WithWays("/api", below, [direct])]),
    ):
        module = ModuleType(name)
        module.routes = lambda name=name, routes=routes: asked.append(name) or routes
        monkeypatch.setitem(sys.modules, name, module)
    modules = {"one": "protocol_one", "uno": "protocol_one", "api": "protocol_api", "gone": "protocol_missing"}
    return Protocols(Starlette(), modules), asked


@pytest.mark.parametrize("root_path", ["", "/ztf"])
def test_what_is_not_known_goes_through_the_routers(protocols, root_path):
    app, asked = protocols
    assert called(app, "/none", root_path)[0] == 404
    assert asked == []
    assert called(app, "/one", root_path) == (200, b"direct {}")
    assert called(app, "/one/two", root_path) == (200, b"direct {'name': 'two'}")
    assert called(app, "/one/two/three", root_path)[0] == 404
    assert called(app, "/uno", root_path)[0] == 404
    assert asked == ["protocol_one"]
    assert called(app, "/api/three", root_path) == (200, b"mounted")
    assert called(app, "/api/two", root_path) == (200, b"direct {}")
    assert called(app, "/apix", root_path)[0] == 404
    assert asked == ["protocol_one", "protocol_api"]


def test_requests_that_come_together_import_a_protocol_once(protocols):
    app, asked = protocols

    async def several():
        return await asyncio.gather(*[answered(app, "/one") for _ in range(5)])

    assert asyncio.run(several()) == [(200, b"direct {}")] * 5
    assert asked == ["protocol_one"]


def test_a_protocol_that_cannot_be_imported_hurts_no_other(protocols):
    app, _ = protocols
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            called(app, "/gone")
    assert called(app, "/one") == (200, b"direct {}")
