"""The files of images as ingested, and a preview of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from ztfdb.errors import UnknownImageError
from ztfdb.frame.window import check_file, open_pixels
from ztfdb.query.products import CATALOGUES
from ztfdb.records import FileFacts, StoredPixels
from ztfdb.serve.api.pictures import picture, png
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.params import Parameters, shown
from ztfdb.serve.service import Service, route

FITS = "application/fits"

_CACHED = StaticFiles()
"""Only compares headers."""

PREVIEW_PIX = 256
"""Width of a preview, pixels."""


async def file(request: Request, service: Service, params: Parameters) -> Response:
    """Send a file of an image, whole or a range of bytes, if it is unchanged since it was ingested."""
    facts = await service.workers.run(request, _facts, service, request.path_params["id"], request.path_params["role"])
    return await run_in_threadpool(stored, request, facts.path, Path(facts.path).name)


def stored(request: Request, path: str, name: str) -> Response:
    """Return a file or a range of its bytes, or 304 if the client has it already, as for ``wget -N``."""
    whole = FileResponse(path, media_type=FITS, filename=name, stat_result=Path(path).stat())
    return NotModifiedResponse(whole.headers) if _CACHED.is_not_modified(whole.headers, request.headers) else whole


def _facts(service: Service, text: str, role: str) -> FileFacts:
    image = _image(service, text)
    found = next((one for one in image.files if one.role == role), None)
    if role in CATALOGUES:
        catalogue = service.archive.related_files([image.image_id], places=service.places)[image.image_id].catalogue
        found = catalogue if catalogue is not None and catalogue.role == role else None
    if found is None:
        raise ServiceError(f"image {text} has no file {shown(role)}", 404)
    if "://" in found.path:
        raise ServiceError("this file is not stored here: its links give the address", 404)
    if (problem := check_file(found)) is not None:
        raise ServiceError(f"there is no such file any more: {problem}", 404)
    return found


def _image(service: Service, text: str) -> StoredPixels:
    image_id = int(text) if text.isdecimal() and len(text) < 19 else -1
    found = service.archive.image_pixels([image_id], places=service.places).get(image_id)
    if found is None:
        raise UnknownImageError(f"no image {shown(text)} in this archive")
    return found


async def preview(request: Request, service: Service, params: Parameters) -> Response:
    """Answer with an image as a small PNG, y upwards."""
    content = await service.workers.run(request, _preview, service, request.path_params["id"])
    return Response(content, media_type="image/png")


def _preview(service: Service, text: str) -> bytes:
    image = _image(service, text)
    ny, nx = image.shape
    step = max(1, max(ny, nx) // PREVIEW_PIX)
    with open_pixels(image, image.own) as pixels:
        rows = [pixels.read(slice(at, at + 1), slice(0, nx))[0, ::step] for at in range(0, ny, step)]
    return png(picture(np.stack(rows)))


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [route("/files/{id}/{role}", file, methods=("GET",)), route("/preview/{id}.png", preview, methods=("GET",))]
