"""``/ibe/search/ztf/products/{sci,ref}``: metadata of images by position and by IRSA's ``WHERE``."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.adql.tables import Column, Tables
from ztfdb.adql.translate import translate
from ztfdb.archive import words_kept
from ztfdb.errors import QueryError
from ztfdb.query.region import INTERSECTS
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.irsa.images import KINDS, table_of
from ztfdb.serve.irsa.tables import answer, format_of
from ztfdb.serve.params import Parameters, number, shown
from ztfdb.serve.service import Service
from ztfdb.sky.angles import separation

_KNOWN = {"POS", "SIZE", "INTERSECT", "MCEN", "COLUMNS", "WHERE", "CT", "FORMAT"}
_UNSERVED = ("raw", "cal", "deep")


async def search(request: Request, service: Service, params: Parameters) -> Response:
    """Return images; without position and condition, or with ``FORMAT=METADATA``, return the columns."""
    kind = request.path_params["kind"]
    if kind not in KINDS:
        words = "is not kept in an archive" if kind in _UNSERVED else "is no kind of product"
        raise ServiceError(f"{shown(kind)} {words}; there are {', '.join(KINDS)}", 404)
    if unknown := sorted({name for name, _ in params.pairs} - _KNOWN):
        raise ServiceError(f"{shown(unknown[0])} is no parameter; known are {', '.join(sorted(_KNOWN))}")
    form = format_of(params, "ct", "ipac_table")
    if (params.one("FORMAT") or "").upper() == "METADATA" or not (params.all("POS") or params.all("WHERE")):
        return answer(form, *_metadata(kind))
    return await service.workers.run(request, _found, service, kind, params, form)


def _metadata(kind: str) -> tuple[list[Column], list[tuple[str, ...]]]:
    names = ("name", "datatype", "unit", "ucd", "description")
    columns = [Column(name, "unicodeChar") for name in names]
    return columns, [tuple(getattr(one, name) for name in names) for one in table_of(kind).columns]


def _found(service: Service, kind: str, params: Parameters, form: str) -> Response:
    ids = _images(service, params) if params.all("POS") else None
    most = service.limits.max_rows_sync
    table = table_of(kind, ids)
    text = _statement(kind, params, [one.name for one in table.columns])
    longest = service.limits.query_kb * 1024
    made = translate(text, Tables.of([table]), service.reader.engine, most, max_characters=longest)
    rows: list[Any] = []
    for piece in service.reader.pieces(made.sql, made.values, []):
        rows += piece
        if len(rows) > most:
            raise QueryError(f"more than {most} images: narrow the position or the condition")
    if ids is not None and len(rows) > 1 and _most_centred(params):
        rows = [min(rows, key=_distance(params, made.columns))]
    shown_columns = [one for one in made.columns if not one.name.startswith("_")]
    return answer(form, shown_columns, [row[: len(shown_columns)] for row in rows])


def _statement(kind: str, params: Parameters, known: list[str]) -> str:
    """Return the statement of a request; its last columns are position and id of each image, for `_most_centred`."""
    names = [one for text in params.all("COLUMNS") for one in re.split(r"[,\s]+", text.strip().lower()) if one]
    if wrong := [name for name in names if name not in known]:
        raise ServiceError(f"COLUMNS: there is no column {shown(wrong[0])}; there are {', '.join(known)}")
    wanted = ", ".join(f't."{name}"' for name in names or known)
    where = params.one("WHERE")
    condition = "" if where is None else f" where ({where})"
    order = "t.obsjd, t.image_id" if kind == "sci" else "t.field, t.rcid, t.fid, t.image_id"
    return f"select {wanted}, t.ra as _ra, t.dec as _dec from ibe.{kind} as t{condition} order by {order}"


def _images(service: Service, params: Parameters) -> list[int]:
    ra, dec = _position(params)
    width, height = _size(params)
    intersect = params.choice("INTERSECT", INTERSECTS, "OVERLAPS")
    if width == 0.0 and height == 0.0:
        with words_kept():
            found = [] if intersect == "ENCLOSED" else service.archive.images(ra, dec)["image_id"].tolist()
        return [int(one) for one in found]
    if width == 0.0 or height == 0.0:
        raise ServiceError("SIZE has a side of 0: expected two sides, or a point")
    meeting = service.archive.images_meeting_box(ra, dec, width, height, intersect=intersect)
    return [int(one) for one in meeting]


def _position(params: Parameters) -> tuple[float, float]:
    text = params.one("POS") or ""
    words = text.replace(",", " ").split()
    if len(words) != 2:
        raise ServiceError(f"POS is {shown(text)}, expected ra,dec in deg")
    return number("POS", words[0], -360.0, 360.0) % 360.0, number("POS", words[1], -90.0, 90.0)


def _size(params: Parameters) -> tuple[float, float]:
    text = params.one("SIZE", "0") or "0"
    words = text.replace(",", " ").split()
    if len(words) not in (1, 2):
        raise ServiceError(f"SIZE is {shown(text)}, expected width or width,height in deg")
    sides = [number("SIZE", one, 0.0, 180.0) for one in words]
    return sides[0], sides[-1]


def _most_centred(params: Parameters) -> bool:
    """Return whether only the most centred image is requested: the flag ``mcen``, which applies to points only."""
    return any(name == "MCEN" for name, _ in params.pairs) and _size(params) == (0.0, 0.0)


def _distance(params: Parameters, columns: tuple[Column, ...]) -> Any:
    ra, dec = _position(params)
    names = [one.name for one in columns]
    at = names.index("_ra"), names.index("_dec")

    def distance(row: Any) -> float:
        found = float(np.asarray(separation(ra, dec, row[at[0]], row[at[1]])))
        return found if math.isfinite(found) else math.inf

    return distance
