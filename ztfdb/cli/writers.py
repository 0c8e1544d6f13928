"""Write rows as CSV, strict JSON, VOTable and Parquet; `ztfdb.cli.astropy_writers` writes FITS, ECSV and IPAC."""

from __future__ import annotations

import base64
import io
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd

from ztfdb import __version__
from ztfdb.cli import column_writers
from ztfdb.cli.cells import pairs_of
from ztfdb.cli.columns import TIME_SYSTEMS, Words, check_names, vo_reference
from ztfdb.errors import MissingExtraError, OutputError
from ztfdb.schema import ColumnDescription
from ztfdb.texts import CsvLines, printable

_CHUNK = 10_000
_VOTABLE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    '<RESOURCE type="results">\n'
)
_VOTABLE_END = b"</TABLEDATA></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"


def write_csv(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write comma-separated rows under a line of names; NULL is an empty field, floats keep every digit."""
    write_csv_parts([frame], words, stream)


def write_csv_parts(parts: Iterable[pd.DataFrame], words: Words, stream: BinaryIO) -> None:
    """Write the rows of several frames of the same columns as one CSV file; see `write_csv`."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
    lines: Any = CsvLines(text)
    try:
        for number, frame in enumerate(parts):
            frame.to_csv(lines, index=False, header=number == 0, lineterminator="\r\n", chunksize=_CHUNK)
    finally:
        text.detach()


def write_json(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write a list of records; see `ztfdb.cli.column_writers.write_json`."""
    column_writers.write_json(pairs_of(frame), len(frame), stream)


def write_votable(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write a VOTable; see `write_votable_parts`."""
    write_votable_parts([frame], len(frame), words, stream)


def write_votable_parts(parts: Iterable[pd.DataFrame], n_row: int, words: Words, stream: BinaryIO) -> None:
    """Write a VOTable 1.4 (TABLEDATA) with units, UCDs, descriptions and the systems of its positions and times.

    ztfdb has its own writer because astropy's takes 0.3 ms per row; astropy's reader and ``stilts votlint`` check the
    result.

    Parameters
    ----------
    parts : iterable of DataFrame
        At least one, all with the same columns and dtypes.
    n_row : int
        Rows of all parts.
    words : Words
    stream : BinaryIO
    """
    for number, frame in enumerate(parts):
        if number == 0:
            stream.write(_votable_head(frame, n_row, words))
        _write_votable_rows(frame, stream)
    stream.write(_VOTABLE_END)


def write_uncounted_votable(parts: Iterable[pd.DataFrame], words: Words, stream: BinaryIO) -> None:
    """Write a VOTable as `write_votable_parts`; its rows wait in a temporary file until their number is known."""
    empty: pd.DataFrame | None = None
    n_row = 0
    with tempfile.TemporaryFile(prefix="ztfdb-") as rows:
        for frame in parts:
            empty = frame.iloc[:0] if empty is None else empty
            n_row += len(frame)
            _write_votable_rows(frame, rows)
        rows.seek(0)
        if empty is not None:
            stream.write(_votable_head(empty, n_row, words))
        shutil.copyfileobj(rows, stream)
    stream.write(_VOTABLE_END)


def _write_votable_rows(frame: pd.DataFrame, stream: Any) -> None:
    for chunk in _chunks(frame):
        columns = [_votable_cells(chunk.iloc[:, i]) for i in range(chunk.shape[1])]
        rows = (f"<TR>{''.join(cells)}</TR>\n" for cells in zip(*columns, strict=True))
        stream.write("".join(rows).encode())


def _votable_head(frame: pd.DataFrame, n_row: int, words: Words) -> bytes:
    names = [str(name) for name in frame.columns]
    systems = {reference for name in names if (reference := vo_reference(name))}
    head = [_VOTABLE, f'<INFO name="creator" value={quoteattr(f"ztfdb {__version__}")}/>\n']
    head += ['<INFO name="QUERY_STATUS" value="OK"/>\n']
    head += ['<COOSYS ID="ICRS" system="ICRS"/>\n'] if "ICRS" in systems else []
    head += [f"{text}\n" for key, text in TIME_SYSTEMS.items() if key in systems]
    head += [f'<TABLE nrows="{n_row}">\n']
    head += [_votable_field(name, frame.iloc[:, i], words.get(name)) for i, name in enumerate(names)]
    return "".join([*head, "<DATA><TABLEDATA>\n"]).encode()


def write_parquet(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
    """Write Parquet; a field's metadata holds its ``unit``, ``ucd`` and ``description``.

    Raises
    ------
    MissingExtraError
        Where pyarrow is not installed.
    OutputError
        If Parquet has no type for a column, or two columns have one name.
    """
    write_parquet_parts([frame], words, stream)


def write_parquet_parts(parts: Iterable[pd.DataFrame], words: Words, stream: BinaryIO) -> None:
    """Write the rows of several frames (at least one) of the same columns as one Parquet file; see `write_parquet`.

    Each frame begins a row group.
    """
    require_parquet()
    import pyarrow as pa

    write_arrow_tables(
        (pa.Table.from_pandas(_with_texts(frame), preserve_index=False) for frame in parts), words, stream
    )


def write_arrow_tables(tables: Iterable[Any], words: Words, stream: BinaryIO) -> None:
    """Write Arrow tables (at least one) of the same columns as one Parquet file; see `write_parquet_parts`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    lengths: dict[str, int] = {}
    try:
        for table in tables:
            if writer is None:
                fields = [_parquet_field(field, words.get(field.name)) for field in table.schema]
                metadata = {**(table.schema.metadata or {}), "table_meta_yaml": _astropy_header(fields)}
                schema = pa.schema(fields, metadata=metadata)
                writer = pq.ParquetWriter(stream, schema, store_schema=False)  # it is stored below
            table = table.cast(schema)
            _lengthen(lengths, table)
            writer.write_table(table)
            del table  # the next one may be made before it is replaced
        if writer is not None:
            _store_schema(writer, schema, lengths)
    except (pa.ArrowException, UnicodeEncodeError) as exc:
        why = " ".join(map(str, exc.args)) if isinstance(exc, pa.ArrowException) else exc  # some have several texts
        raise OutputError(f"these rows cannot be written as Parquet: {why}") from exc
    finally:
        if writer is not None:
            writer.close()


def _with_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert categories to text: most readers would show a dictionary, or its numbers."""
    check_names(frame.columns)
    categories = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(categories, "string"))


def _astropy_header(fields: Sequence[Any]) -> str:
    """Return the header from which ``astropy.table.Table.read`` takes units and descriptions."""
    from astropy.table import Column, Table
    from astropy.table.meta import get_yaml_from_table

    table = Table()
    for field in fields:
        facts = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        table[field.name] = Column(np.zeros(0), unit=facts.get("unit"), description=facts.get("description"))
    return "\n".join(get_yaml_from_table(table))


_NONE = len("None")
"""astropy's reader turns a NULL text into ``None``, which must fit into the column."""


def _lengthen(lengths: dict[str, int], table: Any) -> None:
    """Update the longest text of each column; without it astropy's reader fails on a NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for field in table.schema:
        if pa.types.is_string(field.type):
            texts = table.column(field.name)
            longest = pc.max(pc.utf8_length(texts)).as_py() or 1
            lengths[field.name] = max(lengths.get(field.name, 1), longest, _NONE if texts.null_count else 1)


def _store_schema(writer: Any, schema: Any, lengths: Mapping[str, int]) -> None:
    """Store the Arrow schema as pyarrow does, but after the last part, because it includes the lengths.

    Readers use the metadata of this schema, and ignore additions to the metadata of the file.
    """
    more = {f"table::len::{name}".encode(): str(length).encode() for name, length in lengths.items()}
    schema = schema.with_metadata({**schema.metadata, **more})
    writer.add_key_value_metadata({**more, b"ARROW:schema": base64.b64encode(schema.serialize().to_pybytes())})


def _parquet_field(field: Any, described: ColumnDescription | None) -> Any:
    """Return a field with its description; text is a plain ``string``, even if the first part has only NULLs."""
    import pyarrow as pa

    if pa.types.is_large_string(field.type) or pa.types.is_null(field.type):
        field = field.with_type(pa.string())
    if described is None:
        return field
    facts = {"unit": described.unit, "ucd": described.ucd, "description": described.description}
    return field.with_metadata({key: value for key, value in facts.items() if value})


def require_parquet() -> None:
    """Raise `MissingExtraError` if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as exc:
        raise MissingExtraError("Parquet", "parquet") from exc


def _by_astropy(name: str) -> Callable[[pd.DataFrame, Words, BinaryIO], None]:
    """Return a writer whose first use imports astropy's."""

    def write(frame: pd.DataFrame, words: Words, stream: BinaryIO) -> None:
        from ztfdb.cli.astropy_writers import WRITERS as FORMS

        FORMS[name](frame, words, stream)

    return write


WRITERS: dict[str, Callable[[pd.DataFrame, Words, BinaryIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "votable": write_votable,
    "parquet": write_parquet,
    **{name: _by_astropy(name) for name in ("fits", "ecsv", "ipac")},
}

PART_WRITERS: dict[str, Callable[[Iterable[pd.DataFrame], Words, BinaryIO], None]] = {
    "csv": write_csv_parts,
    "votable": write_uncounted_votable,
    "parquet": write_parquet_parts,
}
"""Writers in batches, for answers of any size."""


def _chunks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), _CHUNK):
        yield frame.iloc[start : start + _CHUNK]


def _cells(values: pd.Series[Any], form: Callable[[Any], str], missing: str) -> list[str]:
    none = values.isna().to_numpy()
    return [missing if n else form(v) for v, n in zip(_plain(values), none, strict=True)]


def _plain(values: pd.Series[Any]) -> list[Any]:
    """Return Python values; a single-precision number becomes its shortest exact decimal."""
    if values.dtype == np.float32:
        return values.to_numpy().astype(str).astype(float).tolist()
    return values.tolist()


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _votable_type(values: pd.Series[Any]) -> str:
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return 'datatype="boolean"'
    if pd.api.types.is_integer_dtype(dtype):
        return 'datatype="long"'
    if pd.api.types.is_float_dtype(dtype):
        return 'datatype="float"' if dtype == np.float32 else 'datatype="double"'
    return 'datatype="unicodeChar" arraysize="*"'


def _xml(text: str) -> str:
    """Return a text for XML, which allows hardly any control characters, not even as references."""
    if not text.isprintable():
        text = printable(text, keep="\n\t")
    return escape(text)


def _votable_field(name: str, values: pd.Series[Any], described: ColumnDescription | None) -> str:
    facts = {"ref": vo_reference(name)}
    description = ""
    if described is not None:
        facts |= {"unit": described.vounit, "ucd": described.ucd}
        description = f"<DESCRIPTION>{escape(described.description)}</DESCRIPTION>"
    more = "".join(f" {key}={quoteattr(value)}" for key, value in facts.items() if value)
    return f"<FIELD name={quoteattr(printable(name))} {_votable_type(values)}{more}>{description}</FIELD>\n"


def _votable_cells(values: pd.Series[Any]) -> list[str]:
    if pd.api.types.is_bool_dtype(values.dtype):
        return _cells(values, lambda v: "<TD>true</TD>" if v else "<TD>false</TD>", "<TD/>")
    if pd.api.types.is_float_dtype(values.dtype):
        return _cells(values, lambda v: f"<TD>{v!r}</TD>" if math.isfinite(v) else "<TD/>", "<TD/>")
    return _cells(values, lambda v: f"<TD>{_xml(_text(v))}</TD>", "<TD/>")
