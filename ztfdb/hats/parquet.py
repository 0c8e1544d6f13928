"""Write Parquet for HATS readers: sorted, with small row groups, and with encodings for measured numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from inspect import signature

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ztfdb.hats.fields import HEALPIX_COLUMN
from ztfdb.hats.places import Place

LEVEL = 3
"""zstd level: level 15 would make rows 4 % smaller and double the time of the whole export."""

ROW_GROUP = 131_072
"""Rows of a row group, and of its only page: one byte of each row fills one zstd block, which has its own codes.

With pyarrow's limit of 20,000 rows per page, a detection takes 2 bytes more.
"""

EPOCHS_PER_ROW_GROUP = 1_000_000
PAGE = 1024 * 1024

_HAS_BOUND = "max_rows_per_page" in signature(pq.write_table).parameters
"""Whether pyarrow limits the rows of a page; older versions limit only its bytes."""

REPEATED = frozenset(("mjd", "hjd", "exptime", "limitmag"))
"""Doubles with few distinct values in a row group: a dictionary is smaller than split bytes."""

PLAIN = frozenset(("source_id", "object_id", "best_source_id", "first_source_id"))
"""Columns in which nearly every value is unique, but shares its leading bytes with many others.

zstd compresses plain values best: a ``source_id`` takes 3.3 bytes, 5.3 with a dictionary and 5.8 with split bytes.
"""

ENCODING = 3
"""Version number, increased when the same rows give other bytes."""


def write_rows(place: Place, path: str, table: pa.Table, order: Sequence[str], *, level: int = LEVEL) -> int:
    """Write a sorted table and return the size of the file in bytes."""
    encodings, dictionary = _encodings(table.schema)
    sorting = [pq.SortingColumn(table.schema.get_field_index(name)) for name in order]
    return place.make(
        path,
        lambda waiting: pq.write_table(
            table,
            waiting,
            row_group_size=_row_group(table),
            compression="zstd",
            compression_level=level,
            column_encoding=encodings,
            use_dictionary=dictionary,
            data_page_size=PAGE,
            write_page_index=True,
            sorting_columns=sorting,
            write_statistics=True,
            **({"max_rows_per_page": ROW_GROUP} if _HAS_BOUND else {}),
        ),
    )


def _row_group(table: pa.Table) -> int:
    """Return the rows of a row group; nested light curves make rows long."""
    if "nepochs" not in table.column_names or not table.num_rows:
        return ROW_GROUP
    epochs = int(np.asarray(table["nepochs"]).sum())
    return max(1, min(ROW_GROUP, EPOCHS_PER_ROW_GROUP * int(table.num_rows) // max(1, epochs)))


def _encodings(schema: pa.Schema) -> tuple[dict[str, str], list[str]]:
    """Return the encoding of columns, and the names of columns with a dictionary."""
    encodings: dict[str, str] = {}
    dictionary: list[str] = []
    for path, kind in _leaves(schema):
        name = path.partition(".list")[0].rpartition(".")[2]
        if pa.types.is_floating(kind) and name not in REPEATED | PLAIN:
            encodings[path] = "BYTE_STREAM_SPLIT"
        elif path == HEALPIX_COLUMN:
            encodings[path] = "DELTA_BINARY_PACKED"
        elif name in PLAIN:
            encodings[path] = "PLAIN"
        elif not pa.types.is_boolean(kind):
            dictionary.append(path)
    return encodings, dictionary


def _leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Return the paths of the leaf columns as Parquet names them, and their types."""
    found: list[tuple[str, pa.DataType]] = []
    for field in schema:
        if pa.types.is_struct(field.type):
            inner = [field.type.field(k) for k in range(field.type.num_fields)]
            found += [(f"{field.name}.{one.name}.list.element", one.type.value_type) for one in inner]
        else:
            found.append((field.name, field.type))
    return found


def write_common_metadata(place: Place, path: str, schema: pa.Schema, table_name: str) -> None:
    """Write the schema of a catalogue, with a VOTable that describes it (VOParquet 1.0) in its metadata."""
    more = {
        b"IVOA.VOTable-Parquet.version": b"1.0",
        b"IVOA.VOTable-Parquet.content": _votable(schema, table_name),
    }
    buffer = io.BytesIO()
    pq.write_metadata(schema.with_metadata({**(schema.metadata or {}), **more}), buffer)
    place.write(path, buffer.getvalue())


_VOTABLE = """<?xml version="1.0" encoding="utf-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
 <RESOURCE type="results">
  <TABLE name="{name}">
{fields}
  </TABLE>
 </RESOURCE>
</VOTABLE>
"""
"""Written here: astropy takes 0.4 s to import, and names its version in the file."""


def _votable(schema: pa.Schema, table_name: str) -> bytes:
    """Return a VOTable with the columns; it has no nested tables, and so no nested columns."""
    fields = "\n".join(_votable_field(one) for one in schema if not pa.types.is_struct(one.type))
    return _VOTABLE.format(name=escape(table_name), fields=fields).encode()


def _votable_field(field: pa.Field) -> str:
    facts = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
    facts = {"name": field.name, **_votable_type(field.type), **facts}
    description = facts.pop("description", "")
    attributes = " ".join(f'{name}="{escape(text)}"' for name, text in facts.items())
    return f"   <FIELD {attributes}>\n    <DESCRIPTION>{escape(description)}</DESCRIPTION>\n   </FIELD>"


def _votable_type(kind: pa.DataType) -> dict[str, str]:
    if pa.types.is_string(kind):
        return {"datatype": "char", "arraysize": "*"}
    return {"datatype": {"int16": "short", "int32": "int", "int64": "long", "float": "float", "double": "double",
                         "bool": "boolean"}[str(kind)]}  # fmt: skip
