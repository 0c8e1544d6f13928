"""The context of every end point (archive, limits, threads), and the construction of end points."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ztfdb.archive import Archive
from ztfdb.serve.errors import ClientGone, Render, as_text, tell
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import Parameters, read_parameters
from ztfdb.serve.tap.jobs import JobRunner
from ztfdb.serve.work import Workers
from ztfdb.store.readonly_stream import Reader

_HOST = re.compile(r"[A-Za-z0-9._~-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True)
class Service:
    """An archive served by one process.

    Attributes
    ----------
    url : str
        URL of the archive, with its password: never shown.
    archive : Archive
        Opened read-only.
    limits : Limits
    workers : Workers
    reader : Reader
        For statements of clients.
    jobs : JobRunner
    places : mapping of str to str
        Folders of this host by the name of their data root.
    """

    url: str
    archive: Archive
    limits: Limits
    workers: Workers
    reader: Reader
    jobs: JobRunner
    places: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request, Service, Parameters], Awaitable[Response]]


def service_of(request: Request) -> Service:
    """Return the service of a request."""
    service = request.scope["state"]["service"]  # of the process; also in a mounted application
    assert isinstance(service, Service)
    return service


def request_id(request: Request) -> str:
    """Return the request's id, which is in the response and the log."""
    return str(request.scope.get("ztfdb_request_id", "-"))


def caller_of(request: Request) -> str | None:
    """Return the name of the request's token, None if the service does not use tokens."""
    name = request.scope.get("ztfdb_caller")
    return None if name is None else str(name)


def base_url(request: Request) -> str:
    """Return the address of the service as this client sees it, without a trailing slash.

    The host comes from the client's header ``Host``; if that is not a valid host name, it is replaced by the address
    that the service listens on.
    """
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        name, port = request.scope.get("server") or ("127.0.0.1", None)
        host = name if port is None else f"{name}:{port}"
    prefix = request.scope.get("app_root_path", request.scope.get("root_path", ""))  # without a mounted application's
    return f"{request.url.scheme}://{host}{prefix}".rstrip("/")


def endpoint(handler: Handler, render: Render = as_text) -> Callable[[Request], Awaitable[Response]]:
    """Make an end point from a handler: read its parameters first, and render its errors."""

    async def answer(request: Request) -> Response:
        service = service_of(request)
        try:
            return await handler(request, service, await read_parameters(request, service.limits))
        except ClientGone:
            raise
        except Exception as exc:
            return render(request, tell(exc, request_id(request)))

    return answer


def route(path: str, handler: Handler, render: Render = as_text, methods: tuple[str, ...] = ("GET", "POST")) -> Route:
    """Make the route of an end point."""
    return Route(path, endpoint(handler, render), methods=list(methods))
