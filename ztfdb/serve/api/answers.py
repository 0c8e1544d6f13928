"""Answers of the REST interface: queries run in a thread, results are JSON, errors are problem documents."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from http import HTTPStatus
from pathlib import PurePath
from typing import Any, get_type_hints

from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ztfdb import errors
from ztfdb.archive import Archive, words_kept
from ztfdb.errors import ImageError
from ztfdb.query.answer import Answer
from ztfdb.serve.api.wire import dumps, pack_answer, pack_frame, without_folders
from ztfdb.serve.errors import ClientGone, ServiceError, TimeLimit, tell
from ztfdb.serve.service import request_id, service_of

JSON, FITS = "application/json", "application/fits"
PROBLEM = "application/problem+json"

MOST_SHOWN = 60
"""Characters of a wrong value in an error."""


def problem_of(exc: Exception, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an error as a problem document, and its headers."""
    if isinstance(exc, HTTPException) and isinstance(exc.__cause__, ServiceError):
        exc = exc.__cause__  # fastapi wraps every error while it reads a body
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
        from ztfdb.frame.window import file_status

        body |= {"detail": f"{PurePath(exc.path).name}: {file_status(exc)}", "file": PurePath(exc.path).name}
        if type(exc).__name__ == "StampError":
            body["detail"] = str(exc).replace(exc.path, body["file"])
    return body, told.headers


def problem(request: Request, exc: Exception) -> Response:
    """Return the response for an error."""
    body, headers = problem_of(exc, request)
    return Response(dumps(body), body["status"], headers, PROBLEM)


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ProblemRoute(APIRoute):
    """A route whose errors are problem documents."""

    def get_route_handler(self) -> Handler:
        """Return the handler, wrapped."""
        return self.direct_handler() or _telling(super().get_route_handler())

    def direct_handler(self) -> Handler | None:
        """Return a handler that bypasses fastapi, None for an end point that takes a body."""
        answer = _direct(self.path_format, self.endpoint)
        return None if answer is None else _telling(answer)


def _telling(answer: Handler) -> Handler:
    """Return a handler whose errors are problem documents."""

    async def handle(request: Request) -> Response:
        try:
            return await answer(request)
        except ClientGone:
            raise
        except Exception as exc:
            return problem(request, exc)

    return handle


def _direct(path: str, endpoint: Callable[..., Coroutine[Any, Any, Response]]) -> Handler | None:
    """Return the handler of an end point that takes the request, parts of its path and a model of its query.

    None for other end points. It does the same as fastapi's handler, which also iterates over all fields of the model;
    that takes as long as a short light curve.
    """
    parts: dict[str, TypeAdapter[Any]] = {}
    query: dict[str, type[BaseModel]] = {}
    for name, hint in get_type_hints(endpoint, include_extras=True).items():
        model = getattr(hint, "__origin__", None)
        if f"{{{name}}}" in path:
            parts[name] = TypeAdapter(hint)
        elif isinstance(model, type) and issubclass(model, BaseModel) and isinstance(hint.__metadata__[0], Query):
            query[name] = model
        elif name not in ("request", "return"):
            return None

    async def handle(request: Request) -> Response:
        made = {name: _checked(one.validate_python, request.path_params[name], name) for name, one in parts.items()}
        made |= {name: _checked(one.model_validate, _given(request, one)) for name, one in query.items()}
        return await endpoint(request=request, **made)

    return handle


def _given(request: Request, model: type[BaseModel]) -> dict[str, Any]:
    """Return the query by name: a list if the model takes several values, else the last value.

    ``name=`` is an empty list.
    """
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in _lists(model):
            given.setdefault(name, []).extend([value] if value else [])
        else:
            given[name] = value
    return given


@cache
def _lists(model: type[BaseModel]) -> frozenset[str]:
    fields = model.model_fields.items()
    return frozenset(field.alias or name for name, field in fields if "list" in str(field.annotation))


def _checked(validate: Callable[[Any], Any], value: Any, *where: str) -> Any:
    try:
        return validate(value)
    except ValidationError as exc:
        errors = [{**one, "loc": ("path" if where else "query", *where, *one["loc"])} for one in exc.errors()]
        raise RequestValidationError(errors) from None


async def framed(request: Request, ask: Callable[[Archive], Any]) -> Response:
    """Answer with a DataFrame, or columns (a light curve)."""

    def work(archive: Archive) -> bytes:
        with words_kept() as words:
            found = ask(archive)
        hint = " ".join(words) or None
        if isinstance(found, Answer):
            return dumps(pack_answer(found, hint))
        return dumps(pack_frame(without_folders(found), hint))

    return await answered(request, work)


async def answered(
    request: Request, work: Callable[[Archive], bytes], media_type: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """Answer with bytes that are made in a thread."""
    service = service_of(request)
    content = await service.workers.run(request, work, service.archive)
    return Response(content, 200, headers, media_type)


def _mistake(error: Any) -> str:
    where = ".".join(str(one) for one in error["loc"][1:]) or "the request"
    given = error.get("input")
    is_known = isinstance(given, str | int | float) and error["type"] not in ("missing", "extra_forbidden")
    found = f", found {str(given)[:MOST_SHOWN]!r}" if is_known else ""
    return f"{where}: {error['msg']}{found}"


def _kind(exc: Exception, status: int) -> str:
    if isinstance(exc, TimeLimit):
        return "QueryError"
    name = type(exc).__name__
    if isinstance(getattr(errors, name, None), type) or name in ("ValueError", "TypeError"):
        return name
    if status == 503:
        return "ServiceUnavailableError"
    return "ValueError" if status in (400, 422) or isinstance(exc, ValueError) else "ServiceError"
