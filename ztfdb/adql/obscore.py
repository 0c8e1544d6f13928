"""``ivoa.obscore``: the images as ObsCore 1.1, found by the cells that they touch.

The table is not a database view: its links contain the public address of the service, and its footprints need hidden
columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from ztfdb.adql.geometry import RADIAN
from ztfdb.adql.regions import CORNERS, N_CORNER, NORMALS
from ztfdb.adql.relations import DIALECTS, KEY, POSTGRESQL, Cells, Parameters, in_keyed_ranges, in_ranges
from ztfdb.adql.tables import Column, Table
from ztfdb.schema.formulas import exact
from ztfdb.sky.cells import HPX_ORDER
from ztfdb.sky.footprint import FOOTPRINT_ORDER
from ztfdb.sky.times import SECONDS_PER_DAY

SCHEMA = "ivoa"
NAME = "obscore"
MODEL = "ivo://ivoa.net/std/ObsCore#core-1.1"
PUBLISHER = "ivo://ztfdb/image?"
"""Prefix of the image's id in ``obs_publisher_did``."""

DATALINK_TYPE = "application/x-votable+xml;content=datalink"
COLLECTION, SIMULATED, FACILITY, INSTRUMENT = "ZTF", "ZTF simulated", "Palomar 48-inch", "ZTF"

BANDS = {1: (3.676e-7, 5.648e-7), 2: (5.4976e-7, 7.394e-7), 3: (6.868e-7, 9.022e-7)}
"""Limits of the filters' transmission by ``fid``, m."""

DEGREE = "57.29577951308232"
SHIFT = 2 * (HPX_ORDER - FOOTPRINT_ORDER)


def _column(name: str, kind: str, unit: str, ucd: str, utype: str, description: str, xtype: str = "") -> Column:
    return Column(name, kind, unit, ucd, description, f"obscore:{utype}" if utype else "", xtype)


