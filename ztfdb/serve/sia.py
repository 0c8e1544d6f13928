"""Simple Image Access 2.0: the images of ``ivoa.obscore`` by parameters, the same rows as TAP's."""

from __future__ import annotations

import math

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb.adql.obscore import COLUMNS, DATALINK_TYPE
from ztfdb.adql.tables import Column
from ztfdb.adql.translate import Translation, translate
from ztfdb.adql.uploads import Upload
from ztfdb.serve.dali import intervals, shapes
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.links import descriptor
from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service, base_url, route
from ztfdb.serve.tap.formats import find_format
from ztfdb.serve.tap.query import TapQuery, write_answer
from ztfdb.serve.tap.schema import published
from ztfdb.serve.vosi import availability, capability, document
from ztfdb.serve.votable import as_votable, param
from ztfdb.serve.work import Put, Streamed
from ztfdb.sky.clip import meets_range
from ztfdb.sky.shapes import SkyCircle, SkyPolygon, SkyRange, SkyShape
from ztfdb.store.readonly_stream import Reader

STANDARD = "ivo://ivoa.net/std/SIA#query-2.0"

TEXTS = {
    "ID": "obs_publisher_did", "COLLECTION": "obs_collection", "FACILITY": "facility_name",
    "INSTRUMENT": "instrument_name", "DPTYPE": "dataproduct_type", "TARGET": "target_name",
}  # fmt: skip
"""Parameters that must equal a column."""

NUMBERS = {
    "FOV": "s_fov", "SPATRES": "s_resolution", "SPECRP": "em_res_power", "EXPTIME": "t_exptime",
    "TIMERES": "t_resolution",
}  # fmt: skip
"""Parameters that are intervals and must contain a column."""

SPANS = {"BAND": ("em_min", "em_max"), "TIME": ("t_min", "t_max")}
"""Parameters that are intervals and must overlap an interval of the image."""

MARGIN = 0.01
"""Degrees around the circle of a range: footprints are accurate to 0.3 arcsec."""

MOST_RADIUS = 60.0
"""Degrees; for a wider range all images are read."""

MAX_VALUES = 100
"""Values of one parameter."""

OWN = {*TEXTS, *NUMBERS, *SPANS, "POS", "POL", "CALIB", "FORMAT"}
FORMATS = {"application/fits", "image/fits", "fits", "all", "datalink", DATALINK_TYPE}
"""Accepted values of ``FORMAT``: links lead to FITS files."""

INPUTS = (
    Column(
        "POS", "char", "", "pos.outline;obs", "CIRCLE ra dec r, RANGE ra1 ra2 dec1 dec2 or POLYGON ra1 dec1 …, deg."
    ),
    Column("BAND", "char", "m", "em.wl", "Wavelengths, low and high."),
    Column("TIME", "char", "d", "time.interval;obs.exposure", "MJD, first and last."),
    Column("POL", "char", "", "meta.code;phys.polarization", "Polarization state; these images have none."),
    Column("FOV", "char", "deg", "phys.angSize;instr.fov", "Field of view, low and high."),
    Column("SPATRES", "char", "arcsec", "pos.angResolution", "Seeing, low and high."),
    Column("SPECRP", "char", "", "spect.resolution", "Spectral resolving power, low and high."),
    Column("EXPTIME", "char", "s", "time.duration;obs.exposure", "Exposure time, low and high."),
    Column("TIMERES", "char", "s", "time.resolution", "Temporal resolution, low and high."),
    Column("ID", "char", "", "meta.ref.ivoid", "Identifier, the obs_publisher_did."),
    Column("COLLECTION", "char", "", "meta.id", "Name of the collection."),
    Column("FACILITY", "char", "", "meta.id;instr.tel", "Telescope."),
    Column("INSTRUMENT", "char", "", "meta.id;instr", "Camera."),
    Column("DPTYPE", "char", "", "meta.code.class", "Kind of the data."),
    Column("CALIB", "int", "", "meta.code;obs.calib", "Level of calibration."),
    Column("TARGET", "char", "", "meta.id;src", "ZTF's field."),
    Column("FORMAT", "char", "", "meta.code.mime", "Content type of the data."),
    Column("MAXREC", "int", "", "meta.number", "Most rows of the answer; 0 for this description alone."),
    Column("RESPONSEFORMAT", "char", "", "meta.code.mime", "Format of the answer, as of TAP."),
)


async def query(request: Request, service: Service, params: Parameters) -> Response:
    """Return the images that satisfy all parameters; values of the same parameter are alternatives."""
    limits, reader, base = service.limits, service.reader, base_url(request)
    most = min(params.integer("MAXREC", limits.max_rows) or 0, limits.max_rows_sync)
    form = find_format(params.one("RESPONSEFORMAT"))
    where, ranges = conditions(params)

    def produce(put: Put) -> None:
        uploads = tuple(_upload(number, one, reader, limits) for number, one in enumerate(ranges))
        text = (
            f"select {', '.join(column.name for column in COLUMNS)} from ivoa.obscore{where} order by t_min, image_id"
        )
        asked = TapQuery(text, form, most, uploads)
        extra = _description(base) if most == 0 else ""
        write_answer(asked, _translated(asked, reader, base), reader, put, extra=extra)

    pieces = await service.workers.stream(request, produce)
    return Streamed(pieces, media_type=form.content_type)


