"""Simple Cone Search 1.03: every detection within a radius of a position.

The standard requires UCD1, which VOTable 1.1 allows and newer versions do not. An error is an INFO named ``Error`` in a
document with status 200.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb.adql.tables import Column
from ztfdb.schema import describe_column
from ztfdb.serve.errors import ServiceError, Told
from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service, route
from ztfdb.serve.votable import attribute, field, text

CONTENT_TYPE = "text/xml"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.1" xmlns="http://www.ivoa.net/xml/VOTable/v1.1">\n'
    "<DESCRIPTION>Detections of an archive of ZTF images</DESCRIPTION>\n"
)
_MAIN = {"source_id": "ID_MAIN", "ra": "POS_EQ_RA_MAIN", "dec": "POS_EQ_DEC_MAIN"}
_MISSING = {"short": -(2**15), "int": -(2**31), "long": -(2**63)}
VERBOSITY = {
    1: ("source_id", "ra", "dec"),
    2: ("source_id", "ra", "dec", "separation", "obsmjd", "filtercode", "flux_aper4", "flux_aper4_err", "flags",
        "mask_bits"),
    3: None,
}  # fmt: skip
"""Columns by ``VERB``; None means all."""


async def cone(request: Request, service: Service, params: Parameters) -> Response:
    """Answer a cone search; ``SR=0`` or ``MAXREC=0`` returns only the columns."""
    limits = service.limits
    ra, dec = params.number("RA", low=-360.0, high=720.0), params.number("DEC", low=-90.0, high=90.0)
    radius = params.number("SR", low=0.0, high=180.0)
    for name, value in (("RA", ra), ("DEC", dec), ("SR", radius)):
        if value is None:
            raise ServiceError(f"{name} is missing: expected a number of degrees")
    assert ra is not None and dec is not None and radius is not None
    if radius > limits.cone_deg:
        raise ServiceError(f"SR is {radius:g} deg, at most {limits.cone_deg:g} deg are searched at once")
    verb = params.integer("VERB", 2, low=1, high=3) or 2
    most = min(params.integer("MAXREC", limits.max_rows) or 0, limits.max_rows_sync)
    if radius == 0.0:
        most = 0
    frame = await service.workers.run(request, service.archive.cone, ra, dec, radius * 3600.0 if most else 0.0)
    content = await service.workers.run(request, document, frame, verb, most)
    return Response(content, media_type=CONTENT_TYPE)


def document(frame: pd.DataFrame, verb: int, most: int) -> bytes:
    """Return a cone as the standard's VOTable, the nearest `most` rows.

    Parameters
    ----------
    frame : DataFrame
        As `ztfdb.query.cone.cone` returns it.
    verb : int
        1 to 3, see `VERBOSITY`.
    most : int
    """
    names = VERBOSITY[verb] or tuple(str(name) for name in frame.columns)
    shown = frame.head(most)
    columns = [_column(name, frame[name].dtype) for name in names]
    cells = [_cells(column, shown[column.name]) for column in columns]
    rows = "".join(f"<TR>{''.join(row)}</TR>\n" for row in zip(*cells, strict=True))
    cut = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if 0 < most < len(frame) else ""
    return (
        f'{_HEAD}<RESOURCE type="results">\n{cut}<COOSYS ID="ICRS" system="ICRS"/>\n<TABLE>\n'
        f"{''.join(_field(column) for column in columns)}<DATA><TABLEDATA>\n{rows}</TABLEDATA></DATA>\n</TABLE>\n"
        "</RESOURCE>\n</VOTABLE>\n"
    ).encode()


def as_error(request: Request, told: Told) -> Response:
    """Render an error as the standard requires; the status is 200 unless the service is busy."""
    body = f'{_HEAD}<INFO ID="Error" name="Error" value={attribute(told.message)}/>\n</VOTABLE>\n'
    return Response(body, 503 if told.status == 503 else 200, told.headers, CONTENT_TYPE)


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [route("/scs", cone, as_error)]


def _column(name: str, dtype: Any) -> Column:
    known = describe_column(name, "cone")
    unit, words = (known.vounit, known.description) if known is not None else ("", "")
    unit = unit.replace("adu", "ct")  # VOTable 1.1 uses CDS units, which have no adu
    if name == "source_id":
        kind = "char"  # the standard requires text ids
    elif pd.api.types.is_float_dtype(dtype):
        kind = "float" if dtype == "float32" else "double"
    elif pd.api.types.is_integer_dtype(dtype):
        kind = "long" if name.endswith("_id") or name == "hpx29" else "int"
    else:
        kind = "char"
    return Column(name, kind, unit, _MAIN.get(name, ""), words)


def _field(column: Column) -> str:
    made = field(column)
    if column.name in ("ra", "dec"):
        made = made.replace("<FIELD ", '<FIELD ref="ICRS" ', 1)
    if column.datatype in _MISSING:
        null = f'<VALUES null="{_MISSING[column.datatype]}"/>'
        made = made.replace("</FIELD>", f"{null}</FIELD>")
    return made


def _cells(column: Column, values: pd.Series[Any]) -> list[str]:
    none = values.isna().tolist()
    missing = str(_MISSING.get(column.datatype, "NaN" if column.datatype in ("float", "double") else ""))
    if column.datatype == "float":
        texts = [f"{value:.9g}" for value in values.tolist()]
    elif column.datatype == "double":
        texts = [repr(value) if math.isfinite(value) else "NaN" for value in values.tolist()]
    else:
        texts = [text(str(value)) for value in values.tolist()]
    return [f"<TD>{missing if gone else word}</TD>" for word, gone in zip(texts, none, strict=True)]