COLUMNS = (
    _column("dataproduct_type", "char", "", "meta.code.class", "ObsDataset.dataProductType", "Kind of the data."),
    _column("dataproduct_subtype", "char", "", "meta.code.class", "ObsDataset.dataProductSubtype",
            "sci for a science image, ref for a reference."),
    _column("calib_level", "int", "", "meta.code;obs.calib", "ObsDataset.calibLevel",
            "2 for calibrated images, 3 for references, which are made of many."),
    _column("obs_collection", "char", "", "meta.id", "DataID.collection", "Name of the collection."),
    _column("obs_id", "char", "", "meta.id", "DataID.observationID",
            "ZTF's exposure; of a reference its image_id."),
    _column("obs_publisher_did", "char", "", "meta.ref.ivoid", "Curation.publisherDID", "Identifier of the image."),
    _column("obs_title", "char", "", "meta.title;obs", "DataID.title", "Filter, field, CCD and quadrant."),
    _column("access_url", "char", "", "meta.ref.url", "Access.reference", "Links to the image and its cutouts."),
    _column("access_format", "char", "", "meta.code.mime", "Access.format", "Content type of access_url."),
    _column("access_estsize", "long", "kbyte", "phys.size;meta.file", "Access.size", "Size of the image's file."),
    _column("target_name", "char", "", "meta.id;src", "Target.name", "ZTF's field."),
    _column("s_ra", "double", "deg", "pos.eq.ra", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1",
            "Right ascension of the centre, ICRS."),
    _column("s_dec", "double", "deg", "pos.eq.dec", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2",
            "Declination of the centre, ICRS."),
    _column("s_fov", "double", "deg", "phys.angSize;instr.fov", "Char.SpatialAxis.Coverage.Bounds.Extent.diameter",
            "Longer diagonal."),
    _column("s_region", "char", "", "pos.outline;obs.field", "Char.SpatialAxis.Coverage.Support.Area",
            "Outer corners of the image, joined by great circles, ICRS, deg.", "adql:REGION"),
    _column("s_resolution", "double", "arcsec", "pos.angResolution",
            "Char.SpatialAxis.Resolution.Refval.value", "Seeing, FWHM."),
    _column("s_xel1", "long", "", "meta.number", "Char.SpatialAxis.numBins1", "Columns of pixels."),
    _column("s_xel2", "long", "", "meta.number", "Char.SpatialAxis.numBins2", "Rows of pixels."),
    _column("s_pixel_scale", "double", "arcsec", "phys.angSize;instr.pixel",
            "Char.SpatialAxis.Sampling.RefVal.SamplingPeriod", "Width of a pixel."),
    _column("t_min", "double", "d", "time.start;obs.exposure",
            "Char.TimeAxis.Coverage.Bounds.Limits.StartTime", "Start of the exposure, MJD, UTC."),
    _column("t_max", "double", "d", "time.end;obs.exposure",
            "Char.TimeAxis.Coverage.Bounds.Limits.StopTime", "End of the exposure, MJD, UTC."),
    _column("t_exptime", "double", "s", "time.duration;obs.exposure", "Char.TimeAxis.Coverage.Support.Extent",
            "Exposure time."),
    _column("t_resolution", "double", "s", "time.resolution", "Char.TimeAxis.Resolution.Refval.value",
            "The exposure time."),
    _column("t_xel", "long", "", "meta.number", "Char.TimeAxis.numBins", "1: an image has one time."),
    _column("em_min", "double", "m", "em.wl;stat.min", "Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit",
            "Shortest wavelength that the filter lets through."),
    _column("em_max", "double", "m", "em.wl;stat.max", "Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit",
            "Longest wavelength that the filter lets through."),
    _column("em_res_power", "double", "", "spect.resolution", "Char.SpectralAxis.Resolution.ResolPower.refVal",
            "Middle of the filter over its width."),
    _column("em_xel", "long", "", "meta.number", "Char.SpectralAxis.numBins", "1: an image has one band."),
    _column("o_ucd", "char", "", "meta.ucd", "Char.ObservableAxis.ucd", "What the pixels are."),
    _column("pol_states", "char", "", "meta.code;phys.polarization", "Char.PolarizationAxis.stateList",
            "NULL: polarization is not measured."),
    _column("pol_xel", "long", "", "meta.number", "Char.PolarizationAxis.numBins", "0: no polarization."),
    _column("facility_name", "char", "", "meta.id;instr.tel", "Provenance.ObsConfig.Facility.name", "Telescope."),
    _column("instrument_name", "char", "", "meta.id;instr", "Provenance.ObsConfig.Instrument.name", "Camera."),
    _column("image_id", "long", "", "meta.id", "", "The archive's own id, as in ztf.image."),
)  # fmt: skip

OWN = {"image_id"}
"""Columns that are not in the standard."""

MANDATORY = {
    "dataproduct_type", "calib_level", "obs_collection", "obs_id", "obs_publisher_did", "access_url", "access_format",
    "access_estsize", "target_name", "s_ra", "s_dec", "s_fov", "s_region", "s_resolution", "t_min", "t_max",
    "t_exptime", "em_min", "em_max", "facility_name", "instrument_name",
}  # fmt: skip
"""Columns that most users need."""


@cache
def obscore_table() -> Table:
    """Return the table as statements may name it."""
    description = "Images of the archive, in the words of ObsCore 1.1."
    rows = partial(image_rows, View())
    return Table(
        SCHEMA, NAME, description, COLUMNS, "view", rows, MODEL, footprints=True, key="image_id", did=PUBLISHER
    )


@dataclass(frozen=True)
class View:
    """Images as ObsCore, optionally with further columns.

    Attributes
    ----------
    more : mapping of str to str
        SQL of further columns, from the table ``image`` as ``_i``.
    where : str
        SQL condition that selects images.
    """

    more: Mapping[str, str] = field(default_factory=dict)
    where: str = "1 = 1"


def image_rows(view: View, parameters: Parameters, wanted: list[str], cells: Cells) -> exp.Expr:
    """Return the rows that touch cells, with the requested columns, as trusted SQL text that is not parsed."""
    if set(wanted) & {name for names in NORMALS for name in names}:
        return exp.Var(this=_with_normals(view, parameters, wanted, cells))
    return exp.Var(this=_images(view, parameters, wanted or ["image_id"], cells))


