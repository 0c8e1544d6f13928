"""Resolve a typed position or an id of the archive to a place on the sky."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.archive import Archive
from ztfdb.errors import UnknownObjectError
from ztfdb.serve.api.answers import JSON, ProblemRoute, answered
from ztfdb.serve.api.models import ID_HIGH, ID_LOW
from ztfdb.serve.api.wire import dumps
from ztfdb.serve.errors import ServiceError, has_own_words
from ztfdb.sky.typed import name_help, parse_designation, parse_position, plain_minus

ACCEPTED = (
    "degrees (58.0029 35.7365), sexagesimal (03:52:00.7 +35:44:11.5), a name that holds the position "
    "(J035200.70+354411.5), or the id of a source, object or image of this archive"
)

router = APIRouter(route_class=ProblemRoute)


@router.get("/resolve", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def resolve(request: Request, q: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
    """Return the position (deg, ICRS) of a text, and how it was interpreted.

    ``kind`` is ``position``, ``designation``, ``source``, ``object`` or ``image``; the position of an image is its
    centre.
    """
    return await answered(request, lambda archive: dumps(_resolved(archive, plain_minus(q).strip())))


def _resolved(archive: Archive, text: str) -> dict[str, Any]:
    if text.lstrip("+-").isdecimal() and text.isascii():
        return _of_id(archive, text)
    if (designated := parse_designation(text)) is not None:
        ra, dec = designated
        return {"kind": "designation", "ra": ra, "dec": dec}
    try:
        ra, dec = parse_position([text])
    except ValueError as exc:
        if not has_own_words(exc):
            raise
        if name_help(text):
            raise ServiceError(f"{text} is not a position, and names are not looked up: type {ACCEPTED}") from None
        raise ServiceError(f"{exc}. This archive accepts {ACCEPTED}") from None
    return {"kind": "position", "ra": ra, "dec": dec}


def _of_id(archive: Archive, text: str) -> dict[str, Any]:
    number = int(text)
    if ID_LOW <= number <= ID_HIGH:
        for kind in ("source", "image"):
            found = archive.sql(f"select ra, dec from {kind} where {kind}_id = :id", id=number)
            if len(found):
                return _place(kind, text, found)
        try:
            return _place("object", text, archive.object(number))
        except UnknownObjectError:
            pass
    raise ServiceError(f"no source, object or image of this archive has the id {text}; it accepts {ACCEPTED}", 404)


def _place(kind: str, text: str, rows: Any) -> dict[str, Any]:
    return {"kind": kind, "id": text, "ra": float(rows["ra"][0]), "dec": float(rows["dec"][0])}
