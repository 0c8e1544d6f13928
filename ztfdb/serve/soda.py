"""SODA 1.0, synchronous: parts of images as FITS files with their WCS."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb.adql.obscore import BANDS
from ztfdb.serve.dali import intervals, shapes
from ztfdb.serve.errors import ServiceError, Told
from ztfdb.serve.files import FITS
from ztfdb.serve.links import SODA_STANDARD, image_of
from ztfdb.serve.params import Parameters, shown
from ztfdb.serve.service import Service, base_url, route
from ztfdb.serve.vosi import availability, capability, document
from ztfdb.serve.work import Put, Streamed
from ztfdb.sky.shapes import SkyShape
from ztfdb.sky.times import SECONDS_PER_DAY
from ztfdb.stamps import Cutout

_FAULTS = {404: "NotFoundFault", 503: "TransientFault", 500: "DefaultFault", 401: "AuthenticationFault"}


@dataclass(frozen=True)
class Wanted:
    """Parameters of a request.

    Attributes
    ----------
    image_id : int
    shape : SkyShape or None
        None for the whole image.
    bands, times : list of (float, float)
        Intervals of wavelength (m) and time (MJD), one of which the image must overlap; no condition if empty.
    mask : bool
    """

    image_id: int
    shape: SkyShape | None
    bands: list[tuple[float, float]]
    times: list[tuple[float, float]]
    mask: bool


async def sync(request: Request, service: Service, params: Parameters) -> Response:
    """Return the part of an image that contains a shape; 204 if the shape does not overlap the image."""
    wanted = _wanted(params)
    cut = await service.workers.run(request, _cut, service, wanted)
    if cut is None:
        return Response(status_code=204)

    def produce(put: Put) -> None:
        with cut:
            for piece in cut.pieces():
                put(piece)

    pieces = await service.workers.stream(request, produce, timeout_s=service.limits.stream_s)
    name = f"ztf_{wanted.image_id}_{cut.cols.start}_{cut.rows.start}.fits"
    headers = {"Content-Disposition": f'inline; filename="{name}"', "Content-Length": str(cut.n_bytes)}
    return Streamed(pieces, media_type=FITS, headers=headers)


def _wanted(params: Parameters) -> Wanted:
    text = params.one("ID")
    if text is None:
        raise ServiceError("ID is missing: expected the obs_publisher_did of an image")
    image_id = image_of(text)
    if image_id is None:
        raise ServiceError(f"there is no image {shown(text)}", 404)
    found = shapes(params, ("CIRCLE", "POLYGON", "POS"))
    if len(found) > 1:
        raise ServiceError(f"{len(found)} shapes, expected one of CIRCLE, POLYGON and POS")
    mask = params.choice("MASK", ("0", "1"), "0") == "1"
    return Wanted(
        image_id, found[0] if found else None, intervals(params, "BAND"), intervals(params, "TIME"), mask
    )  # fmt: skip


def _cut(service: Service, wanted: Wanted) -> Cutout | None:
    archive = service.archive
    if wanted.bands or wanted.times:
        facts = archive.sql(
            "select fid, obsmjd, exptime from image where image_id = :image_id", image_id=wanted.image_id
        )
        if len(facts) and not (_meets(wanted.bands, *_band(facts)) and _meets(wanted.times, *_time(facts))):
            return None
    return archive.cutout(wanted.shape, image_id=wanted.image_id, mask=wanted.mask, places=service.places)


def _band(facts: pd.DataFrame) -> tuple[float, float]:
    return BANDS[int(facts["fid"].iloc[0])]


def _time(facts: pd.DataFrame) -> tuple[float, float]:
    start = float(facts["obsmjd"].astype(float).iloc[0])
    return start, start + float(facts["exptime"].astype(float).iloc[0]) / SECONDS_PER_DAY


def _meets(wanted: list[tuple[float, float]], low: float, high: float) -> bool:
    return not wanted or any(first <= high and last >= low for first, last in wanted)


def as_fault(request: Request, told: Told) -> Response:
    """Render an error as SODA requires: a line of text that begins with the kind of the fault."""
    text = f"{_FAULTS.get(told.status, 'UsageFault')}: {told.message}\n"
    return Response(text, told.status, told.headers, "text/plain; charset=utf-8")


async def capabilities(request: Request, service: Service, params: Parameters) -> Response:
    """Answer VOSI's capabilities."""
    base = f"{base_url(request)}/soda"
    return document(base, capability(SODA_STANDARD, f"{base}/sync", "1.0"))


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [
        route("/soda/sync", sync, as_fault),
        route("/soda/capabilities", capabilities, as_fault, ("GET",)),
        route("/soda/availability", availability, as_fault, ("GET",)),
    ]
