"""IPAC tables, as IRSA hands them out: read by astropy, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers.base import ROWS, Block, Wanted, converted, sequence_rows


def is_ipac(head: bytes) -> bool:
    """Tell whether a file begins as an IPAC table does: keywords after backslashes, then two lines between bars."""
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"\\")]
    return len(lines) > 1 and all(line.startswith(b"|") and line.rstrip().endswith(b"|") for line in lines[:2])


class IpacReader:
    """An IPAC table; a block's lines are its rows, counted from 1."""

    format = "ipac"

    def __init__(self, path: Path) -> None:
        try:
            self._table = Table.read(path, format="ascii.ipac", guess=False)
        except (OSError, EOFError, ValueError, TypeError, IndexError) as exc:  # astropy's errors are ValueErrors
            raise CatalogueFileError(path, f"is no IPAC table that can be read: {exc}") from exc
        self.names: tuple[str, ...] = tuple(self._table.colnames)

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.ingest.readers.base.TableReader`."""
        for start in range(0, len(self._table), ROWS):
            part = self._table[start : start + ROWS]
            given: dict[str, Any] = {}
            for name in wanted:
                missing = np.ma.getmaskarray(part[name])
                values = np.asarray(np.ma.getdata(part[name]))
                given[name] = (values.astype(object) if values.dtype.kind == "U" else values, missing)
            yield converted(sequence_rows(start + 1, len(part)), given, wanted)
