"""DataLink 1.1: from the identifier of an image to its file, its mask, a preview, its sources and cutouts.

Semantics follow the IVOA's vocabulary ``datalink/core``: a mask is ``#auxiliary``, because there is no term for masks;
measurements of the image are ``#derivation``; the quadrant of a cutout is its ``#progenitor``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb.adql.obscore import DATALINK_TYPE
from ztfdb.adql.tables import Column
from ztfdb.query.products import Related
from ztfdb.records import FileFacts, StoredPixels
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.links import DATALINK_STANDARD, image_of, soda_descriptor
from ztfdb.serve.params import Parameters, shown
from ztfdb.serve.service import Service, base_url, route
from ztfdb.serve.tap.formats import whole
from ztfdb.serve.vosi import availability, capability, document
from ztfdb.serve.votable import VotableWriter, as_votable

MAX_IDS = 1_000
"""Identifiers of one request; links of further ones are omitted, and the answer says so."""

FITS, PNG, VOTABLE = "application/fits", "image/png", "application/x-votable+xml"
KEY = "ID"
"""XML ID of the column of identifiers, which astropy uses as the column's name."""

COLUMNS = (
    Column("ID", "char", "", "meta.id;meta.main", "Identifier that was asked for."),
    Column("access_url", "char", "", "meta.ref.url", "Address of the link."),
    Column("service_def", "char", "", "meta.ref", "XML ID of the descriptor of a service."),
    Column("error_message", "char", "", "meta.code.error", "Why there is no link."),
    Column("semantics", "char", "", "meta.code", "What the link is to the image."),
    Column("description", "char", "", "meta.note", "What the link is, in words."),
    Column("content_type", "char", "", "meta.code.mime", "Content type of what the link leads to."),
    Column("content_length", "long", "byte", "phys.size;meta.file", "Its size."),
)

Row = tuple[Any, ...]


async def links(request: Request, service: Service, params: Parameters) -> Response:
    """Answer with the links of images."""
    wanted = [one for value in params.all("ID") for one in value.split()]
    if not wanted:
        raise ServiceError("UsageFault: ID is missing: expected the obs_publisher_did of an image")
    form = params.one("RESPONSEFORMAT") or "votable"
    if form.split(";")[0].strip().lower() not in ("votable", VOTABLE, "text/xml"):
        raise ServiceError(f"UsageFault: RESPONSEFORMAT is {shown(form)}, links are a VOTable")
    most = min(params.integer("MAXREC", MAX_IDS) or 0, MAX_IDS)
    asked = list(dict.fromkeys(wanted))
    ids = [one for text in asked[:most] if (one := image_of(text)) is not None]
    base = base_url(request)
    content = await service.workers.run(request, _document, service, asked, ids, most, base)
    return Response(content, media_type=DATALINK_TYPE)


def _document(service: Service, asked: list[str], ids: list[int], most: int, base: str) -> bytes:
    images = service.archive.image_pixels(ids, places=service.places)
    related = service.archive.related_files(sorted(images), places=service.places)
    rows = [row for text in asked[:most] for row in _rows(text, images, related, base)]
    writer = VotableWriter(
        COLUMNS, infos=[("standardID", DATALINK_STANDARD)], links=(0, soda_descriptor(base, KEY)), key=KEY
    )
    return whole(writer, rows, len(asked) > most)


def _rows(text: str, images: Mapping[int, StoredPixels], related: Mapping[int, Related], base: str) -> list[Row]:
    image_id = image_of(text)
    image = images.get(image_id) if image_id is not None else None
    if image is None or image_id is None:
        return [_row(text, "#this", error=f"NotFoundFault: there is no image {shown(text)}")]
    if not _is_there(image.own):
        rows = [_row(text, "#this", error="NotFoundFault: the file of this image is not there any more")]
    else:
        rows = [
            _file(text, "#this", "The image.", image_id, image.own, base),
            _row(text, "#cutout", service="soda", words="A part of the image, with its WCS.", kind=FITS),
            _row(text, "#preview", f"{base}/preview/{image_id}.png", words="The image, small.", kind=PNG),
        ]
    if image.mask is not None and _is_there(image.mask):
        rows.append(_file(text, "#auxiliary", "Its mask.", image_id, image.mask, base))
    other = related[image_id]
    if other.catalogue is not None and _is_there(other.catalogue):
        rows.append(_file(text, "#derivation", "ZTF's PSF catalogue of it.", image_id, other.catalogue, base))
    if other.whole_id is not None and other.whole is not None and _is_there(other.whole):
        words = "The whole quadrant that it was cut from."
        rows.append(_file(text, "#progenitor", words, other.whole_id, other.whole, base))
    query = urlencode({"LANG": "ADQL", "QUERY": f"select * from ztf.source where image_id = {image_id}"})
    rows.append(
        _row(text, "#derivation", f"{base}/tap/sync?{query}", words="Sources that were measured on it.", kind=VOTABLE)
    )
    return rows


def _file(text: str, semantics: str, words: str, image_id: int, facts: FileFacts, base: str) -> Row:
    """Return the link to a file: at this service, or its web address."""
    url = facts.path if _is_remote(facts) else f"{base}/files/{image_id}/{facts.role}"
    if _is_remote(facts) and urlsplit(url).username is not None:
        return _row(text, semantics, error="AuthorizationFault: the file lies where a password is needed")
    return _row(text, semantics, url, words=words, kind=FITS, size=facts.size)


def _row(
    text: str,
    semantics: str,
    url: str | None = None,
    *,
    service: str | None = None,
    error: str | None = None,
    words: str | None = None,
    kind: str | None = None,
    size: int | None = None,
) -> Row:
    return text, url, service, error, semantics, words, kind, size


def _is_remote(facts: FileFacts) -> bool:
    return "://" in facts.path


def _is_there(facts: FileFacts) -> bool:
    return _is_remote(facts) or Path(facts.path).is_file()


async def capabilities(request: Request, service: Service, params: Parameters) -> Response:
    """Answer VOSI's capabilities."""
    base = f"{base_url(request)}/datalink"
    return document(base, capability(DATALINK_STANDARD, f"{base}/links", "1.1"))


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [
        route("/datalink/links", links, as_votable),
        route("/datalink/capabilities", capabilities, as_votable, ("GET",)),
        route("/datalink/availability", availability, as_votable, ("GET",)),
    ]
