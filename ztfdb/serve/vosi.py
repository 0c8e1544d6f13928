"""VOSI: self-description of a service."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service
from ztfdb.serve.votable import text

XML = "text/xml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
STD = "ivo://ivoa.net/std"
_NAMESPACES = (
    '<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
    'xmlns:vr="http://www.ivoa.net/xml/VOResource/v1.0" xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
    'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
)


def capability(standard: str, url: str, version: str = "") -> str:
    """Return a capability with one interface."""
    more = f' version="{version}"' if version else ""
    return (
        f'<capability standardID="{standard}">\n<interface xsi:type="vs:ParamHTTP" role="std"{more}>'
        f'<accessURL use="full">{text(url)}</accessURL></interface>\n</capability>\n'
    )


def document(base: str, *parts: str) -> Response:
    """Answer with the capabilities of a service at an address, after those of VOSI itself."""
    own = [capability(f"{STD}/VOSI#{name}", f"{base}/{name}") for name in ("capabilities", "availability")]
    return Response("".join([HEAD, _NAMESPACES, *own, *parts, "</vosi:capabilities>\n"]), media_type=XML)


async def availability(request: Request, service: Service, params: Parameters) -> Response:
    """Answer VOSI's availability after querying the database."""
    await service.workers.run(request, service.archive.ping)
    return Response(
        f'{HEAD}<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
        "<vosi:available>true</vosi:available></vosi:availability>\n",
        media_type=XML,
    )
