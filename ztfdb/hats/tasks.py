"""The pieces of work that an export is made of, each done by one process and written when it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy.orm import Session

from ztfdb.hats.context import Context
from ztfdb.hats.fields import HEALPIX_COLUMN
from ztfdb.hats.files import make_atomically
from ztfdb.hats.parquet import write_rows
from ztfdb.hats.products import Product
from ztfdb.hats.tiling import Pixel
from ztfdb.records import IntArray


@dataclass(frozen=True)
class Done:
    """What a task has written.

    Attributes
    ----------
    stage : str
        ``partition`` or ``margin``.
    place : int
        Of the partition among those of its catalogue.
    n_row, size : int
        Rows and bytes of its file; no rows, no file.
    """

    stage: str
    place: int
    n_row: int
    size: int


class Task(Protocol):
    """Something to do with the archive at hand."""

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""


@dataclass(frozen=True)
class Edge:
    """Which cells of a partition lie in the margins of others.

    Attributes
    ----------
    shift : int
        From order-29 cells to these.
    cell, margin_of : ndarray of int64, shape (n,)
        Cells, ascending, and the partition whose margin each is in.
    spill : Path
        Folder for the rows, below it one folder per partition.
    """

    shift: int
    cell: IntArray
    margin_of: IntArray
    spill: Path


@dataclass(frozen=True)
class WritePartition:
    """Read a partition from the archive, write it, and spill what lies in the margins of others."""

    product: Product
    pixel: Pixel
    place: int
    path: Path
    level: int
    edge: Edge | None

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        table = self.product.rows(session, context, self.pixel)
        size = write_rows(self.path, table, self.product.order, level=self.level) if table.num_rows else 0
        if self.edge is not None:
            spill_margins(table, self.place, self.edge)
        return Done("partition", self.place, table.num_rows, size)


@dataclass(frozen=True)
class RereadPartition:
    """Spill the margins of others from a partition that is written already and stays as it is."""

    place: int
    path: Path
    edge: Edge

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        table = pq.read_table(self.path, partitioning=None)
        spill_margins(table, self.place, self.edge)
        return Done("partition", self.place, table.num_rows, self.path.stat().st_size)


@dataclass(frozen=True)
class WriteMargin:
    """Put the margin of a partition together from what others have spilled."""

    product: Product
    place: int
    path: Path
    level: int
    spill: Path

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        files = sorted((self.spill / str(self.place)).glob("*.arrow"))
        if not files:
            return Done("margin", self.place, 0, 0)
        table = pa.concat_tables([pa.ipc.open_file(path).read_all() for path in files])
        order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in self.product.order])
        size = write_rows(self.path, table.take(order), self.product.order, level=self.level)
        return Done("margin", self.place, table.num_rows, size)


def spill_margins(table: pa.Table, place: int, edge: Edge) -> None:
    """Write the rows that lie in the margins of other partitions, a file for each of these."""
    cell = np.asarray(table[HEALPIX_COLUMN]) >> edge.shift
    for other in np.unique(edge.margin_of).tolist():
        wanted = edge.cell[edge.margin_of == other]
        at = np.minimum(np.searchsorted(wanted, cell), len(wanted) - 1)
        rows = np.flatnonzero(wanted[at] == cell)
        if len(rows):
            _spill(table.take(pa.array(rows)), edge.spill / str(other) / f"{place}.arrow")


def _spill(rows: pa.Table, path: Path) -> None:
    def write(waiting: Path) -> None:
        with pa.OSFile(str(waiting), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)

    make_atomically(path, write)
