"""How a question of the REST interface is answered: asked in a thread, packed as JSON, errors as problem documents."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from pathlib import PurePath
from typing import Any

import pandas as pd
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ztfdb import errors
from ztfdb.archive import Archive, words_kept
from ztfdb.errors import ImageError
from ztfdb.frame.window import file_status
from ztfdb.serve.api.wire import dumps, file_names, pack_frame
from ztfdb.serve.errors import ClientGone, ServiceError, TimeLimit, tell
from ztfdb.serve.service import request_id, service_of

JSON = "application/json"
PROBLEM = "application/problem+json"


def problem_of(exc: Exception, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error as a problem document, and the headers that go with it."""
    if isinstance(exc, HTTPException) and isinstance(exc.__cause__, ServiceError):
        exc = exc.__cause__  # fastapi's own word for whatever ends the reading of a body
    if isinstance(exc, RequestValidationError):
        exc = ServiceError("; ".join(map(_mistake, exc.errors()[:5])), 422)
    told = tell(exc, request_id(request))
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(told.status).phrase,
        "status": told.status,
        "detail": told.message,
        "error": _kind(exc, told.status),
        "request_id": request_id(request),
    }
    if isinstance(exc, ImageError):
        body |= {"detail": f"{PurePath(exc.path).name}: {file_status(exc)}", "file": PurePath(exc.path).name}
        if type(exc).__name__ == "StampError":
            body["detail"] = str(exc).replace(exc.path, body["file"])
    return body, told.headers


def problem(request: Request, exc: Exception) -> Response:
    """Return the answer that tells an error."""
    body, headers = problem_of(exc, request)
    return Response(dumps(body), body["status"], headers, PROBLEM)


class ProblemRoute(APIRoute):
    """A route whose errors are problem documents."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, wrapped."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except ClientGone:
                raise
            except Exception as exc:
                return problem(request, exc)

        return handle


async def framed(request: Request, ask: Callable[[Archive], Any]) -> Response:
    """Answer with a DataFrame, or a record around one (a light curve)."""

    def work(archive: Archive) -> bytes:
        with words_kept() as words:
            found = ask(archive)
        frame = found if isinstance(found, pd.DataFrame) else found.data
        return dumps(pack_frame(without_folders(frame), " ".join(words) or None))

    return await answered(request, work)


async def answered(
    request: Request, work: Callable[[Archive], bytes], media_type: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """Answer with bytes that are made in a thread."""
    service = service_of(request)
    content = await service.workers.run(request, work, service.archive)
    return Response(content, 200, headers, media_type)


def without_folders(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose files are names without folders."""
    for name in ("path", "file"):
        if name in frame:
            attrs, frame = frame.attrs, frame.assign(**{name: file_names(frame[name])})
            frame.attrs = attrs
    return frame


def _mistake(error: Any) -> str:
    where = ".".join(str(one) for one in error["loc"][1:]) or "the request"
    return f"{where}: {error['msg']}"


def _kind(exc: Exception, status: int) -> str:
    if isinstance(exc, TimeLimit):
        return "QueryError"
    name = type(exc).__name__
    if isinstance(getattr(errors, name, None), type) or name in ("ValueError", "TypeError"):
        return name
    if status == 503:
        return "ServiceUnavailableError"
    return "ValueError" if status in (400, 422) or isinstance(exc, ValueError) else "ServiceError"
