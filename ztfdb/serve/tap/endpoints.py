"""The routes of TAP, and synchronous statements."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service, base_url, caller_of, route
from ztfdb.serve.tap import uws, vosi
from ztfdb.serve.tap.examples import examples
from ztfdb.serve.tap.query import read_query, translated, write_answer
from ztfdb.serve.vosi import availability
from ztfdb.serve.votable import as_votable
from ztfdb.serve.work import Put, Streamed


async def sync(request: Request, service: Service, params: Parameters) -> Response:
    """Run a statement and stream its answer."""
    limits, reader, base = service.limits, service.reader, base_url(request)
    results = partial(service.jobs.store.result, most_rows=limits.upload_rows, caller=caller_of(request))
    query = await service.workers.run(request, read_query, params, limits, limits.max_rows_sync, results)

    def produce(put: Put) -> None:
        write_answer(query, translated(query, reader, limits, base), reader, put)

    pieces = await service.workers.stream(request, produce)
    return Streamed(pieces, media_type=query.form.content_type)


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    get = ("GET",)
    return [
        route("/tap/sync", sync, as_votable),
        route("/tap/async", uws.jobs, as_votable),
        route("/tap/async/{id}", uws.job, as_votable, ("GET", "POST", "DELETE")),
        route("/tap/async/{id}/results/result", uws.result, as_votable, get),
        route("/tap/async/{id}/{part}", uws.part, as_votable),
        route("/tap/capabilities", vosi.capabilities, as_votable, get),
        route("/tap/availability", availability, as_votable, get),
        route("/tap/tables", vosi.tables, as_votable, get),
        route("/tap/tables/{name}", vosi.tables, as_votable, get),
        route("/tap/examples", examples, as_votable, get),
    ]
