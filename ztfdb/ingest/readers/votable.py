"""VOTable: TABLEDATA as a stream of XML; the binary serialisations through astropy, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.utils.xml.iterparser import get_xml_iterator

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.limits import check_cell
from ztfdb.ingest.readers.text import _listed_block, _row_values
from ztfdb.surveys.blocks import ROWS, BadRow, Block, Wanted, converted, sequence_rows

TEXT_NULLS = frozenset({"", "NaN", "nan", "null"})


class VotableReader:
    """The first table of a VOTable."""

    format = "votable"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nulls: dict[str, str] = {}
        names: list[str] = []
        units: dict[str, str] = {}
        self._serialisation = ""
        try:
            for start, tag, data, _ in self._events():
                if start and tag == "FIELD":
                    names.append(data.get("name") or data.get("ID") or "")
                    units |= {names[-1]: data["unit"]} if data.get("unit") else {}
                    check_cell(path, data.get("arraysize") or "")
                elif start and tag == "VALUES" and names and "null" in data:
                    self._nulls[names[-1]] = data["null"]
                elif start and tag == "INFO":
                    self._check_info(data)
                elif start and tag in ("TABLEDATA", "BINARY", "BINARY2", "FITS"):
                    self._serialisation = tag
                    break
        except (OSError, EOFError, ValueError) as exc:
            raise CatalogueFileError(path, f"is no VOTable that can be read: {exc}") from exc
        if not self._serialisation:
            raise CatalogueFileError(path, "is XML, but holds no table of a VOTable")
        self.names = tuple(names)
        self.units: Mapping[str, str] = units

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.surveys.blocks.TableReader`."""
        return self._stream(wanted) if self._serialisation == "TABLEDATA" else self._whole(wanted)

    def _events(self) -> Iterator[tuple[bool, str, Any, tuple[int, int]]]:
        with get_xml_iterator(str(self._path)) as events:
            yield from events

    def _check_info(self, data: dict[str, str]) -> None:
        """Refuse what a service marked as failed or cut short."""
        if data.get("name") == "QUERY_STATUS" and data.get("value", "").upper() in ("ERROR", "OVERFLOW"):
            raise CatalogueFileError(
                self._path, f"its service says {data['value'].upper()}: the answer is not the whole answer"
            )

    def _stream(self, wanted: Wanted) -> Iterator[Block]:
        fields = [(self.names.index(name), name, kind) for name, kind in wanted.items()]
        lines: list[int] = []
        bad: list[BadRow] = []
        kept: dict[str, list[object]] = {name: [] for name in wanted}
        row: list[str] = []
        try:
            for start, tag, data, (line, _) in self._events():
                if tag == "TD" and not start:
                    row.append("" if data in TEXT_NULLS else data)
                elif tag == "TR" and start:
                    row = []
                elif tag == "TR":
                    self._take(row, line, fields, lines, kept, bad)
                    if len(lines) + len(bad) >= ROWS:
                        yield _listed_block(lines, kept, bad, wanted)
                        lines, bad, kept = [], [], {name: [] for name in wanted}
                elif start and tag == "INFO":
                    self._check_info(data)
                elif tag == "TABLE" and not start and (lines or bad):
                    yield _listed_block(lines, kept, bad, wanted)
                    lines, bad, kept = [], [], {name: [] for name in wanted}
        except (OSError, EOFError, ValueError) as exc:
            raise CatalogueFileError(self._path, f"breaks off: {exc}") from exc

    def _take(
        self,
        row: list[str],
        line: int,
        fields: list[tuple[int, str, str]],
        lines: list[int],
        kept: dict[str, list[object]],
        bad: list[BadRow],
    ) -> None:
        for index, name, _ in fields:
            if index < len(row) and row[index] == self._nulls.get(name, ""):
                row[index] = ""
        values = _row_values(row, fields, len(self.names))
        if isinstance(values, str):
            bad.append(BadRow(line, values))
            return
        lines.append(line)
        for name, value in zip(kept, values, strict=True):
            kept[name].append(value)

    def _whole(self, wanted: Wanted) -> Iterator[Block]:
        from astropy.io.votable import parse

        try:
            document = parse(str(self._path), verify="ignore")
            table = document.get_first_table()
        except (OSError, EOFError, ValueError, IndexError) as exc:
            raise CatalogueFileError(self._path, f"breaks off: {exc}") from exc
        for info in (info for resource in document.resources for info in resource.infos):
            self._check_info({"name": info.name, "value": info.value})
        array = table.array
        renamed = {field.name or field.ID: field.ID for field in table.fields}
        for start in range(0, len(array), ROWS):
            part = array[start : start + ROWS]
            given = {}
            for name in wanted:
                column = part[renamed[name]]
                given[name] = (np.ma.getdata(column), np.ma.getmaskarray(column))
            yield converted(sequence_rows(start + 1, len(part)), given, wanted)
