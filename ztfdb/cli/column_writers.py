"""Write the columns of an answer or a DataFrame as CSV and JSON, without pandas."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any, BinaryIO

import numpy as np

from ztfdb.cli.cells import Pairs, cells_of, chunks, kind_of
from ztfdb.cli.columns import check_names, is_id
from ztfdb.query.columns import MaskedIntegers
from ztfdb.texts import CsvLines

JSON_EXACT = 1 << 53
"""Most readers of JSON silently round larger integers."""


def write_csv(pairs: Pairs, n_row: int, stream: BinaryIO) -> None:
    """Write comma-separated rows under a line of names, byte for byte as pandas would.

    A missing value is an empty field, floats keep every digit.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
    try:
        writer = csv.writer(CsvLines(text))
        writer.writerow([name for name, _ in pairs])
        for some in chunks(pairs, n_row):
            writer.writerows(zip(*(_fields(column) for _, column in some), strict=True))
    finally:
        text.detach()


def write_json(pairs: Pairs, n_row: int, stream: BinaryIO) -> None:
    """Write a list of records, one to a line: ids as text, NULL and NaN as null, no NaN or Infinity anywhere.

    Other columns with integers beyond 2^53 are text, too: most readers would round them silently.
    """
    names = [json.dumps(name) for name, _ in pairs]
    check_names(name for name, _ in pairs)
    as_text = [is_id(name) or _is_beyond(column) for name, column in pairs]
    before = b"["
    for some in chunks(pairs, n_row):
        columns = [_json_cells(column, text) for (_, column), text in zip(some, as_text, strict=True)]
        for cells in zip(*columns, strict=True):
            record = ", ".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=True))
            stream.write(before + f"\n{{{record}}}".encode("utf-8", "backslashreplace"))  # as JSON escapes
            before = b","
    stream.write(b"[]\n" if before == b"[" else b"\n]\n")


WRITERS = {"csv": write_csv, "json": write_json}


def _fields(column: Any) -> list[str]:
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        texts: list[str] = column.astype(str).tolist()  # the shortest decimals, also of single precision
        return ["" if none else text for text, none in zip(texts, np.isnan(column).tolist(), strict=True)]
    return cells_of(column).texts(str, "")


def _is_beyond(column: Any) -> bool:
    """Return whether a column has integers beyond `JSON_EXACT`."""
    if kind_of(column) != "i":
        return False
    if isinstance(column, MaskedIntegers):
        column = column.values[~column.mask]
    if isinstance(column, np.ndarray):
        return bool(len(column)) and max(int(column.max()), -int(column.min())) > JSON_EXACT
    cells = cells_of(column)
    return any(abs(value) > JSON_EXACT for value, none in zip(cells.values, cells.missing, strict=True) if not none)


def _json_cells(column: Any, as_text: bool) -> list[str]:
    if getattr(column, "dtype", None) == np.float32:  # the shortest decimal that names it
        column = np.asarray(column).astype(str).astype(float)
    cells = cells_of(column)
    if cells.kind == "b":
        return cells.texts(lambda value: "true" if value else "false", "null")
    if cells.kind == "i":
        return cells.texts('"{:d}"'.format if as_text else "{:d}".format, "null")
    if cells.kind == "f":
        return cells.texts(lambda value: repr(value) if math.isfinite(value) else "null", "null")
    return cells.texts(_json_value, "null")


def _json_value(value: Any) -> str:
    """Return a value of a column of mixed types: JSON's own types unchanged, everything else as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= JSON_EXACT):
        return json.dumps(value)
    return json.dumps(value.hex() if isinstance(value, bytes) else str(value), ensure_ascii=False)
