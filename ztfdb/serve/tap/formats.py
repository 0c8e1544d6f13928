"""The formats of a result: their names, content types and writers."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ztfdb.adql.tables import Column
from ztfdb.errors import MissingExtraError
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.links import descriptors
from ztfdb.serve.params import shown
from ztfdb.serve.tap.fits_table import FitsWriter
from ztfdb.serve.votable import BINARY2_TYPE, CONTENT_TYPE, VotableWriter
from ztfdb.texts import CsvLines

ROW_GROUP = 50_000
"""Rows of a group of a Parquet file: so many are in memory."""


class Writer(Protocol):
    """Writes a table in batches of rows."""

    def head(self) -> bytes:
        """Return what stands before the rows."""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return some rows."""

    def tail(self, overflow: bool = False, error: str | None = None) -> Iterable[bytes]:
        """Return what stands after the rows, in pieces."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    name : str
    content_type : str
    words : tuple of str
        Values of FORMAT or RESPONSEFORMAT, in lower case.
    """

    name: str
    content_type: str
    words: tuple[str, ...]


FORMATS = (
    Format("votable", CONTENT_TYPE, ("votable", "votable/td", "application/x-votable+xml", "text/xml",
                                     "application/x-votable+xml;serialization=tabledata")),
    Format("binary2", BINARY2_TYPE, ("votable/b2", "application/x-votable+xml;serialization=binary2")),
    Format("csv", "text/csv;header=present", ("csv", "text/csv", "text/csv;header=present")),
    Format("tsv", "text/tab-separated-values", ("tsv", "text/tab-separated-values")),
    Format("json", "application/json", ("json", "application/json")),
    Format("parquet", "application/vnd.apache.parquet", ("parquet", "application/vnd.apache.parquet")),
    Format("fits", "application/fits", ("fits", "application/fits")),
)  # fmt: skip


def find_format(word: str | None) -> Format:
    """Return the requested format, VOTable by default.

    Raises
    ------
    ServiceError
        If it does not exist; the message lists all formats.
    """
    wanted = (word or "votable").lower().replace(" ", "")
    for one in FORMATS:
        if wanted in one.words:
            return one
    names = ", ".join(one.words[0] for one in FORMATS)
    raise ServiceError(f"FORMAT is {shown(word or '')}, expected one of {names}")


def make_writer(form: Format, columns: Sequence[Column], base: str = "", extra: str = "") -> Writer:
    """Return the writer of a format.

    In a VOTable, identifiers of images refer to the service at `base`, and `extra` follows the table.
    """
    if form.name in ("votable", "binary2"):
        at, key, links = descriptors(columns, base) or (-1, "", "")
        return VotableWriter(columns, binary=form.name == "binary2", links=(at, links + extra), key=key)
    made: Writer = _WRITERS[form.name](columns)
    return made


def whole(writer: Writer, rows: Sequence[Sequence[Any]], overflow: bool = False) -> bytes:
    """Return a table that is in memory."""
    return b"".join((writer.head(), writer.rows(rows), *writer.tail(overflow)))


class TextWriter:
    """Comma- or tab-separated values under a line of names; NULL is an empty field."""

    separator = ","

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """Return the line of names."""
        return self._lines([[column.name for column in self._columns]])

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return some rows."""
        single = [at for at, column in enumerate(self._columns) if column.datatype == "float"]
        if single:
            rows = [list(row) for row in rows]
            for row in rows:
                for at in single:
                    row[at] = None if row[at] is None else f"{row[at]:.9g}"  # type: ignore[index]
        return self._lines(rows)

    def tail(self, overflow: bool = False, error: str | None = None) -> tuple[bytes, ...]:
        """Return nothing; after an error the answer just ends."""
        if error is not None:
            raise ServiceError(error)
        return ()

    def _lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        stream = io.StringIO()
        csv.writer(CsvLines(stream), delimiter=self.separator).writerows(rows)
        return stream.getvalue().encode()


class TabWriter(TextWriter):
    """Tab-separated values; tabs and line ends within text become blanks."""

    separator = "\t"

    def _lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        lines = ("\t".join("" if v is None else " ".join(str(v).split()) for v in row) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()


class JsonWriter:
    """``{"metadata": [columns], "data": [[row], …], "overflow": false}``; whole numbers of 64 bits are text."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._before = ""

    def head(self) -> bytes:
        """Return the columns."""
        keys = ("name", "datatype", "unit", "ucd", "description")
        columns = [{key: getattr(column, key) for key in keys} for column in self._columns]
        return f'{{"metadata": {json.dumps(columns)}, "data": ['.encode()

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return some rows."""
        long = [column.datatype == "long" for column in self._columns]
        lines = []
        for row in rows:
            cells = (_json_cell(value, wide) for value, wide in zip(row, long, strict=True))
            lines.append(f"{self._before}\n[{', '.join(cells)}]")
            self._before = ","
        return "".join(lines).encode()

    def tail(self, overflow: bool = False, error: str | None = None) -> tuple[bytes, ...]:
        """Return the end."""
        told = f', "error": {json.dumps(error)}' if error is not None else ""
        return (f'\n], "overflow": {json.dumps(overflow)}{told}}}\n'.encode(),)


def _json_cell(value: Any, wide: bool) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "null"
    if wide:
        return f'"{value}"'
    return json.dumps(value)


class ParquetWriter:
    """Parquet; a column's metadata holds its unit, UCD and description, the table's whether it was truncated."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._waiting: list[Sequence[Any]] = []

    def head(self) -> bytes:
        """Return the first bytes."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as exc:
            raise MissingExtraError("Parquet", "parquet") from exc
        kinds = {
            "short": pa.int16(),
            "int": pa.int32(),
            "long": pa.int64(),
            "float": pa.float32(),
            "double": pa.float64(),
        }
        fields = []
        for column in self._columns:
            words = {key: getattr(column, key) for key in ("unit", "ucd", "description") if getattr(column, key)}
            fields.append(pa.field(column.name, kinds.get(column.datatype, pa.string()), metadata=words))
        self._schema, self._sink = pa.schema(fields), _Sink()
        self._file = pq.ParquetWriter(self._sink, self._schema, store_schema=False)  # it is stored at the end
        return self._sink.take()

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return a group of rows, if there are enough for one."""
        self._waiting.extend(rows)
        return self._group() if len(self._waiting) >= ROW_GROUP else b""

    def tail(self, overflow: bool = False, error: str | None = None) -> tuple[bytes, ...]:
        """Return the last group and the facts of the table."""
        if error is not None:
            raise ServiceError(error)
        group = self._group() if self._waiting else b""
        words = {"overflow": json.dumps(overflow)}
        schema = base64.b64encode(self._schema.with_metadata(words).serialize().to_pybytes())
        self._file.add_key_value_metadata({"ARROW:schema": schema, **words})
        self._file.close()
        return (group, self._sink.take())

    def _group(self) -> bytes:
        import pyarrow as pa

        values = zip(*self._waiting, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(values, self._schema, strict=True)]
        self._waiting = []
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return self._sink.take()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._n = 0

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def write(self, piece: Any) -> int:
        """Keep some bytes."""
        self._pieces.append(bytes(piece))
        self._n += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._n

    def take(self) -> bytes:
        """Return what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


_WRITERS: dict[str, Any] = {
    "csv": TextWriter,
    "tsv": TabWriter,
    "json": JsonWriter,
    "parquet": ParquetWriter,
    "fits": FitsWriter,
}
