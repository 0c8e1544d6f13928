"""Write the rows of SQL in parts: CSV, VOTable and Parquet, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from ztfdb.cli.columns import check_names
from ztfdb.cli.writers import require_parquet, write_arrow_tables, write_csv_parts, write_votable_parts

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

GROUP_ROWS = 1 << 20
"""Rows of a Parquet row group, as pyarrow's default."""

GROUP_BYTES = 1 << 26
"""Most bytes of a row group in memory: wide rows make groups of fewer rows."""

Parts: TypeAlias = "Callable[[], Iterator[pd.DataFrame]]"
"""Gives, at each call, the same frames (at least one), which have the columns and dtypes of the whole answer."""


def write_sql(parts: Parts, n_row: int, form: str, stream: BinaryIO, step: Callable[[int], None]) -> None:
    """Write the rows of a statement in one of the formats csv, votable and parquet.

    The bytes are those of the whole frame's writer, except for the row groups of a Parquet file of more than
    `GROUP_BYTES`.

    Parameters
    ----------
    parts : callable
    n_row : int
        Rows of all parts.
    form : str
    stream : BinaryIO
    step : callable
        Called with the number of rows of each part that has been written.

    Raises
    ------
    OutputError
        If Parquet has no type for a column, or two columns have one name.
    """
    if form == "csv":
        write_csv_parts(_counted(parts, step), {}, stream)
    elif form == "votable":
        write_votable_parts(_counted(parts, step), n_row, {}, stream)
    else:
        require_parquet()
        write_arrow_tables(_row_groups(_tables(parts, step)), {}, stream)


def _counted(parts: Parts, step: Callable[[int], None]) -> Iterator[pd.DataFrame]:
    for frame in parts():
        yield frame
        step(len(frame))


def _tables(parts: Parts, step: Callable[[int], None]) -> Iterator[pa.Table]:
    """Yield the parts as Arrow tables of one schema.

    A column of objects (dates, blobs, arrays) has the type that fits all parts; they are read once more to find it.
    """
    import pyarrow as pa

    schema: pa.Schema | None = None
    for frame in parts():
        check_names(frame.columns)
        if "object" not in map(str, frame.dtypes):
            break
        found = pa.Table.from_pandas(frame, preserve_index=False).schema.remove_metadata()
        schema = found if schema is None else pa.unify_schemas([schema, found], promote_options="permissive")
    for frame in _counted(parts, step):
        yield pa.Table.from_pandas(frame, schema, preserve_index=False)


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of tables of one schema, in tables of `GROUP_ROWS` rows or about `GROUP_BYTES`."""
    held: list[pa.Table] = []
    n_row = n_byte = 0
    for whole in tables:
        table = whole
        while n_row + len(table) > GROUP_ROWS:
            rest = GROUP_ROWS - n_row
            held.append(table[:rest])
            yield _joined(held)
            n_row, n_byte, table = 0, 0, table[rest:]
        held.append(table)
        n_row, n_byte = n_row + len(table), n_byte + table.nbytes
        if n_byte >= GROUP_BYTES:
            yield _joined(held)
            n_row = n_byte = 0
    if held:
        yield _joined(held)


def _joined(held: list[pa.Table]) -> pa.Table:
    """Return the rows of tables as one, and empty the list; a column's parts are dropped when it is joined.

    Parquet's pages depend on the chunks of a column, so each becomes one chunk.
    """
    import pyarrow as pa

    schema = held[0].schema
    parts = [[table.column(k) for table in held] for k in range(len(schema))]
    held.clear()
    columns: list[pa.Array] = []
    while parts:
        chunks = [chunk for column in parts.pop(0) for chunk in column.chunks]
        columns.append(pa.concat_arrays(chunks) if chunks else pa.array([], schema.field(len(columns)).type))
    return pa.Table.from_arrays(columns, schema=schema)
