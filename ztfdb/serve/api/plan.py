"""How the database would find the rows of a statement, without running it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.archive import Archive
from ztfdb.serve.api.answers import JSON, ProblemRoute, answered
from ztfdb.serve.api.wire import dumps
from ztfdb.serve.service import Service, service_of

EXPLAIN = {"sqlite": "explain query plan ", "postgresql": "explain "}

router = APIRouter(route_class=ProblemRoute)


@router.get("/plan", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def plan(request: Request, query: Annotated[str, Query(min_length=1)]) -> Response:
    """Return the database's plan of a statement in ADQL: ``engine``, and the plan as ``lines``."""
    service = service_of(request)

    def work(_: Archive) -> bytes:
        return dumps({"engine": service.reader.engine, "lines": _lines(service, query)})

    return await answered(request, work)


def _lines(service: Service, query: str) -> list[str]:
    from ztfdb.adql.translate import translate
    from ztfdb.serve.tap.schema import published

    reader, limits = service.reader, service.limits
    found = translate(
        query, published(), reader.engine, limits.max_rows, (), max_characters=limits.query_kb * 1024, base=""
    )
    rows = [row for piece in reader.pieces(EXPLAIN[reader.engine] + found.sql, found.values) for row in piece]
    return _indented(rows) if reader.engine == "sqlite" else [str(row[0]) for row in rows]


def _indented(rows: list[tuple[Any, ...]]) -> list[str]:
    """Return SQLite's steps, indented below their parent steps."""
    depth = {0: -1}
    lines = []
    for number, parent, _, words in rows:
        depth[number] = depth.get(parent, -1) + 1
        lines.append("  " * depth[number] + str(words))
    return lines
