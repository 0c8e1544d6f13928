"""The tables of ``/ibe/search/ztf/products``: images with IRSA's columns, for the ADQL translator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

from sqlglot import exp

from ztfdb.adql.relations import POSTGRESQL, Cells, Parameters
from ztfdb.adql.tables import Column, Table
from ztfdb.serve.irsa.headers import card_number, obsdate, wcs_number

ARCSEC_PER_PIXEL = 1.012
"""ZTF's PIXSCALE: header SEEING is in pixels, IRSA's in arcsec."""

_CORNERS = tuple(f"{name}{k}" for k in range(1, 5) for name in ("ra", "dec"))
_SEEING = f"coalesce(i.seeing, cast(i.seeing_pix as double precision) * cast({ARCSEC_PER_PIXEL} as double precision))"

Expression = str | Callable[[str], str]
"""SQL of a column from ``image`` as ``i``; or a function of the engine that returns it, from ``image_header`` as
``h``."""

Fields = tuple[tuple[str, Expression, str, str, str, str], ...]

_WCS: Fields = tuple(
    (name, partial(wcs_number, name), "double", unit, ucd, words)
    for name, unit, ucd, words in (
        ("crpix1", "pix", "pos.wcs.crpix", "Reference pixel of axis 1, from 1, of the file that is held."),
        ("crpix2", "pix", "pos.wcs.crpix", "Reference pixel of axis 2, from 1, of the file that is held."),
        ("crval1", "deg", "pos.wcs.crval", "Right ascension at the reference pixel, ICRS."),
        ("crval2", "deg", "pos.wcs.crval", "Declination at the reference pixel, ICRS."),
        ("cd11", "deg.pix-1", "pos.wcs.cdmatrix", "CD1_1. The distortion of the header (PV) is in the file alone."),
        ("cd12", "deg.pix-1", "pos.wcs.cdmatrix", "CD1_2."),
        ("cd21", "deg.pix-1", "pos.wcs.cdmatrix", "CD2_1."),
        ("cd22", "deg.pix-1", "pos.wcs.cdmatrix", "CD2_2."),
    )
)

_BOTH_FIRST: Fields = (
    ("ra", "i.ra", "double", "deg", "pos.eq.ra;meta.main", "Right ascension of the image's centre, ICRS."),
    ("dec", "i.dec", "double", "deg", "pos.eq.dec;meta.main", "Declination of the image's centre, ICRS."),
    ("infobits", "i.infobits", "long", "", "meta.code.qual", "ZTF's bits of the image's quality."),
    ("field", "i.field", "int", "", "meta.id;obs.field", "ZTF field."),
    ("ccdid", "i.ccdid", "short", "", "meta.id;instr.det", "CCD, 1 to 16."),
    ("qid", "i.qid", "short", "", "meta.id;instr.det", "Quadrant of the CCD, 1 to 4."),
    ("rcid", "i.rcid", "short", "", "meta.id;instr.det", "Readout channel, 0 to 63."),
    ("fid", "i.fid", "short", "", "meta.id;instr.filter", "Filter: 1 g, 2 r, 3 i."),
    ("filtercode", "i.filtercode", "unicodeChar", "", "meta.id;instr.filter", "Filter: zg, zr or zi."),
)
_BOTH_LAST: Fields = (
    ("maglimit", "coalesce(i.maglimit, i.maglim)", "double", "mag", "phot.mag;stat.max", "5-sigma limiting magnitude."),
    *_WCS,
    *((name, f"i.{name}", "double", "deg", f"pos.eq.{name[:-1]}", "Corner of the image, ICRS.") for name in _CORNERS),
    ("ipac_gid", "i.programid", "short", "", "meta.id", "Programme: 1 public, 2 partnership, 3 Caltech."),
    ("image_id", "i.image_id", "long", "", "meta.id;meta.main", "Image of this archive."),
    ("maglimit_source", "case when i.maglimit is not null then 'irsa' when i.maglim is not null then 'header' end",
     "unicodeChar", "", "meta.code", "Where maglimit is from: irsa (imported metadata) or header."),
)  # fmt: skip
_SCI: Fields = (
    *_BOTH_FIRST,
    ("pid", "i.pid", "long", "", "meta.id", "Processed image."),
    ("nid", "i.expid / 100000", "int", "", "meta.id", "Night: days since 2017-01-01."),
    ("expid", "i.expid", "long", "", "meta.id;obs.exposure", "Exposure."),
    ("itid", "1", "int", "", "meta.id", "Kind of exposure: 1, object."),
    ("imgtype", "'object'", "unicodeChar", "", "meta.code", "Kind of exposure."),
    ("imgtypecode", "'o'", "unicodeChar", "", "meta.code", "Kind of exposure, as in file names."),
    ("obsdate", obsdate, "unicodeChar", "", "time.start;obs.exposure",
     "Start of the exposure (UTC): half a second before the header's SHUTOPEN."),
    ("obsjd", "i.obsmjd + cast(2400000.5 as double precision)", "double", "d", "time.start;obs.exposure",
     "Start of the exposure, JD (UTC)."),
    ("exptime", "i.exptime", "double", "s", "time.duration;obs.exposure", "Exposure time."),
    ("filefracday", "i.filefracday", "long", "", "time.start", "Start as in file names: YYYYMMDD and the day's share."),
    ("seeing", _SEEING, "double", "arcsec", "instr.obsty.seeing", "FWHM of stars."),
    ("airmass", "i.airmass", "double", "", "obs.airMass", "Airmass."),
    ("moonillf", partial(card_number, "MOONILLF"), "double", "", "obs.param",
     "Illuminated fraction of the Moon, as the header has it: negative while it wanes."),
    ("moonesb", partial(card_number, "MOONESB"), "double", "", "obs.param", "Excess in sky brightness by the Moon."),
    ("seeing_source", "case when i.seeing is not null then 'irsa' when i.seeing_pix is not null then 'header' end",
     "unicodeChar", "", "meta.code", "Where seeing is from: irsa (imported metadata) or header."),
    *_BOTH_LAST,
)  # fmt: skip
_REF: Fields = (
    *_BOTH_FIRST,
    ("nframes", "i.nframes", "int", "", "meta.number", "Exposures that the reference is made of."),
    *_BOTH_LAST,
)

KINDS = {"sci": _SCI, "ref": _REF}

_HEADERS = (
    " left join image_header as h on h.image_id = i.image_id and h.role = case i.kind when 'ref' then 'ref' "
    "else 'sci' end"
)
"""Join of the header of the image's own file, only for columns that need it."""