def _with_normals(view: View, parameters: Parameters, wanted: list[str], cells: Cells) -> str:
    """Return SQL of the rows with the inward normals of the sides, for either orientation of the corners."""
    hidden = [name for names in CORNERS for name in names]
    normals = [name for names in NORMALS for name in names if name in wanted]
    plain = sorted({*wanted, *hidden} - set(normals))
    turn = (
        "case when _x3 * (_y1 * _z2 - _z1 * _y2) + _y3 * (_z1 * _x2 - _x1 * _z2) + _z3 * (_x1 * _y2 - _y1 * _x2) < 0 "
        "then -1.0 else 1.0 end"
    )
    shown = [f'"{name}"' for name in wanted if name in plain]
    for name in normals:
        a, b = {"u": ("y", "z"), "v": ("z", "x"), "w": ("x", "y")}[name[1]]
        k, after = int(name[2]), int(name[2]) % N_CORNER + 1
        shown.append(f"_turn * (_{a}{k} * _{b}{after} - _{b}{k} * _{a}{after}) as {name}")
    keys = [KEY] if _keyed(cells) else []
    inner = f"select _p.*, {turn} as _turn from ({_images(view, parameters, plain, cells)}) as _p"
    # the limit makes the engines compute each normal once per row, instead of inlining its formula everywhere
    fence = "offset 0" if parameters.engine == POSTGRESQL else "limit -1"
    return f"select {', '.join([*shown, *keys])} from ({inner}) as _o {fence}"


def _images(view: View, parameters: Parameters, wanted: list[str], cells: Cells) -> str:
    engine, dialect = parameters.engine, DIALECTS[parameters.engine]
    shown = ", ".join(f'{view.more.get(name) or _expression(name, parameters)} as "{name}"' for name in wanted)
    if cells is None:
        return f"select {shown} from image as _i where {view.where}"
    if _keyed(cells):
        touched = in_keyed_ranges("image_cell", "_c", ["image_id"], parameters, _coarse(cells), "cell9")
        pairs = f"select distinct _c.{KEY}, _c.image_id from {touched.sql(dialect)}"
        return (
            f"select {shown}, _d.{KEY} from ({pairs}) as _d cross join image as _i "
            f"where _i.image_id = _d.image_id and {view.where}"
        )
    touched = in_ranges("image_cell", "_c", ["image_id"], _coarse(cells), engine, "cell9")
    held = f"_i.image_id in (select _c.image_id from {touched.sql(dialect)})"
    return f"select {shown} from image as _i where {held} and {view.where}"


def _keyed(cells: Cells) -> bool:
    return cells is not None and len(cells) == 3


def _coarse(cells: tuple[NDArray[np.int64], ...]) -> tuple[NDArray[np.int64], ...]:
    """Return ranges of the coarser cells by which images are indexed, which contain ranges of order-29 cells."""
    *key, lo, hi = cells
    lo, hi = lo >> SHIFT, ((hi - 1) >> SHIFT) + 1
    if key:
        return (*key, lo, hi)
    reach = np.maximum.accumulate(hi)
    first = np.flatnonzero(np.append(True, lo[1:] > reach[:-1]))[: len(lo)]
    return lo[first], reach[np.append(first[1:], len(lo))[: len(first)] - 1]


def _expression(name: str, parameters: Parameters) -> str:
    """Return SQL of a column, from the table ``image`` as ``_i``."""
    if name.startswith("_"):
        return _corner(name)
    if name == "access_url":
        return f"{parameters.add(f'{parameters.base}/datalink/links?ID={PUBLISHER}')} || cast(_i.image_id as text)"
    if name == "s_region":
        digits = [_digits(f"_i.{axis}{k}", parameters.engine) for k in range(1, N_CORNER + 1) for axis in ("ra", "dec")]
        return "'POLYGON ICRS ' || " + " || ' ' || ".join(digits)
    return _EXPRESSIONS[name]


def _corner(name: str) -> str:
    axis, k = name[1], name[2]
    lon, lat = f"_i.ra{k} * {RADIAN}", f"_i.dec{k} * {RADIAN}"
    return {"x": f"cos({lat}) * cos({lon})", "y": f"cos({lat}) * sin({lon})", "z": f"sin({lat})"}[axis]


