"""The pieces of work that an export is made of, each done by one process and written when it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from ztfdb.arrays import IntArray
from ztfdb.hats.context import Context
from ztfdb.hats.fields import HEALPIX_COLUMN
from ztfdb.hats.layout import File, n_staying
from ztfdb.hats.parquet import write_rows
from ztfdb.hats.places import Place
from ztfdb.hats.products import Product
from ztfdb.hats.tiling import Pixel


@dataclass(frozen=True)
class Done:
    """What a task has written.

    Attributes
    ----------
    stage : str
        ``partition`` or ``margin``.
    number : int
        Of the partition among those of its catalogue.
    n_row, size : int
        Rows and bytes of its new file; no rows, no file.
    staying : int
        Files of the partition that stay beside it, the oldest ones.
    """

    stage: str
    number: int
    n_row: int
    size: int
    staying: int = 0

    def files(self, generation: int, before: Sequence[File]) -> tuple[File, ...]:
        """Return the files that a partition has now."""
        new = (File(generation, self.n_row, self.size),) if self.n_row else ()
        return (*before[: self.staying], *new)


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
    spill : Place
        For the rows, below it one folder per partition.
    """

    shift: int
    cell: IntArray
    margin_of: IntArray
    spill: Place

    def only(self, numbers: set[int]) -> Edge | None:
        """Return the part of it that lies in the margins of some partitions, None where there is none."""
        wanted = np.isin(self.margin_of, list(numbers))
        return Edge(self.shift, self.cell[wanted], self.margin_of[wanted], self.spill) if wanted.any() else None


@dataclass(frozen=True)
class Target:
    """Where the rows of a partition go.

    Attributes
    ----------
    place : Place
        The catalogue.
    path : str
        Of the new file.
    order : tuple of str
        What rows are sorted by.
    level : int
        zstd.
    """

    place: Place
    path: str
    order: tuple[str, ...]
    level: int

    def write(self, table: pa.Table) -> int:
        """Write rows, already in order, and return the size; nothing without rows."""
        return write_rows(self.place, self.path, table, self.order, level=self.level) if table.num_rows else 0


@dataclass(frozen=True)
class Held:
    """Files of a partition in the last generation.

    Attributes
    ----------
    place : Place
        Its catalogue.
    paths : tuple of str
        Oldest first.
    files : tuple of File
    """

    place: Place
    paths: tuple[str, ...]
    files: tuple[File, ...]

    def tables(self, start: int = 0) -> list[pa.Table]:
        """Return the rows of its files from one on."""
        return [self.place.table(path) for path in self.paths[start:]]


@dataclass(frozen=True)
class WritePartition:
    """Read a partition from the archive, write it, and spill what lies in the margins of others."""

    product: Product
    pixel: Pixel
    number: int
    target: Target
    edge: Edge | None

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        table = self.product.rows(session, context, self.pixel)
        size = self.target.write(table)
        spill_margins(table, self.number, self.edge)
        return Done("partition", self.number, table.num_rows, size)


@dataclass(frozen=True)
class ExtendPartition:
    """Add the rows that are new since the last export to a partition; files that are not much larger are taken up.

    Attributes
    ----------
    only : ndarray of int64, shape (n_part,)
        What the rows come from.
    held : Held
    edge : Edge or None
        Margins that get the added rows.
    whole : Edge or None
        Margins that are written anew.
    """

    product: Product
    pixel: Pixel
    number: int
    only: IntArray
    held: Held
    target: Target
    edge: Edge | None
    whole: Edge | None

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        added = self.product.rows(session, context, self.pixel, self.only)
        spill_margins(added, self.number, self.edge)
        if self.whole is not None:
            spill_margins(pa.concat_tables([*self.held.tables(), added]), self.number, self.whole)
        return add_rows("partition", self.number, added, self.held, self.target)


@dataclass(frozen=True)
class RereadPartition:
    """Spill the margins of others from a partition that is written already and stays as it is."""

    number: int
    held: Held
    edge: Edge

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        spill_margins(pa.concat_tables(self.held.tables()), self.number, self.edge)
        return Done("partition", self.number, 0, 0, len(self.held.files))


@dataclass(frozen=True)
class WriteMargin:
    """Put the margin of a partition together from what others have spilled, and from its files if it is extended."""

    number: int
    held: Held
    target: Target
    spill: Place

    def run(self, session: Session, context: Context) -> Done:
        """Do it."""
        tables = []
        for path in self.spill.files(str(self.number)):
            if path.endswith(".arrow"):
                with self.spill.open(path) as source:
                    tables.append(pa.ipc.open_file(source).read_all())
        if not tables:
            return Done("margin", self.number, 0, 0, len(self.held.files))
        return add_rows("margin", self.number, pa.concat_tables(tables), self.held, self.target)


def add_rows(stage: str, number: int, added: pa.Table, held: Held, target: Target) -> Done:
    """Write rows beside the files that are held, or together with the youngest of them."""
    if not added.num_rows:
        return Done(stage, number, 0, 0, len(held.files))
    staying = n_staying(held.files, added.num_rows)
    table = pa.concat_tables([*held.tables(staying), added])
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in target.order])
    table = table.take(order).combine_chunks()
    return Done(stage, number, table.num_rows, target.write(table), staying)


def spill_margins(table: pa.Table, number: int, edge: Edge | None) -> None:
    """Write the rows that lie in the margins of other partitions, a file for each of these."""
    if edge is None:
        return
    cell = np.asarray(table[HEALPIX_COLUMN]) >> edge.shift
    for other in np.unique(edge.margin_of).tolist():
        wanted = edge.cell[edge.margin_of == other]
        at = np.minimum(np.searchsorted(wanted, cell), len(wanted) - 1)
        rows = np.flatnonzero(wanted[at] == cell)
        if len(rows):
            _spill(table.take(pa.array(rows)), edge.spill, f"{other}/{number}.arrow")


def _spill(rows: pa.Table, place: Place, path: str) -> None:
    def write(waiting: Path) -> None:
        with pa.OSFile(str(waiting), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)

    place.make(path, write)