def table_of(kind: str, image_id: Sequence[int] | None = None) -> Table:
    """Return the table of science images or of references, optionally restricted to some images."""
    fields = KINDS[kind]
    columns = tuple(Column(name, datatype, unit, ucd, words) for name, _, datatype, unit, ucd, words in fields)

    def relation(parameters: Parameters, wanted: list[str], cells: Cells) -> exp.Expr:
        shown = [one for one in fields if one[0] in wanted] or list(fields[:1])
        engine = parameters.engine
        names = ", ".join(f'{_sql(expression, engine)} as "{name}"' for name, expression, *_ in shown)
        headers = any(callable(expression) for _, expression, *_ in shown)
        where = "i.kind = 'ref'" if kind == "ref" else "i.kind <> 'ref'"
        if image_id is not None:
            place = parameters.add(json.dumps([int(one) for one in image_id]))
            where += f" and i.image_id in ({_listed(place, engine)})"
        return exp.Var(this=f"select {names} from image as i{_HEADERS if headers else ''} where {where}")

    return Table("ibe", kind, f"Images of the kind {kind}.", columns, relation=relation)


def _sql(expression: Expression, engine: str) -> str:
    return expression(engine) if callable(expression) else expression


def _listed(place: str, engine: str) -> str:
    if engine == POSTGRESQL:
        return f"select cast(_j.value as bigint) from jsonb_array_elements_text({place}::jsonb) as _j(value)"
    return f"select _j.value from json_each({place}) as _j"
