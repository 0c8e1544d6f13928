"""Tables uploaded with a statement: VOTables in the request, or results of jobs of this service."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from ztfdb.adql.relations import KEY
from ztfdb.adql.tables import Column
from ztfdb.adql.uploads import Upload
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import Parameters, shown
from ztfdb.store.statement import Rowset

DATATYPES = {
    "unsignedByte": "short", "short": "short", "int": "int", "long": "long", "float": "float", "double": "double",
    "boolean": "boolean", "bit": "boolean", "char": "char", "unicodeChar": "unicodeChar",
}  # fmt: skip
"""Datatypes that are taken, and the columns made of them. astropy writes booleans, as Gaia's flags, as ``bit``."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_COLUMN = re.compile(r"""[^\x00-\x1f"\x7f]{1,63}""")
"""Names of columns: ``_RAJ2000`` and ``B-V`` too, as VizieR has them, in 63 bytes, which is PostgreSQL's limit."""

_JOB = re.compile(r"https?://[^/]+(?:/[^/]+)*/tap/async/([0-9a-f]{32})/results/result")

Results = Callable[[str], bytes | None]
"""Returns the result of a job of this service by the job's id, None if there is none."""


def read_uploads(params: Parameters, limits: Limits, results: Results) -> list[Upload]:
    """Return the tables that ``UPLOAD`` names.

    URLs are never fetched: only addresses of results of this service are accepted, and their files are read.

    Raises
    ------
    ServiceError
        If a table is missing, not a VOTable, too large, or at another address.
    """
    wanted = [one for value in params.all("UPLOAD") for one in value.split(";") if one.strip()]
    if len(wanted) > limits.upload_files:
        raise ServiceError(f"{len(wanted)} uploads, at most {limits.upload_files} are taken", 413)
    found: dict[str, Upload] = {}
    for one in wanted:
        name, _, uri = (part.strip() for part in one.partition(","))
        if not _NAME.fullmatch(name) or name.lower() in found:
            raise ServiceError(f"UPLOAD names a table {shown(name)}, expected letters, digits and _, each name once")
        found[name.lower()] = _parsed(name.lower(), _content(uri, params, results), limits)
    return list(found.values())


def rowsets(uploads: tuple[Upload, ...]) -> list[Rowset]:
    """Return uploads as parameters of the database."""
    return [
        Rowset(one.name, {c.name: c.datatype for c in one.columns}, [one.values[c.name] for c in one.columns])
        for one in uploads
    ]


def _content(uri: str, params: Parameters, results: Results) -> bytes:
    if uri.startswith("param:"):
        content = params.files.get(uri.removeprefix("param:"))
        if content is None:
            raise ServiceError(f"UPLOAD names {shown(uri)}, but the request has no such file")
        return content
    job = _JOB.fullmatch(uri)
    if job is None:
        raise ServiceError(
            f"{shown(uri)} is not fetched: send the table in the request (param:), or name a job's result"
        )
    content = results(job[1])
    if content is None:
        raise ServiceError("the job that UPLOAD names has no result")
    return content


def _parsed(name: str, content: bytes, limits: Limits) -> Upload:
    from astropy.io.votable import parse

    try:
        found = parse(io.BytesIO(content), verify="ignore").get_first_table()
        table = found.to_table(use_names_over_ids=True)
    except Exception as exc:
        raise ServiceError(f"the upload {name} is not a readable VOTable") from exc
    if len(table) > limits.upload_rows:
        raise ServiceError(f"the upload {name} has {len(table):,} rows, at most {limits.upload_rows:,} are taken", 413)
    columns = tuple(_column(field, name) for field in found.fields)
    if len({column.name for column in columns}) != len(columns):
        raise ServiceError(f"two columns of the upload {name} differ in case alone")
    values = {column.name: _values(table[key]) for column, key in zip(columns, table.colnames, strict=True)}
    return Upload(name, columns, values, frozenset(field.name for field in found.fields))


def _column(field: Any, name: str) -> Column:
    text = field.datatype in ("char", "unicodeChar")
    if field.datatype not in DATATYPES or (not text and field.arraysize not in (None, "", "1")):
        raise ServiceError(
            f"column {shown(field.name)} of the upload {name} is neither a number nor text: leave it out"
        )
    if not _COLUMN.fullmatch(field.name) or len(field.name.encode()) > 63:
        raise ServiceError(
            f"the upload {name} has a column {shown(field.name)}, expected up to 63 bytes without quotes"
        )
    if field.name.lower() == KEY:
        raise ServiceError(f"the upload {name} has a column {KEY}, which is the number of the row here: rename it")
    return Column(
        field.name.lower(), DATATYPES[field.datatype], str(field.unit or ""), field.ucd or "", "", "", field.xtype or ""
    )


def _values(column: Any) -> list[Any]:
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in column.tolist()]
    mask = getattr(column, "mask", None)
    if mask is not None:
        values = [None if gone else value for value, gone in zip(values, mask.tolist(), strict=True)]
    return [None if isinstance(value, float) and value != value else value for value in values]
