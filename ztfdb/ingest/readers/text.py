"""CSV and its relatives, read in stretches of some MB.

Whole stretches go through a parser of another project. Where that cannot read one, or finds a row too short or too
long, the same stretch is read line by line, which finds the bad rows and keeps the others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.files import open_unpacked
from ztfdb.ingest.readers.limits import MAX_RECORD, check_columns
from ztfdb.ingest.readers.parsers import NULLS, Stretch, parse
from ztfdb.surveys.blocks import BadRow, Block, Wanted

STRETCH = 8 * 1024 * 1024
"""Bytes read at a time."""

SEPARATORS = (",", "\t", ";", "|")
"""Marks that separate the columns of a line."""

MAX_INTEGER = 2**63
_NULL_SET = frozenset(NULLS)


def separator_of(line: str) -> str | None:
    """Return the separator of a line of column names: the most frequent mark, None if it has none."""
    mark = max(SEPARATORS, key=line.count)
    return mark if mark in line else None


class TextReader:
    """A table in text: comments (``#``), a line of names, rows; VizieR's lines of units and dashes are passed over."""

    format = "csv"
    units: Mapping[str, str] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_unpacked(path) as file:
            start = self._find_header(file)
            self._line, self._offset = start
            self._pass_units(file)

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.surveys.blocks.TableReader`."""
        if doubled := sorted(self._doubled & wanted.keys()):
            raise CatalogueFileError(self._path, f"two columns are named {', '.join(doubled)}")
        line = self._line
        with open_unpacked(self._path) as file:
            file.seek(self._offset)
            rest = b""
            while True:
                try:
                    data = file.read(STRETCH)
                except (OSError, EOFError) as exc:
                    raise CatalogueFileError(self._path, f"breaks off at line {line}: {exc}") from exc
                stretch, rest = self._cut(rest + data, last=not data)
                if len(rest) > STRETCH + MAX_RECORD:
                    raise CatalogueFileError(self._path, f"line {line} begins a quoted field that does not end")
                if stretch:
                    n_line = stretch.count(b"\n")
                    yield self._block(stretch, line, n_line, wanted)
                    line += n_line
                if not data:
                    return

    def _find_header(self, file: BinaryIO) -> tuple[int, int]:
        """Find the line of names; return the line after it and its offset."""
        for number, raw in enumerate(file, start=1):
            text = raw.decode("utf-8-sig", "replace").rstrip("\r\n")
            if not text.strip() or text.startswith("#"):
                continue
            separator = separator_of(text)
            if separator is None:
                raise CatalogueFileError(
                    self._path, f"line {number} holds no column names separated by comma, tab, semicolon or bar"
                )
            self._separator = separator
            check_columns(self._path, text.count(separator) + 1)
            found = [name.strip() for name in next(csv.reader([text], delimiter=self._separator))]
            self._doubled = frozenset(name for name in found if found.count(name) > 1)
            # a column of its own for each of them, so that rows can be cut into fields
            self._fields = tuple(f"{name}\0{k}" if name in found[:k] else name for k, name in enumerate(found))
            self.names = tuple(dict.fromkeys(found))
            return number + 1, file.tell()
        raise CatalogueFileError(self._path, "has no line of column names")

    def _pass_units(self, file: BinaryIO) -> None:
        """Step over a line of units and a line of dashes, where the second is one."""
        file.seek(self._offset)
        lines = [file.readline() for _ in range(2)]
        dashes = lines[1].decode("utf-8", "replace").replace(self._separator, "").strip()
        if dashes and not dashes.strip("- "):
            self._line += 2
            self._offset = file.tell()

    def _cut(self, data: bytes, *, last: bool) -> tuple[bytes, bytes]:
        """Return whole rows, and the rest for the next stretch; a quoted field may run over lines."""
        if last:
            return (data if not data or data.endswith(b"\n") else data + b"\n"), b""
        end = data.rfind(b"\n") + 1
        n_quote = data.count(b'"', 0, end)
        while end and n_quote % 2:
            before = data.rfind(b"\n", 0, data.rfind(b'"', 0, end)) + 1  # the lines after it are all inside
            n_quote -= data.count(b'"', before, end)
            end = before
        return data[:end], data[end:]

    def _block(self, stretch: bytes, line: int, n_line: int, wanted: Wanted) -> Block:
        if b'"' not in stretch:
            block = parse(Stretch(stretch, line, n_line, self._fields, self._separator), wanted)
            if block is not None:
                return block
        return self._slow_block(stretch, line, wanted)

    def _slow_block(self, stretch: bytes, line: int, wanted: Wanted) -> Block:
        """Read row by row, and keep what can be read."""
        lines: list[int] = []
        bad: list[BadRow] = []
        fields = [(self._fields.index(name), name, kind) for name, kind in wanted.items()]
        kept: dict[str, list[object]] = {name: [] for name in wanted}
        text = io.StringIO(stretch.decode("utf-8", "replace"), newline="")
        rows = csv.reader(text, delimiter=self._separator, skipinitialspace=True)
        before = 0
        while True:
            try:
                row = next(rows, None)
            except csv.Error as exc:
                bad.append(BadRow(line + rows.line_num - 1, str(exc)))
                continue
            if row is None:
                break
            here, before = line + before, rows.line_num
            if not row or row[0].startswith("#"):
                continue
            values = _row_values(row, fields, len(self._fields))
            if isinstance(values, str):
                bad.append(BadRow(here, values))
                continue
            lines.append(here)
            for name, value in zip(kept, values, strict=True):
                kept[name].append(value)
        return _listed_block(lines, kept, bad, wanted)


def _row_values(row: list[str], fields: list[tuple[int, str, str]], n_field: int) -> list[object] | str:
    """Return the wanted values of one row, or why it cannot be read."""
    if len(row) != n_field:
        return f"{len(row)} fields instead of {n_field}"
    values: list[object] = []
    for index, name, kind in fields:
        text = row[index].strip()
        if text in _NULL_SET:
            values.append(None)
        elif kind == "O":
            values.append(text)
        else:
            try:
                values.append(_integer(text) if kind == "i" else float(text))
            except ValueError:
                return f"{name} is {text[:40]!r}, not {'an integer' if kind == 'i' else 'a number'}"
    return values


def _integer(text: str) -> int:
    value = int(text)
    if not -MAX_INTEGER <= value < MAX_INTEGER:
        raise ValueError(text)
    return value


def _listed_block(lines: list[int], kept: dict[str, list[object]], bad: list[BadRow], wanted: Wanted) -> Block:
    block = Block(np.array(lines, dtype=np.int64), {}, bad=bad)
    for name, kind in wanted.items():
        values = kept[name]
        if kind == "i":
            block.columns[name] = np.array([0 if value is None else value for value in values], dtype=np.int64)
            none = np.array([value is None for value in values], dtype=bool)
            if none.any():
                block.missing[name] = none
        elif kind == "f":
            block.columns[name] = np.array(values, dtype=np.float64)
        else:
            block.columns[name] = np.array(values, dtype=object)
    return block
