"""Errors of requests, and their messages for clients, which never contain paths, secrets or ztfdb's own SQL."""

from __future__ import annotations

import dis
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.errors import (
    CatalogueFileError,
    DatabaseUnavailableError,
    ImageError,
    MissingExtraError,
    OptionError,
    QueryError,
    SchemaVersionError,
    StatementStoppedError,
    UnknownCatalogueError,
    UnknownImageError,
    UnknownObjectError,
    UnknownSourceError,
    ZtfdbError,
)

RETRY_AFTER_S = 5

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """An error of a request with a message for the client.

    Parameters
    ----------
    message : str
        What was found and what was wanted.
    status : int
        The HTTP status.
    retry_after : int, optional
        Seconds after which the client may retry.
    """

    def __init__(self, message: str, status: int = 400, *, retry_after: int | None = None) -> None:
        self.message = message
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class Busy(ServiceError):
    """Too many requests at once."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 503, retry_after=RETRY_AFTER_S)


class TimeLimit(ServiceError):
    """The statements of a request took too long and were stopped."""

    def __init__(self, seconds: float, advice: str = "narrow the position or the question") -> None:
        super().__init__(f"stopped after the time limit of {seconds:g} s: {advice}")


class ClientGone(ServiceError):
    """The client closed its connection; the message is never sent."""

    def __init__(self) -> None:
        super().__init__("the client is gone", 499)


@dataclass(frozen=True)
class Told:
    """An error as sent to a client."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


Render = Callable[[Request, Told], Response]
"""Renders an error document of a protocol."""

_OURS = __name__.partition(".")[0]
_RAISE = dis.opmap["RAISE_VARARGS"]
_NOT_FOUND = (UnknownImageError, UnknownSourceError, UnknownObjectError, UnknownCatalogueError)


def tell(exc: Exception, request_id: str) -> Told:
    """Return the client's view of an exception; further details go to the log with the request's id."""
    if isinstance(exc, ServiceError):
        retry = {} if exc.retry_after is None else {"Retry-After": str(exc.retry_after)}
        return Told(exc.status, exc.message, retry)
    if isinstance(exc, HTTPException):
        return Told(exc.status_code, exc.detail, dict(exc.headers or {}))
    if isinstance(exc, _NOT_FOUND):
        return Told(404, str(exc))
    if isinstance(exc, MissingExtraError):
        log.warning("an extra is missing", extra={"request": request_id, "reason": str(exc)})
        return Told(400, f"{exc.feature} is not available here")
    if isinstance(exc, QueryError | OptionError) or (isinstance(exc, ValueError) and has_own_words(exc)):
        return Told(400, str(exc))
    if isinstance(exc, ValueError):
        log.error("a library refused a value", exc_info=exc, extra={"request": request_id})
        return Told(400, f"a value of the request cannot be used; the log of the service has the reason: {request_id}")
    if isinstance(exc, StatementStoppedError):
        log.warning("the database stopped a statement", extra={"request": request_id, "reason": str(exc)})
        return Told(400, "the database stopped the statement: narrow the position or the question")
    if isinstance(exc, DatabaseUnavailableError):
        log.warning("database unavailable", extra={"request": request_id, "reason": str(exc)})
        return Told(503, "the database cannot be reached now", {"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(exc, SchemaVersionError):
        log.error("the archive is at another schema", extra={"request": request_id, "reason": str(exc)})
        message = "the archive was upgraded: the service must be updated and started again"
        return Told(503, message, {"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(exc, ImageError):
        log.warning("image unusable", extra={"request": request_id, "reason": str(exc)})
        return Told(404, "the file of this image cannot be read here")
    if isinstance(exc, CatalogueFileError):  # of a catalogue that is read in place
        log.warning("catalogue unreadable", extra={"request": request_id, "reason": str(exc)})
        return Told(503, "a catalogue of this archive cannot be read here now", {"Retry-After": str(RETRY_AFTER_S)})
    known = isinstance(exc, ZtfdbError)
    log.error("request failed", exc_info=exc, extra={"request": request_id, "known": known})
    return Told(500, f"the service failed; its log has the reason under {request_id}")


def has_own_words(exc: BaseException) -> bool:
    """Return whether ztfdb wrote the text of an exception: a ``raise`` in its own code, at any depth, made it.

    The text of a library's exception may contain a path, a secret or a statement.
    """
    trace = exc.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", ""))
    instruction = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    return module.partition(".")[0] == _OURS and instruction == _RAISE


def as_text(request: Request, told: Told) -> Response:
    """Render an error as a line of text."""
    return Response(told.message + "\n", told.status, told.headers, "text/plain; charset=utf-8")


def as_json(request: Request, told: Told) -> Response:
    """Render an error as ``{"error": …}``."""
    return Response(json.dumps({"error": told.message}) + "\n", told.status, told.headers, "application/json")