def conditions(params: Parameters) -> tuple[str, list[SkyRange]]:
    """Return the ADQL condition of the parameters, and the ranges whose images it reads from uploads.

    Raises
    ------
    ServiceError
        If a parameter is invalid.
    """
    for name in OWN:
        if (n := len(params.all(name))) > MAX_VALUES:
            raise ServiceError(f"{name} is given {n} times, at most {MAX_VALUES} values are taken", 413)
    parts: list[list[str]] = []
    ranges: list[SkyRange] = []
    position = []
    for shape in shapes(params):
        if isinstance(shape, SkyRange):
            position.append(f"image_id in (select image_id from tap_upload.range{len(ranges)})")
            ranges.append(shape)
        else:
            position.append(f"1 = intersects(s_region, {_words(shape)})")
    parts.append(position)
    for name, column in TEXTS.items():
        parts.append([f"{column} = {_quoted(value)}" for value in params.all(name)])
    for name, column in NUMBERS.items():
        parts.append([_bounded(column, column, *ends) for ends in intervals(params, name)])
    for name, (low, high) in SPANS.items():
        parts.append([_bounded(high, low, *ends) for ends in intervals(params, name)])
    parts.append([f"pol_states like {_quoted(f'%/{value.strip()}/%')}" for value in params.all("POL")])
    parts.append([f"calib_level = {_level(value)}" for value in params.all("CALIB")])
    wanted = [value.strip().lower().replace(" ", "") for value in params.all("FORMAT")]
    if wanted and not FORMATS & set(wanted):
        parts.append(["1 = 0"])
    told = " and ".join(f"({' or '.join(part)})" for part in parts if part)
    return (f" where {told}" if told else ""), ranges


def _bounded(above: str, below: str, low: float, high: float) -> str:
    """Return the condition that one column is at least `low`, and one at most `high`."""
    parts = [f"{above} >= {low!r}"] if math.isfinite(low) else []
    parts += [f"{below} <= {high!r}"] if math.isfinite(high) else []
    if low == math.inf or high == -math.inf:
        return "1 = 0"
    return f"({' and '.join(parts)})" if parts else f"{above} is not null"


def _level(value: str) -> int:
    if value.strip() not in ("0", "1", "2", "3", "4"):
        raise ServiceError(f"CALIB is {value[:40]!r}, expected 0 to 4")
    return int(value)


def _quoted(value: str) -> str:
    if "\0" in value or len(value) > 1000:
        raise ServiceError("a parameter is too long, or holds a NUL character")
    return "'" + value.strip().replace("'", "''") + "'"


def _words(shape: SkyShape) -> str:
    if isinstance(shape, SkyCircle):
        return f"circle({shape.ra!r}, {shape.dec!r}, {shape.radius!r})"
    assert isinstance(shape, SkyPolygon)
    return f"polygon({', '.join(f'{ra!r}, {dec!r}' for ra, dec in zip(shape.ra, shape.dec, strict=True))})"


def corners_around(wanted: SkyRange) -> str:
    """Return ADQL of ``image_id`` and corners of the images that may overlap a range of coordinates."""
    names = ", ".join(f"i.ra{k}, i.dec{k}" for k in range(1, 5))
    # an image reaches no farther from its centre than its longer diagonal
    text = (
        f"select i.image_id, {names} from ztf.image as i join ivoa.obscore as o on o.image_id = i.image_id "
        f"where o.s_dec >= {wanted.dec1!r} - o.s_fov and o.s_dec <= {wanted.dec2!r} + o.s_fov"
    )
    around = wanted.circle()
    if around is not None and around.radius + MARGIN < MOST_RADIUS:
        text += f" and 1 = intersects(o.s_region, {_words(SkyCircle(around.ra, around.dec, around.radius + MARGIN))})"
    return text


def _upload(number: int, wanted: SkyRange, reader: Reader, limits: Limits) -> Upload:
    """Return the images that overlap a range of coordinates as a table: great circles do not bound such a range."""
    text = corners_around(wanted)
    made = translate(text, published(), reader.engine, limits.max_rows_async)
    rows = [row for piece in reader.pieces(made.sql, made.values) for row in piece]
    if len(rows) > made.limit:
        raise ServiceError(f"POS: more than {made.limit} images between these declinations: narrow them")
    corners = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 4, 2)
    met = meets_range(corners[..., 0], corners[..., 1], wanted)
    ids = [int(row[0]) for row, keep in zip(rows, met.tolist(), strict=True) if keep]
    return Upload(f"range{number}", (Column("image_id", "long"),), {"image_id": ids})


def _translated(asked: TapQuery, reader: Reader, base: str) -> Translation:
    return translate(asked.text, published(), reader.engine, asked.max_rows, asked.uploads, base=base)


def _description(base: str) -> str:
    """Return the description of the parameters."""
    return descriptor("sia", STANDARD, f"{base}/sia2/query", "".join(param(one, "") for one in INPUTS))


async def capabilities(request: Request, service: Service, params: Parameters) -> Response:
    """Answer VOSI's capabilities."""
    base = f"{base_url(request)}/sia2"
    return document(base, capability(STANDARD, f"{base}/query", "2.0"))


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [
        route("/sia2/query", query, as_votable),
        route("/sia2", query, as_votable),
        route("/sia2/capabilities", capabilities, as_votable, ("GET",)),
        route("/sia2/availability", availability, as_votable, ("GET",)),
    ]
