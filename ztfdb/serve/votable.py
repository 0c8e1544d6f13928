"""Streaming VOTable writer: text (TABLEDATA) or bytes (BINARY2)."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from starlette.requests import Request
from starlette.responses import Response

from ztfdb import __version__
from ztfdb.adql.tables import Column
from ztfdb.serve.errors import Told

CONTENT_TYPE = "application/x-votable+xml"
BINARY2_TYPE = "application/x-votable+xml;serialization=binary2"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    '<RESOURCE type="results">\n'
)
_ILLEGAL = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 65534, 65535], "�")
"""Characters that are not allowed in XML."""

_PACKED = {"short": ">h", "int": ">i", "long": ">q", "float": ">f", "double": ">d"}


def text(value: str) -> str:
    """Return a text as XML content."""
    return escape(value.translate(_ILLEGAL))


def attribute(value: str) -> str:
    """Return a text as the value of an XML attribute, with its quotes."""
    return quoteattr(value.translate(_ILLEGAL))


def info(name: str, value: str, content: str = "") -> str:
    """Return an INFO element."""
    head = f"<INFO name={attribute(name)} value={attribute(value)}"
    return f"{head}>{text(content)}</INFO>\n" if content else f"{head}/>\n"


def param(column: Column, value: str, *, ref: str = "", size: str = "") -> str:
    """Return a PARAM, optionally with a reference to the column of an XML ID, or with several numbers."""
    made = field(column, "PARAM", value)
    more = f" ref={attribute(ref)}" if ref else ""
    more += f" arraysize={attribute(size)}" if size else ""
    return made.replace("<PARAM ", f"<PARAM{more} ", 1)


def field(column: Column, element: str = "FIELD", value: str | None = None, *, key: str = "") -> str:
    """Return the FIELD, or PARAM, of a column; `key` is its XML ID."""
    size = ' arraysize="*"' if column.arraysize else ""
    words = {
        "ID": key,
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "xtype": column.xtype,
        "value": value,
    }
    more = "".join(
        f" {key}={attribute(word)}" for key, word in words.items() if word or (key == "value" and word == "")
    )
    if column.ucd.startswith("pos.eq") and element == "FIELD":
        more += ' ref="ICRS"'
    inner = f"<DESCRIPTION>{text(column.description)}</DESCRIPTION>" if column.description else ""
    kind = attribute(column.datatype)
    return f"<{element} name={attribute(column.name)} datatype={kind}{size}{more}>{inner}</{element}>\n"


class VotableWriter:
    """Writes a result table in batches of rows.

    Parameters
    ----------
    columns : sequence of Column
    binary : bool
        BINARY2 in place of TABLEDATA.
    infos : iterable of (str, str)
        INFO elements before the table.
    links : (int, str), optional
        Index of the column that service descriptors refer to, and the descriptors: see `ztfdb.serve.links`.
    key : str
        XML ID of that column.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        binary: bool = False,
        infos: Iterable[tuple[str, str]] = (),
        links: tuple[int, str] | None = None,
        key: str = "",
    ) -> None:
        self._columns = columns
        self._binary = binary
        self._infos = list(infos)
        self._key = key
        self._keyed, self._links = links if links is not None else (-1, "")
        self._rest = b""
        self._cells = [_cell(column) for column in columns]
        self._packers = [_packer(column) for column in columns]

    def head(self) -> bytes:
        """Return what stands before the rows."""
        infos = [info("QUERY_STATUS", "OK"), *(info(*one) for one in self._infos)]
        data = '<DATA><BINARY2><STREAM encoding="base64">\n' if self._binary else "<DATA><TABLEDATA>\n"
        return "".join([_HEAD, *infos, self.systems(), "<TABLE>\n", self.fields(), data]).encode()

    def systems(self) -> str:
        """Return the systems that columns refer to."""
        positions = any(column.ucd.startswith("pos.eq") for column in self._columns)
        return '<COOSYS ID="ICRS" system="ICRS"/>\n' if positions else ""

    def fields(self) -> str:
        """Return the columns."""
        keys = (self._key if at == self._keyed else "" for at in range(len(self._columns)))
        return "".join(field(column, key=key) for column, key in zip(self._columns, keys, strict=True))

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return some rows."""
        if not rows:
            return b""
        if self._binary:
            return self._base64(b"".join(map(self._packed, rows)))
        columns = [
            [cell(value) for value in values] for cell, values in zip(self._cells, zip(*rows, strict=True), strict=True)
        ]
        return "".join(f"<TR>{''.join(cells)}</TR>\n" for cells in zip(*columns, strict=True)).encode()

    def tail(self, overflow: bool = False, error: str | None = None) -> tuple[bytes, ...]:
        """Return the end of the document, with a status if rows are missing."""
        last = (
            base64.b64encode(self._rest).decode() + "\n</STREAM></BINARY2></DATA>\n"
            if self._binary
            else "</TABLEDATA></DATA>\n"
        )
        told = info("QUERY_STATUS", "OVERFLOW", "the answer was truncated at the limit of rows") if overflow else ""
        told = info("QUERY_STATUS", "ERROR", error) if error is not None else told
        return (f"{last}</TABLE>\n{told}</RESOURCE>\n{self._links}</VOTABLE>\n".encode(),)

    def _base64(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) // 3 * 3
        self._rest = data[whole:]
        return base64.b64encode(data[:whole])

    def _packed(self, row: Sequence[Any]) -> bytes:
        flags = bytearray((len(row) + 7) // 8)
        parts = []
        for at, (pack, value) in enumerate(zip(self._packers, row, strict=True)):
            if value is None:
                flags[at // 8] |= 0x80 >> at % 8
            parts.append(pack(value))
        return bytes(flags) + b"".join(parts)


def _cell(column: Column) -> Callable[[Any], str]:
    if column.datatype == "float":
        return lambda v: "<TD/>" if v is None else f"<TD>{v:.9g}</TD>" if math.isfinite(v) else _special(v)
    if column.datatype == "double":
        return lambda v: "<TD/>" if v is None else f"<TD>{v!r}</TD>" if math.isfinite(v) else _special(v)
    if column.arraysize:
        return lambda v: "<TD/>" if v is None else f"<TD>{text(str(v))}</TD>"
    return lambda v: "<TD/>" if v is None else f"<TD>{int(v)}</TD>"


def _special(value: float) -> str:
    return f"<TD>{'NaN' if math.isnan(value) else '+Inf' if value > 0 else '-Inf'}</TD>"


def _packer(column: Column) -> Callable[[Any], bytes]:
    if column.datatype in _PACKED:
        packed = struct.Struct(_PACKED[column.datatype])
        missing = math.nan if column.datatype in ("float", "double") else 0
        return lambda v: packed.pack(missing if v is None else v)
    if column.datatype == "char":
        return lambda v: _counted(str("" if v is None else v).encode("ascii", "replace"), 1)
    return lambda v: _counted(str("" if v is None else v).encode("utf-16-be"), 2)


def _counted(data: bytes, width: int) -> bytes:
    return struct.pack(">i", len(data) // width) + data


def error_document(message: str) -> bytes:
    """Return the error document of DALI."""
    return (
        f"{_HEAD}{info('QUERY_STATUS', 'ERROR', message)}{info('creator', f'ztfdb {__version__}')}"
        "</RESOURCE>\n</VOTABLE>\n"
    ).encode()


def as_votable(request: Request, told: Told) -> Response:
    """Render an error as DALI requires."""
    return Response(error_document(told.message), told.status, told.headers, CONTENT_TYPE)
