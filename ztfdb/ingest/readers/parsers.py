"""The parsers of other projects that read well-formed text at once: pyarrow's where it is installed, else pandas'.

Both give up on what they cannot read, or read otherwise than `ztfdb.ingest.readers.text` does row by row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ztfdb.ingest.readers.parquet import arrow_values
from ztfdb.surveys.blocks import Block, Wanted, converted, sequence_rows

NULLS = ("", "null", "NULL", "Null", "nan", "NaN", "NAN", "None", "none", "--", "N/A", "NA", "\\N")
"""What stands for no value."""


@dataclass(frozen=True)
class Stretch:
    """Whole rows of text, none of them quoted.

    Attributes
    ----------
    data : bytes
    line : int
        Line of the file on which it starts, from 1.
    n_line : int
    names : sequence of str
        Columns of the file.
    separator : str
    """

    data: bytes
    line: int
    n_line: int
    names: Sequence[str]
    separator: str


def parse(stretch: Stretch, wanted: Wanted) -> Block | None:
    """Return all rows of a stretch, None if something among them is not as it should be, or a comment."""
    if stretch.data.startswith(b"#") or b"\n#" in stretch.data:
        return None
    for parser in PARSERS:
        block = parser(stretch, wanted)
        if block is not None:
            return block
    return None


def parse_with_arrow(stretch: Stretch, wanted: Wanted) -> Block | None:
    """Read with pyarrow: in half of pandas' time, and every number as near as a double can be.

    None also where pyarrow is not installed, and for text that it takes otherwise: blanks, hexadecimal integers.
    """
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow
    except ImportError:
        return None
    if any(mark in stretch.data for mark in {b" ", b"\t", b"x", b"X"} - {stretch.separator.encode()}):
        return None
    kinds = {"i": pa.int64(), "f": pa.float64(), "O": pa.string()}
    try:
        table = arrow.read_csv(
            pa.BufferReader(stretch.data),
            read_options=arrow.ReadOptions(column_names=list(stretch.names)),
            parse_options=arrow.ParseOptions(delimiter=stretch.separator, quote_char=False),
            convert_options=arrow.ConvertOptions(
                column_types={name: kinds[kind] for name, kind in wanted.items()},
                include_columns=list(wanted),
                null_values=list(NULLS),
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowException:
        return None
    if table.num_rows != stretch.n_line:
        return None
    given = {name: arrow_values(table.column(name)) for name in wanted}
    return converted(sequence_rows(stretch.line, stretch.n_line), given, wanted)


def parse_with_pandas(stretch: Stretch, wanted: Wanted) -> Block | None:
    """Read with pandas' C parser, which fills rows that are too short and cuts those that are too long."""
    import pandas as pd

    if not _is_regular(stretch):
        return None
    kinds = {"f": "float64", "O": "str"}  # asked for integers, it takes them from doubles where one row has a point
    try:
        frame = pd.read_csv(
            io.BytesIO(stretch.data),
            sep=stretch.separator,
            header=None,
            names=list(stretch.names),
            usecols=list(wanted),
            dtype={name: kinds[kind] for name, kind in wanted.items() if kind != "i"},
            na_values=list(NULLS),
            keep_default_na=False,
            skipinitialspace=b" " in stretch.data,  # to look for them takes a fifth of the time
            encoding_errors="replace",
            quoting=csv.QUOTE_NONE,
            index_col=False,
        )
    except (ValueError, OverflowError):
        return None
    if len(frame) != stretch.n_line or any(frame[name].dtype != np.int64 for name, k in wanted.items() if k == "i"):
        return None
    columns = {name: frame[name].to_numpy() for name in wanted}
    for name, kind in wanted.items():
        if kind == "O":
            texts = frame[name].str.strip()
            columns[name] = texts.astype(object).to_numpy(copy=True)
            columns[name][(texts.isna() | texts.isin(NULLS)).to_numpy()] = None
    return Block(sequence_rows(stretch.line, stretch.n_line), columns)


def _is_regular(stretch: Stretch) -> bool:
    """Tell whether every row has as many fields as the table has columns."""
    data = np.frombuffer(stretch.data, np.uint8)
    ends = data == ord("\n")
    ends = ends[ends | (data == ord(stretch.separator))]  # of each field: whether a row ends with it
    n_column = len(stretch.names)
    return len(ends) == n_column * stretch.n_line and bool(ends[n_column - 1 :: n_column].all())


PARSERS: tuple[Callable[[Stretch, Wanted], Block | None], ...] = (parse_with_arrow, parse_with_pandas)
"""In the order in which they are tried."""