def _digits(value: str, engine: str) -> str:
    """Return SQL of an angle with 6 decimals, built from integers, which both engines format alike."""
    scaled = f"(abs({value}) * 1000000.0 + 0.5)"
    whole = f"cast(floor({scaled}) as bigint)" if engine == POSTGRESQL else f"cast({scaled} as integer)"
    behind = f"'000000' || cast(({whole} % 1000000) as text)"
    padded = f"right({behind}, 6)" if engine == POSTGRESQL else f"substr({behind}, -6)"
    return f"case when {value} < 0 then '-' else '' end || cast(({whole} / 1000000) as text) || '.' || {padded}"


def _separation(a: int, b: int) -> str:
    """Return SQL of the distance between two corners, deg."""
    chord = " + ".join(
        f"({_corner(f'_{axis}{a}')} - {_corner(f'_{axis}{b}')}) * ({_corner(f'_{axis}{a}')} - {_corner(f'_{axis}{b}')})"
        for axis in "xyz"
    )
    return f"2.0 * {DEGREE} * asin(0.5 * sqrt({chord}))"


def _of_filter(values: dict[int, float]) -> str:
    cases = (f"when {fid} then cast({value!r} as double precision)" for fid, value in values.items())
    return f"case _i.fid {' '.join(cases)} end"


_SCALE = f"({_separation(1, 2)}) * 3600.0 / _i.nx"
_TITLE = (
    "case when _i.kind = 'ref' then 'ZTF reference ' else 'ZTF ' end || _i.filtercode || ' field ' || "
    "cast(_i.field as text) || ' ccd ' || cast(_i.ccdid as text) || ' q' || cast(_i.qid as text) || "
    "coalesce(' ' || cast(_i.filefracday as text), '')"
)
_EXPRESSIONS = {
    "dataproduct_type": "'image'",
    "dataproduct_subtype": "_i.kind",
    "calib_level": "case when _i.kind = 'ref' then 3 else 2 end",
    "obs_collection": f"case when _i.simulated then '{SIMULATED}' else '{COLLECTION}' end",
    "obs_id": "cast(coalesce(_i.expid, _i.image_id) as text)",
    "obs_publisher_did": f"'{PUBLISHER}' || cast(_i.image_id as text)",
    "obs_title": _TITLE,
    "access_format": f"'{DATALINK_TYPE}'",
    "access_estsize": "(select max(_f.size) / 1024 from image_file as _f where _f.image_id = _i.image_id "
                      "and _f.role in ('sci', 'ref'))",
    "target_name": "'field ' || cast(_i.field as text)",
    "s_ra": "_i.ra",
    "s_dec": "_i.dec",
    "s_fov": f"case when {_separation(1, 3)} > {_separation(2, 4)} then {_separation(1, 3)} "
             f"else {_separation(2, 4)} end",
    "s_resolution": f"coalesce(_i.seeing, _i.seeing_pix * {_SCALE})",
    "s_xel1": "cast(_i.nx as bigint)",
    "s_xel2": "cast(_i.ny as bigint)",
    "s_pixel_scale": _SCALE,
    "t_min": "_i.obsmjd",
    "t_max": f"_i.obsmjd + _i.exptime / {exact(SECONDS_PER_DAY)}",
    "t_exptime": "_i.exptime",
    "t_resolution": "_i.exptime",
    "t_xel": "1",
    "em_min": _of_filter({fid: low for fid, (low, _) in BANDS.items()}),
    "em_max": _of_filter({fid: high for fid, (_, high) in BANDS.items()}),
    "em_res_power": _of_filter({fid: 0.5 * (low + high) / (high - low) for fid, (low, high) in BANDS.items()}),
    "em_xel": "1",
    "o_ucd": "'phot.count'",
    "pol_states": "cast(null as text)",
    "pol_xel": "0",
    "facility_name": f"'{FACILITY}'",
    "instrument_name": f"'{INSTRUMENT}'",
    "image_id": "_i.image_id",
}  # fmt: skip
