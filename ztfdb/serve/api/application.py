"""The application of the REST interface, with its description at ``openapi.json``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from ztfdb import __version__
from ztfdb.client.transport import PREFIX
from ztfdb.serve.api import lightcurves, others, plan, resolve, stamps
from ztfdb.serve.api.answers import PROBLEM, ProblemRoute, problem
from ztfdb.serve.api.models import Problem
from ztfdb.serve.ways import Way, WithWays, way_of

MODULES = (lightcurves, stamps, others, resolve, plan)
"""In the order in which their paths are tried."""

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, words in (
        (400, "a value that cannot be processed"),
        (401, "a token is needed, as Authorization: Bearer TOKEN"),
        (404, "not in the archive"),
        (413, "too much at once"),
        (422, "an invalid or unknown parameter"),
        (503, "busy, or the database cannot be reached: try again later"),
    )
}


class Api(FastAPI):
    """An application whose description has the document of errors once, under its name."""

    def openapi(self) -> dict[str, Any]:
        """Return the description."""
        described = super().openapi()
        described["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return described


def make_api() -> FastAPI:
    """Return the sub-application. It has no documentation page, because fastapi's pages load scripts of other hosts."""
    api = Api(
        title="ztfdb", version=__version__, docs_url=None, redoc_url=None, responses=ERRORS, redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        description="Sources and light curves from ZTF images. Positions are ICRS degrees, radii arcseconds. Ids are "
        "texts, NaN is null. Errors are problem documents (RFC 9457).",
    )  # fmt: skip
    for module in MODULES:
        api.include_router(module.router)
    api.add_exception_handler(HTTPException, problem)
    return api


def make_ways() -> list[Way]:
    """Return the direct ways to its end points; fastapi handles those that take a body."""
    routes = [route for module in MODULES for route in module.router.routes if isinstance(route, ProblemRoute)]
    return [way_of(route, route.direct_handler()) for route in routes]


def routes() -> list[BaseRoute]:
    """Return the route of this interface."""
    return [WithWays(PREFIX, make_api(), make_ways())]
