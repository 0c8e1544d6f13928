"""Light curves of a position, of up to 10,000 positions as lines of JSON, of a moving body."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.archive import Archive, words_kept
from ztfdb.serve.api.answers import JSON, ProblemRoute, answered, framed, problem_of
from ztfdb.serve.api.models import (
    Frame,
    LightCurveAsked,
    LightCurveOnPathAsked,
    LightCurvesAsked,
    PeriodogramAsked,
    Photometry,
)
from ztfdb.serve.api.wire import dumps, pack_columns, pack_data, pack_frame, plain, without_folders
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.service import Service, service_of
from ztfdb.serve.work import Put, Streamed

if TYPE_CHECKING:
    import pandas as pd

NDJSON = "application/x-ndjson"
MOTION = ("pmra", "pmdec", "epoch")

router = APIRouter(route_class=ProblemRoute, tags=["light curves"])


@router.get("/lightcurve", response_model=Frame)
async def lightcurve(request: Request, asked: Annotated[LightCurveAsked, Query()]) -> Response:
    """Return the light curve of a position, as `archive.light_curve`."""
    options = asked.options() | _files(request, asked)
    return await framed(request, lambda archive: archive.light_curve(**options))


@router.get("/periodogram", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def periodogram(request: Request, asked: Annotated[PeriodogramAsked, Query()]) -> Response:
    """Return the periodogram of a position's light curve, as `archive.periodogram`: powers, and ``peaks``."""
    options = asked.options() | _files(request, asked)

    def work(archive: Archive) -> bytes:
        with words_kept() as words:
            found = archive.periodogram(**options)
        return dumps({**pack_frame(found.data, " ".join(words) or None), "peaks": pack_frame(found.peaks)})

    return await answered(request, work)


@router.post("/lightcurves", response_class=Response, responses={200: {"content": {NDJSON: {}}}})
async def lightcurves(request: Request, asked: LightCurvesAsked) -> Response:
    """Return the light curves of many positions, as `archive.light_curves`.

    Each line is a JSON document: first ``columns``; then ``position`` (the row number) and ``data`` of each position
    with epochs; last ``done`` with ``attrs``, or ``error`` if the answer ends early.
    """
    service = service_of(request)
    positions, options = _positions(asked, service.limits)
    options |= _files(request, asked)

    def produce(put: Put) -> None:
        begun = False
        try:
            for line in _lines(service, positions, options):
                put(line)
                begun = True
        except Exception as exc:
            if not begun:
                raise
            put(dumps({"error": problem_of(exc, request)[0]}) + b"\n")

    pieces = await service.workers.stream(request, produce, timeout_s=service.limits.stream_s)
    return Streamed(pieces, media_type=NDJSON)


@router.post("/lightcurve/path", response_model=Frame)
async def lightcurve_on_path(request: Request, asked: LightCurveOnPathAsked) -> Response:
    """Return the light curve of a moving body, as `archive.light_curve_on_path`."""
    path, options = path_of(asked, service_of(request).limits), asked.options("time", "ra", "dec")
    options |= _files(request, asked)
    return await framed(request, lambda archive: archive.light_curve_on_path(path, **options))


def _files(request: Request, asked: Photometry) -> dict[str, Any]:
    """Return the folders of the files on which a complete light curve is measured."""
    return {"places": service_of(request).places} if asked.complete else {}


def path_of(asked: Any, limits: Limits) -> dict[str, Any]:
    """Return the path of a request, after checking its length and that all columns have the same length."""
    columns = {name: getattr(asked, name) for name in ("time", "ra", "dec")}
    check_lengths(columns, limits.positions)
    return columns


def check_lengths(columns: dict[str, list[Any]], most: int) -> None:
    """Raise `ServiceError` for columns of different lengths, or for more rows than one request may have."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ServiceError(f"columns differ in length: {', '.join(f'{k} has {v}' for k, v in lengths.items())}")
    if lengths["ra"] > most:
        raise ServiceError(f"{lengths['ra']} positions, at most {most} are answered at once", 413)


def _positions(asked: LightCurvesAsked, limits: Limits) -> tuple[dict[str, Any], dict[str, Any]]:
    positions = {"ra": asked.ra, "dec": asked.dec}
    check_lengths(positions, limits.complete_positions if asked.complete else limits.positions)
    options = asked.options("ra", "dec")
    for name in ("color", *MOTION):
        if isinstance(options.get(name), list):
            options[name] = np.array(options[name], np.float64)  # null becomes NaN
    return {name: np.array(values, np.float64) for name, values in positions.items()}, options


def _lines(service: Service, positions: dict[str, Any], options: dict[str, Any]) -> Iterator[bytes]:
    archive: Archive = service.archive
    attrs: dict[str, Any] = {}
    count = {"n_position": 0, "n_epoch": 0}
    for number, frame in enumerate(archive.light_curve_parts(positions, **options)):
        if number == 0:
            yield dumps({"columns": pack_columns(frame)}) + b"\n"
        attrs = _joined(attrs, frame.attrs)
        lines = list(_of_positions(without_folders(frame)))
        count["n_position"] += len(lines)
        count["n_epoch"] += len(frame)
        if lines:
            yield b"".join(lines)
    hint = "" if count["n_epoch"] else archive.hint_of(positions, options)
    yield dumps({"done": count, "attrs": plain(attrs), "hint": hint or None}) + b"\n"


def _of_positions(frame: pd.DataFrame) -> Iterator[bytes]:
    position = frame["position"].to_numpy()
    data = pack_data(frame.drop(columns="position"))
    bounds = [*np.flatnonzero(np.diff(position, prepend=-1)).tolist(), len(position)]
    for start, stop in pairwise(bounds):
        part = {name: values[start:stop] for name, values in data.items()}
        yield dumps({"position": int(position[start]), "data": part}) + b"\n"


def _joined(before: dict[str, Any], attrs: dict[Any, Any]) -> dict[str, Any]:
    """Return the merged attrs of all batches, with summed counts of measurements."""
    joined = {str(name): value for name, value in attrs.items()}
    if before and "n_measured" in joined:
        joined["n_measured"] += before["n_measured"]
        joined["kept"] = joined["kept"] and before["kept"]
    return joined
