"""``/healthz``: whether the service and its database respond."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ztfdb import __version__
from ztfdb.serve.errors import as_json
from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service, route

HEALTH_S = 5.0
"""A database that takes longer to respond is unhealthy."""


async def healthz(request: Request, service: Service, params: Parameters) -> Response:
    """Return 200 with the version if the database responds, else 503."""
    await service.workers.run(request, service.archive.ping, timeout_s=HEALTH_S)
    body = json.dumps({"status": "ok", "version": __version__})
    return Response(body + "\n", media_type="application/json", headers={"Cache-Control": "no-store"})


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [route("/healthz", healthz, as_json)]
