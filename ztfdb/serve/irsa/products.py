"""``/ibe/data/ztf/products/…``: files by IRSA's path, whole or the part around a position."""

from __future__ import annotations

import gzip
import re
from pathlib import PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.errors import ImageReadError
from ztfdb.frame.remote import is_remote
from ztfdb.frame.window import check_file
from ztfdb.query.products import Product
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.files import FITS, stored
from ztfdb.serve.irsa.images import ARCSEC_PER_PIXEL
from ztfdb.serve.params import Parameters, number, shown
from ztfdb.serve.service import Service
from ztfdb.serve.work import Put, Streamed
from ztfdb.sky.projection import sky_to_pixel
from ztfdb.stamps import cut_part

PIECE = 1 << 20
_PACKED = (".gz", ".fz")
_LENGTH = re.compile(r"([0-9.eE+-]+?)\s*(pix|px|arcsec|arcmin|deg)?", re.ASCII)
_PIXELS = {"pix": 1.0, "px": 1.0, "arcsec": 1.0 / ARCSEC_PER_PIXEL, "arcmin": 60.0 / ARCSEC_PER_PIXEL,
           "deg": 3600.0 / ARCSEC_PER_PIXEL}  # fmt: skip


async def product(request: Request, service: Service, params: Parameters) -> Response:
    """Return a file, or with ``center`` and ``size`` a part of it."""
    name = PurePosixPath(request.path_params["path"]).name
    if unknown := sorted({one for one, _ in params.pairs} - {"CENTER", "SIZE", "GZIP"}):
        raise ServiceError(f"{shown(unknown[0])} is no parameter; known are center, size, gzip")
    found = await service.workers.run(request, service.archive.product, name, places=service.places)
    if found is None:
        raise ServiceError(f"the archive has no file {shown(name)}", 404)
    if params.all("CENTER") or params.all("SIZE"):
        return await service.workers.run(request, _part, found, name, params, service.limits.stamp_px)
    problem = await service.workers.run(request, check_file, found.facts)
    if problem is not None or is_remote(found.facts.path):
        raise ServiceError(f"{name} cannot be sent: {problem or 'it lies on another host'}", 404)
    return await _whole(request, service, found.facts.path, name)


async def _whole(request: Request, service: Service, path: str, name: str) -> Response:
    kept, asked = PurePosixPath(path).suffix, PurePosixPath(name).suffix
    if (kept if kept in _PACKED else "") == (asked if asked in _PACKED else ""):
        return await run_in_threadpool(stored, request, path, name)
    if kept != ".gz" or asked in _PACKED:
        raise ServiceError(f"{name} is stored with another compression: ask for {PurePosixPath(path).name}", 404)

    def unpack(put: Put) -> None:
        with gzip.open(path) as stream:
            while piece := stream.read(PIECE):
                put(piece)

    pieces = await service.workers.stream(request, unpack)
    return Streamed(pieces, media_type=FITS, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _part(found: Product, name: str, params: Parameters, most: int) -> Response:
    if found.image is None:
        raise ServiceError(f"{name} has no pixels: ask for the whole file")
    x, y = _centre(found, params)
    width, height = _sides(params)
    if max(width, height) > most:
        raise ServiceError(f"a part of {max(width, height)} px, at most {most} px are cut")
    try:
        content = cut_part(found.image, found.facts, x, y, width, height)
    except ImageReadError as exc:
        raise ServiceError(f"{name} cannot be read", 404) from exc
    if content is None:
        raise ServiceError(f"the part lies outside {name}")
    name = name.removesuffix(".gz").removesuffix(".fz")
    packed = (params.one("GZIP", "true") or "").lower() not in ("false", "0", "no")
    if packed:
        content, name = gzip.compress(content, 1), f"{name}.gz"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, 200, headers, "application/gzip" if packed else FITS)


def _centre(found: Product, params: Parameters) -> tuple[float, float]:
    text = params.one("CENTER") or ""
    words = re.fullmatch(r"\s*([^,\s]+)[,\s]+([^,\s]+?)\s*(pix|px|deg)?\s*", text)
    if words is None:
        raise ServiceError(f"center is {shown(text)}, expected ra,dec in deg")
    first, second = (number("CENTER", words[k]) for k in (1, 2))
    if words[3] in ("pix", "px"):
        return first - 1.0, second - 1.0  # pixels of FITS
    if abs(second) > 90.0 or abs(first) > 360.0 or found.image is None:
        raise ServiceError(f"center is {shown(text)}, expected ra,dec in deg")
    x, y = sky_to_pixel(found.image.wcs, first % 360.0, second)
    return float(x), float(y)


def _sides(params: Parameters) -> tuple[int, int]:
    text = params.one("SIZE") or ""
    words = [_LENGTH.fullmatch(one.strip()) for one in text.split(",")]
    if len(words) not in (1, 2) or None in words:
        raise ServiceError(f"size is {shown(text)}, expected such as 10arcmin, 50pix or 0.1deg,0.2deg")
    parts = [(number("SIZE", one[1], 0.0, 1e6), one[2]) for one in words if one is not None]
    unit = parts[-1][1] or "deg"
    pixels = [max(1, round(value * _PIXELS[own or unit])) for value, own in parts]
    return pixels[0], pixels[-1]
