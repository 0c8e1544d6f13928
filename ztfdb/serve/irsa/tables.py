"""Tables in the formats of IRSA's services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import pandas as pd
from starlette.responses import Response

from ztfdb.adql.tables import Column
from ztfdb.schema import describe_column
from ztfdb.serve.params import Parameters
from ztfdb.serve.tap.formats import find_format, make_writer, whole

Rows = Sequence[Sequence[Any]]

MEDIA = {
    "votable": "application/x-votable+xml",
    "ipac_table": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
_WIDE = {"oid", "expid", "filefracday"}
_IPAC_TYPES = {"short": "int", "int": "int", "long": "long", "float": "float", "double": "double"}


def format_of(params: Parameters, name: str, default: str) -> str:
    """Return the format given by a parameter, in upper or lower case.

    Raises
    ------
    ServiceError
        If it is not in `MEDIA`.
    """
    return params.choice(name, MEDIA, default)


def columns_of(frame: pd.DataFrame, answer: str) -> list[Column]:
    """Return the columns of a DataFrame with units, UCDs and descriptions; `answer` as in `describe_column`."""
    return [_column(str(name), frame[name].dtype, answer) for name in frame.columns]


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the rows of a DataFrame; NaN and <NA> are None."""
    values = [frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame.columns]
    return list(zip(*values, strict=True))


def answer(form: str, columns: Sequence[Column], rows: Rows) -> Response:
    """Return a response with a table in one of the formats of `MEDIA`."""
    if form in _OWN:
        return Response(_OWN[form](columns, rows), media_type=MEDIA[form])
    writer = make_writer(find_format(form), columns)
    return Response(whole(writer, rows), media_type=MEDIA[form])


def _column(name: str, dtype: Any, answer: str) -> Column:
    described = describe_column(name, answer)
    words = ("", "", "") if described is None else (described.vounit, described.ucd, described.description)
    if pd.api.types.is_float_dtype(dtype):
        return Column(name, "double", *words)
    if pd.api.types.is_integer_dtype(dtype):
        return Column(name, "long" if name in _WIDE else "int", *words)
    return Column(name, "char", *words)


def _ipac(columns: Sequence[Column], rows: Rows) -> str:
    """Return an IPAC table with fixed-width columns; values never overlap the bars."""
    heads = [(one.name, _IPAC_TYPES.get(one.datatype, "char"), one.unit, "null") for one in columns]
    cells = [["null" if v is None else _plain(v) for v in row] for row in rows]
    width = [max(map(len, [*head, *(row[at] for row in cells)])) for at, head in enumerate(heads)]
    lines = [f"\\fixlen = T\n\\RowsRetrieved = {len(rows)}\n"]
    for level in range(4):
        lines.append("|" + "|".join(f"{head[level]:>{w}}" for head, w in zip(heads, width, strict=True)) + "|\n")
    lines += [" " + " ".join(f"{cell:>{w}}" for cell, w in zip(row, width, strict=True)) + " \n" for row in cells]
    return "".join(lines)


def _html(columns: Sequence[Column], rows: Rows) -> str:
    head = "".join(f"<th>{escape(one.name)}</th>" for one in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(_plain(v))}</td>' for v in row)}</tr>\n" for row in rows)
    return f'<!DOCTYPE html>\n<html lang="en"><title>ztfdb</title>\n<table>\n<tr>{head}</tr>\n{body}</table></html>\n'


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


_OWN: dict[str, Callable[[Sequence[Column], Rows], str]] = {"ipac_table": _ipac, "html": _html}
