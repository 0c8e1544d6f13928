"""Self-description of the TAP service: capabilities, tables."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ztfdb.adql import obscore, obsplan
from ztfdb.adql.tables import Column, Table
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import Parameters, shown
from ztfdb.serve.service import Service, base_url
from ztfdb.serve.tap.formats import FORMATS
from ztfdb.serve.tap.schema import is_indexed, is_principal, is_standard, keys_of, ordered, schemas, shown_name
from ztfdb.serve.vosi import HEAD, STD, XML, capability, document
from ztfdb.serve.votable import attribute, text

GEOMETRY = ("POINT", "CIRCLE", "BOX", "POLYGON", "CONTAINS", "INTERSECTS", "DISTANCE", "COORD1", "COORD2", "AREA")
_FEATURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("features-adqlgeo", GEOMETRY),
    ("features-adql-string", ("LOWER", "UPPER", "ILIKE")),
    ("features-adql-common-table", ("WITH",)),
    ("features-adql-sets", ("UNION", "EXCEPT", "INTERSECT")),
    ("features-adql-offset", ("OFFSET",)),
    ("features-adql-type", ("CAST",)),
)
"""Declared features; each is tested. Not COALESCE: taplint does not know ``features-adql-conditional``."""


async def capabilities(request: Request, service: Service, params: Parameters) -> Response:
    """Answer VOSI's capabilities."""
    base = f"{base_url(request)}/tap"
    return document(
        base,
        capability(f"{STD}/VOSI#tables", f"{base}/tables", "1.1"),
        _tap(base, service.limits),
        f'<capability standardID="{STD}/DALI#examples"><interface xsi:type="vr:WebBrowser">'
        f'<accessURL use="full">{text(base)}/examples</accessURL></interface></capability>\n',
    )


def _tap(base: str, limits: Limits) -> str:
    features = "".join(
        f'<languageFeatures type="{STD}/TAPRegExt#{kind}">'
        + "".join(f"<feature><form>{word}</form></feature>" for word in words)
        + "</languageFeatures>\n"
        for kind, words in _FEATURES
    )
    formats = "".join(
        f"<outputFormat><mime>{text(one.content_type)}</mime>"
        + "".join(f"<alias>{text(word)}</alias>" for word in one.words if "/" not in word)
        + "</outputFormat>\n"
        for one in FORMATS
    )
    return (
        f'<capability standardID="{STD}/TAP" xsi:type="tr:TableAccess">\n'
        f'<interface xsi:type="vs:ParamHTTP" role="std" version="1.1"><accessURL use="base">{text(base)}</accessURL>'
        "</interface>\n"
        f'<dataModel ivo-id="{obscore.MODEL}">ObsCore-1.1</dataModel>\n'
        f'<dataModel ivo-id="{obsplan.MODEL}">ObsLocTAP-1.0</dataModel>\n'
        '<language><name>ADQL</name><version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version>'
        '<version ivo-id="ivo://ivoa.net/std/ADQL#v2.1">2.1</version>'
        f"<description>ADQL 2.0 and 2.1</description>\n{features}</language>\n{formats}"
        f'<uploadMethod ivo-id="{STD}/TAPRegExt#upload-inline"/>\n'
        f'<uploadMethod ivo-id="{STD}/TAPRegExt#upload-http"/>\n'
        f"<retentionPeriod><default>{_seconds(limits.job_days)}</default><hard>{_seconds(limits.max_job_days)}</hard>"
        "</retentionPeriod>\n"
        f"<executionDuration><default>{limits.async_s:.0f}</default><hard>{limits.async_s:.0f}</hard>"
        "</executionDuration>\n"
        f'<outputLimit><default unit="row">{limits.max_rows}</default>'
        f'<hard unit="row">{limits.max_rows_async}</hard></outputLimit>\n'
        f'<uploadLimit><hard unit="row">{limits.upload_rows}</hard></uploadLimit>\n</capability>\n'
    )


def _seconds(days: float) -> str:
    return f"{days * 86400:.0f}"


async def tables(request: Request, service: Service, params: Parameters) -> Response:
    """Answer VOSI's tables; ``DETAIL=min`` omits the columns."""
    name = request.path_params.get("name")
    namespaces = (
        'xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    )
    if name is not None:
        found = next((table for table in ordered() if table.full_name == name), None)
        if found is None:
            raise ServiceError(f"there is no table {shown(name)}", 404)
        return Response(f"{HEAD}<vosi:table {namespaces}>{_table(found, True)}</vosi:table>\n", media_type=XML)
    detail = params.choice("DETAIL", ("min", "max"), "max") == "max"
    parts = [HEAD, f"<vosi:tableset {namespaces}>\n"]
    for schema, description in schemas().items():
        parts.append(f"<schema><name>{schema}</name><description>{text(description)}</description>\n")
        parts += [f"<table type=\"{one.kind.replace('table', 'base_table')}\">{_table(one, detail)}</table>\n"
                  for one in ordered() if one.schema == schema]  # fmt: skip
        parts.append("</schema>\n")
    return Response("".join([*parts, "</vosi:tableset>\n"]), media_type=XML)


def _table(table: Table, detail: bool) -> str:
    utype = f"<utype>{text(table.utype)}</utype>" if table.utype else ""
    head = f"<name>{table.full_name}</name><description>{text(table.description)}</description>{utype}\n"
    if not detail:
        return head
    keys = "".join(
        f"<foreignKey><targetTable>{target}</targetTable><fkColumn><fromColumn>{own}</fromColumn>"
        f"<targetColumn>{other}</targetColumn></fkColumn></foreignKey>\n"
        for target, own, other in keys_of(table)
    )
    return head + "".join(_column(table, column) for column in table.columns) + keys


def _column(table: Table, column: Column) -> str:
    told = column.published
    flags = "".join(
        f"<flag>{word}</flag>"
        for word, held in (("indexed", is_indexed(table, column)), ("principal", is_principal(table, column)))
        if held
    )
    std = ' std="true"' if is_standard(table, column) else ""
    size = f" arraysize={attribute(told.arraysize)}" if told.arraysize else ""
    size += f" extendedType={attribute(told.xtype)}" if told.xtype else ""
    words = (("description", told.description), ("unit", told.unit), ("ucd", told.ucd), ("utype", told.utype))
    inner = "".join(f"<{tag}>{text(word)}</{tag}>" for tag, word in words if word)
    return (
        f"<column{std}><name>{text(shown_name(column))}</name>{inner}"
        f'<dataType xsi:type="vs:VOTableType"{size}>{told.datatype}</dataType>{flags}</column>\n'
    )
