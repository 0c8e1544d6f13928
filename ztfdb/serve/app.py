"""The application: one module per protocol, each with its routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ztfdb.archive import open_archive
from ztfdb.serve.errors import as_json, tell
from ztfdb.serve.gate import Gate
from ztfdb.serve.limits import Limits
from ztfdb.serve.metrics import Meters
from ztfdb.serve.middleware import Envelope
from ztfdb.serve.service import Service, request_id
from ztfdb.serve.tap.jobs import JobRunner
from ztfdb.serve.ways import Protocols
from ztfdb.serve.work import Workers
from ztfdb.store.readonly_stream import Reader
from ztfdb.store.service_tokens import TokenStore
from ztfdb.store.tap_jobs import JobStore

PROTOCOLS = {
    "": "ztfdb.serve.page.assets",
    "page": "ztfdb.serve.page.assets",
    "healthz": "ztfdb.serve.health",
    "metrics": "ztfdb.serve.metrics",
    "tap": "ztfdb.serve.tap.endpoints",
    "scs": "ztfdb.serve.scs",
    "sia2": "ztfdb.serve.sia",
    "datalink": "ztfdb.serve.datalink",
    "soda": "ztfdb.serve.soda",
    "files": "ztfdb.serve.files",
    "preview": "ztfdb.serve.files",
    "lightcurve": "ztfdb.serve.timeseries",
    "api": "ztfdb.serve.api.application",
    "cgi-bin": "ztfdb.serve.irsa.endpoints",
    "ibe": "ztfdb.serve.irsa.endpoints",
}
"""The module of each protocol, which has ``routes()``, by the first segment of its paths."""


@dataclass(frozen=True)
class Settings:
    """Settings of a serving process; they are sent to worker processes.

    Attributes
    ----------
    url : str
        The archive.
    limits : Limits
    state : Path
        Folder of asynchronous jobs and their results.
    root_path : str
        Public prefix of the service behind a proxy.
    places : mapping of str to str
        Folders of this host by the name of their data root.
    tokens : bool
        Accept only requests with a token.
    """

    url: str
    limits: Limits
    state: Path
    root_path: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    tokens: bool = False


def make_app(settings: Settings) -> ASGIApp:
    """Return the ASGI application; the archive is opened when it starts and closed when it ends."""
    meters = Meters()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        with open_archive(settings.url, read_only=True) as archive:
            reader, limits = Reader(settings.url), settings.limits
            jobs = JobRunner(JobStore(settings.state), reader, limits)
            service = Service(settings.url, archive, limits, Workers(limits), reader, jobs, settings.places)
            try:
                yield {"service": service, "meters": meters}
            finally:
                await asyncio.to_thread(jobs.close)
                await service.workers.close()
                reader.close()

    app = Starlette(lifespan=lifespan, exception_handlers={HTTPException: _http_error})
    gate = Gate(TokenStore(settings.state)) if settings.tokens else None
    return Envelope(Protocols(app, PROTOCOLS), settings.limits, meters, gate, settings.root_path)


async def _http_error(request: Request, exc: Exception) -> Response:
    return as_json(request, tell(exc, request_id(request)))
