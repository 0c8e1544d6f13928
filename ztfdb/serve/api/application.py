"""The application of the REST interface, with its description at ``openapi.json``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from ztfdb import __version__
from ztfdb.serve.api import lightcurves, others, plan, resolve, stamps
from ztfdb.serve.api.answers import PROBLEM, problem
from ztfdb.serve.api.models import Problem

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {PROBLEM: {"schema": Problem.model_json_schema()}}}
    for status, words in (
        (400, "a value that cannot be answered"),
        (404, "not in the archive"),
        (413, "too much at once"),
        (422, "not what the question takes"),
        (503, "busy, or the database cannot be reached: come again"),
    )
}


def make_api() -> FastAPI:
    """Return the sub-application. It has no page of its own, because fastapi's load scripts from other hosts."""
    api = FastAPI(
        title="ztfdb", version=__version__, docs_url=None, redoc_url=None, responses=ERRORS, redirect_slashes=False,
        description="Sources and light curves from ZTF images. Positions are ICRS degrees, radii arcseconds. Ids are "
        "texts, NaN is null. Errors are problem documents (RFC 9457).",
    )  # fmt: skip
    for module in (lightcurves, stamps, others, resolve, plan):
        api.include_router(module.router)
    api.add_exception_handler(HTTPException, problem)
    return api
