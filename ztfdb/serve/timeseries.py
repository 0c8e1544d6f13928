"""``/lightcurve``: the light curve of a position as a time series in a VOTable.

It follows the IVOA note on time series: times refer to a TIMESYS, positions to a COOSYS, and a group for each filter
describes its magnitudes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb.adql.obscore import BANDS
from ztfdb.adql.tables import Column
from ztfdb.codes import FILTER_IDS
from ztfdb.schema import describe_column
from ztfdb.serve.api.wire import without_folders
from ztfdb.serve.dali import intervals, shapes
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service, route
from ztfdb.serve.tap.formats import find_format, make_writer, whole
from ztfdb.serve.votable import VotableWriter, as_votable, attribute, field, param
from ztfdb.sky.shapes import SkyCircle

TIMES = {"mjd": "UTC_MJD", "mjd_mid": "UTC_MJD", "hjd": "UTC_HJD", "bjd_tdb": "TDB_BJD"}
"""Columns of times and the TIMESYS that they refer to."""

_SYSTEMS = {
    "UTC_MJD": 'timeorigin="MJD-origin" timescale="UTC" refposition="TOPOCENTER"',
    "UTC_HJD": 'timeorigin="JD-origin" timescale="UTC" refposition="HELIOCENTER"',
    "TDB_BJD": 'timeorigin="JD-origin" timescale="TDB" refposition="BARYCENTER"',
}
AB_ZEROPOINT_JY = 3631.0
WORDS = {"0": False, "1": True, "false": False, "true": True}


class TimeSeriesWriter(VotableWriter):
    """Writes a light curve with its systems of time and position, and the photometric system of each filter.

    Parameters
    ----------
    columns : sequence of Column
    target : tuple of float
        Requested ra, dec (deg) and radius (arcsec).
    filters : sequence of str
        Filters of the rows.
    binary, infos
        As of `VotableWriter`.
    """

    def __init__(
        self, columns: Sequence[Column], target: tuple[float, float, float], filters: Sequence[str], **options: Any
    ) -> None:
        super().__init__(columns, **options)
        self._target = target
        self._filters = filters

    def systems(self) -> str:
        """Return the systems that columns refer to."""
        used = {TIMES[column.name] for column in self._columns if column.name in TIMES}
        times = (f'<TIMESYS ID="{name}" {words}/>\n' for name, words in _SYSTEMS.items() if name in used)
        return super().systems() + "".join(times)

    def fields(self) -> str:
        """Return the columns, the requested position, and a group for each filter."""
        parts = [_field(column) for column in self._columns]
        names = (("target_ra", "deg", "pos.eq.ra;src"), ("target_dec", "deg", "pos.eq.dec;src"),
                 ("target_radius", "arcsec", "pos.angDistance"))  # fmt: skip
        for (name, unit, ucd), value in zip(names, self._target, strict=True):
            parts.append(param(Column(name, "double", unit, ucd, "As it was asked for."), repr(value)))
        known = {column.name for column in self._columns}
        return "".join([*parts, *(_photometry(code, known) for code in self._filters)])


def _field(column: Column) -> str:
    made = field(column, key=column.name)
    system = TIMES.get(column.name)
    return made.replace("<FIELD ", f"<FIELD ref={attribute(system)} ", 1) if system else made


def _photometry(code: str, known: set[str]) -> str:
    """Return the group that describes the magnitudes of a filter."""
    low, high = BANDS[FILTER_IDS[code]]
    of_filter = "photDM:PhotometryFilter"
    params = (
        ("filterIdentifier", "char", "", "meta.id;instr.filter", f"{of_filter}.identifier", f"Palomar/ZTF.{code[1]}"),
        ("filtercode", "char", "", "meta.id;instr.filter", f"{of_filter}.name", code),
        ("spectralMinimum", "double", "m", "em.wl;stat.min", f"{of_filter}.bandwidth.start.value", repr(low)),
        ("spectralMaximum", "double", "m", "em.wl;stat.max", f"{of_filter}.bandwidth.stop.value", repr(high)),
        ("magnitudeSystem", "char", "", "meta.code", "photDM:PhotCal.magnitudeSystem.type", "AB"),
        ("zeroPointFlux", "double", "Jy", "phot.flux.density", "photDM:PhotCal.zeroPoint.flux.value",
         repr(AB_ZEROPOINT_JY)),
    )  # fmt: skip
    refs = "".join(f'<FIELDref ref="{name}"/>' for name in ("mag", "magerr", "limitmag") if name in known)
    inner = "".join(
        param(Column(name, kind, unit, ucd, "", utype), value) for name, kind, unit, ucd, utype, value in params
    )
    return f'<GROUP name="photcal_{code}" utype="photDM:PhotCal">\n{inner}{refs}</GROUP>\n'


async def light_curve(request: Request, service: Service, params: Parameters) -> Response:
    """Answer with the light curve of a position."""
    form = find_format(params.one("RESPONSEFORMAT") or params.one("FORMAT"))
    target, options = _target(params), _options(params, service)
    most = min(params.integer("MAXREC", service.limits.max_rows_sync) or 0, service.limits.max_rows_sync)

    def answer() -> bytes:
        frame = without_folders(service.archive.light_curve(*target, **options).to_pandas())
        hint = "" if len(frame) else service.archive.hint(*target)
        columns, rows = as_columns(frame)
        filters = [code for code in FILTER_IDS if code in set(frame["filtercode"])]
        infos = [("hint", hint)] if hint else []
        writer = (
            TimeSeriesWriter(columns, target, filters, binary=form.name == "binary2", infos=infos)
            if form.name in ("votable", "binary2")
            else make_writer(form, columns)
        )
        return whole(writer, rows[:most], len(rows) > most)

    return Response(await service.workers.run(request, answer), media_type=form.content_type)


def _target(params: Parameters) -> tuple[float, float, float]:
    """Return position (deg) and radius (arcsec) from ``POS``, or from ``RA``, ``DEC`` and ``RADIUS``."""
    found = shapes(params, ("POS", "CIRCLE"))
    if found:
        shape = found[0]
        if len(found) > 1 or not isinstance(shape, SkyCircle):
            raise ServiceError("expected one position: POS=CIRCLE ra dec radius, in degrees")
        return shape.ra, shape.dec, shape.radius * 3600.0
    ra, dec = params.number("RA", low=-360.0, high=720.0), params.number("DEC", low=-90.0, high=90.0)
    if ra is None or dec is None:
        raise ServiceError("no position: expected POS=CIRCLE ra dec radius, in degrees, or RA, DEC and RADIUS (arcsec)")
    return ra % 360.0, dec, params.number("RADIUS", 1.5, low=0.0, high=600.0) or 0.0


def _options(params: Parameters, service: Service) -> dict[str, Any]:
    """Return the given options of `archive.light_curve`."""
    options: dict[str, Any] = {"phot": params.choice("PHOT", ("aperture", "psfcat", "both"), "aperture")}
    for name in ("COMPLETE", "GOOD", "ALL_VERSIONS", "BJD"):
        if WORDS[params.choice(name, WORDS, "0")]:
            options[name.lower()] = True
    filters = [
        one for name in ("FILTERS", "FILTER") for value in params.all(name) for one in value.replace(",", " ").split()
    ]
    if filters:
        options["filters"] = filters
    if fields := [one for value in params.all("FIELDS") for one in value.replace(",", " ").split()]:
        if not all(one.isdecimal() and len(one) < 10 for one in fields):
            raise ServiceError("FIELDS is numbers of ZTF's fields")
        options["fields"] = [int(one) for one in fields]
    if aperture := params.integer("APERTURE", low=1, high=6):
        options["aperture"] = aperture
    for name in ("COLOR", "PMRA", "PMDEC", "EPOCH"):
        if (value := params.number(name)) is not None:
            options[name.lower()] = value
    for name in ("CALIBRATION", "MEASURE"):
        if (word := params.one(name)) is not None:
            options[name.lower()] = word
    if len(times := intervals(params, "TIME", scalar=False)) > 1:
        raise ServiceError(f"{len(times)} intervals of TIME, expected one")
    for first, last in times:
        options["mjd"] = tuple(end if math.isfinite(end) else None for end in (first, last))
    if "complete" in options:
        options |= {"keep": False, "places": dict(service.places)}
    return options


def as_columns(frame: pd.DataFrame) -> tuple[list[Column], list[tuple[Any, ...]]]:
    """Return the columns and rows of a light curve for a writer; missing values are None, truth values 0 or 1."""
    columns, values = [], []
    for name in map(str, frame.columns):
        series = frame[name]
        known = describe_column(name, "light_curve")
        unit, ucd, words = (known.vounit, known.ucd, known.description) if known is not None else ("", "", "")
        columns.append(Column(name, _datatype(series), unit, ucd, words))
        held = series.astype("Int16") if pd.api.types.is_bool_dtype(series.dtype) else series
        values.append([None if gone else value for gone, value in zip(held.isna(), held.tolist(), strict=True)])
    return columns, list(zip(*values, strict=True))


def _datatype(series: pd.Series[Any]) -> str:
    kinds = pd.api.types
    if kinds.is_bool_dtype(series.dtype):
        return "short"
    if kinds.is_integer_dtype(series.dtype):
        return "long"
    if kinds.is_float_dtype(series.dtype):
        return "float" if series.dtype == "float32" else "double"
    return "unicodeChar"


def routes() -> list[BaseRoute]:
    """Return the routes of this protocol."""
    return [route("/lightcurve", light_curve, as_votable)]
