"""Stamps: of one image, of a position on every image, of many positions; as JSON, FITS and PNG."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.archive import Archive, words_kept
from ztfdb.errors import QueryError
from ztfdb.serve.api.answers import FITS, JSON, ProblemRoute, answered
from ztfdb.serve.api.lightcurves import check_lengths, path_of
from ztfdb.serve.api.models import Asked, Id, Picture, StampAsked, StampsAsked, StampsOnImageAsked, StampsOnPathAsked
from ztfdb.serve.api.pictures import picture, png, sheet
from ztfdb.serve.api.wire import dumps, pack_stamps
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.service import service_of

if TYPE_CHECKING:
    from ztfdb.query.stamps import StampSeries
    from ztfdb.stamps import ImageStamp

PICTURE = tuple(name for name in Picture.model_fields)

router = APIRouter(route_class=ProblemRoute, tags=["stamps"])


class Form(StrEnum):
    """The formats of stamps."""

    JSON = "json"
    FITS = "fits"
    PNG = "png"


MEDIA = {Form.JSON: JSON, Form.FITS: FITS, Form.PNG: "image/png"}
ANSWER: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {media: {} for media in MEDIA.values()}}},
}
ONLY_JSON: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": {JSON: {}}}}}


@router.get("/stamp/{image_id}.{form}", **ANSWER)
async def stamp(
    request: Request, image_id: Annotated[Id, Path()], form: Form, asked: Annotated[StampAsked, Query()]
) -> Response:
    """Return the stamp of a position on one image, as `archive.stamp`."""
    check_size(asked.size, service_of(request).limits)
    options = _options(request, asked, *PICTURE)

    def work(archive: Archive) -> bytes:
        one = archive.stamp(image_id=image_id, **options)
        return _written([one], form, "", lambda: png(picture(one.data, asked.vmin, asked.vmax), asked.scale))

    return await answered(request, work, MEDIA[form])


@router.get("/stamps.{form}", **ANSWER)
async def stamps(request: Request, form: Form, asked: Annotated[StampsAsked, Query()]) -> Response:
    """Return the stamps of a position on every image that covers it, in order of time, as `archive.stamps`.

    As PNG they are one picture, `columns` in a row from the upper left; those without pixels are transparent.
    """
    limits = service_of(request).limits
    check_size(asked.size, limits)
    options = _options(request, asked, *PICTURE, "columns")

    def work(archive: Archive) -> bytes:
        if asked.size > 100:  # smaller stamps exceed the limit only with more images than any archive has of a place
            check_pixels(len(archive.images(asked.ra, asked.dec)), asked.size, limits)
        return _series(lambda: archive.stamps(**options), form, asked)

    return await answered(request, work, MEDIA[form])


@router.post("/stamps/path", **ONLY_JSON)
async def stamps_on_path(request: Request, asked: StampsOnPathAsked) -> Response:
    """Return the stamps of a moving body as JSON, as `archive.stamps_on_path`."""
    limits = service_of(request).limits
    check_size(asked.size, limits)
    path, options = path_of(asked, limits), _options(request, asked, "time", "ra", "dec")
    return await answered(request, lambda archive: _series(lambda: archive.stamps_on_path(path, **options), Form.JSON))


@router.post("/stamps/image/{image_id}", **ONLY_JSON)
async def stamps_on_image(request: Request, image_id: Annotated[Id, Path()], asked: StampsOnImageAsked) -> Response:
    """Return the stamps of many positions on one image as JSON, in their order, as `archive.stamps_on_image`."""
    limits = service_of(request).limits
    check_size(asked.size, limits)
    positions = {"ra": asked.ra, "dec": asked.dec}
    check_lengths(positions, limits.positions)
    check_pixels(len(asked.ra), asked.size, limits)
    options = _options(request, asked, "ra", "dec")
    for name in ("pmra", "pmdec", "epoch"):
        if isinstance(options.get(name), list):
            options[name] = np.array(options[name], np.float64)
    return await answered(
        request, lambda archive: _series(lambda: archive.stamps_on_image(positions, image_id=image_id, **options))
    )


def _options(request: Request, asked: Asked, *without: str) -> dict[str, Any]:
    return {**asked.options(*without), "places": service_of(request).places}


def check_size(size: int, limits: Limits) -> None:
    """Raise `QueryError` for stamps that are too wide."""
    if size > limits.stamp_px:
        raise QueryError(f"a stamp of {size} px, at most {limits.stamp_px} px are cut")


def check_pixels(number: int, size: int, limits: Limits) -> None:
    """Raise `QueryError` for more pixels than one answer holds."""
    if number * size**2 > limits.stamps_mpx * 1e6:
        raise QueryError(f"{number} stamps of {size} px: at most {limits.stamps_mpx} million pixels are cut at once")


def _series(ask: Callable[[], StampSeries], form: Form = Form.JSON, asked: StampsAsked | None = None) -> bytes:
    with words_kept() as words:
        series = ask()

    def drawn() -> bytes:
        assert asked is not None
        pictures = [picture(one.data, asked.vmin, asked.vmax) for one in series]
        if not pictures:
            raise ServiceError(" ".join(words) or "no image covers this position", 404)
        return png(sheet(pictures, asked.columns), asked.scale)

    return _written(series.stamps, form, " ".join(words), drawn)


def _written(stamps: list[ImageStamp], form: Form, hint: str, drawn: Callable[[], bytes]) -> bytes:
    if form is Form.PNG:
        return drawn()
    if form is Form.FITS:
        from ztfdb.stamps import stamps_file

        return stamps_file(stamps)
    return dumps({"stamps": pack_stamps(stamps), "hint": hint or None})
