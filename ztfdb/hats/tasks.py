"""The tasks of an export, each run by one process; its file is published when it is complete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ztfdb.arrays import IntArray
from ztfdb.hats.contents import Contents, merged
from ztfdb.hats.context import Context
from ztfdb.hats.fields import HEALPIX_COLUMN
from ztfdb.hats.layout import File, n_staying
from ztfdb.hats.parquet import write_rows
from ztfdb.hats.places import Place
from ztfdb.hats.products import Product
from ztfdb.hats.tiling import Pixel
from ztfdb.store.backends import AnySession


@dataclass(frozen=True)
class Done:
    """Result of a task.

    Attributes
    ----------
    stage : str
        ``partition`` or ``margin``.
    number : int
        Index of the partition in its catalogue.
    n_row, size : int
        Rows and bytes of its new file; without rows there is no file.
    staying : int
        Number of older files of the partition that stay.
    spilled : int
        Bytes of its file of rows for margins.
    """

    stage: str
    number: int
    n_row: int
    size: int
    staying: int = 0
    spilled: int = 0

    def files(self, generation: int, before: Sequence[File]) -> tuple[File, ...]:
        """Return the current files of the partition."""
        new = (File(generation, self.n_row, self.size),) if self.n_row else ()
        return (*before[: self.staying], *new)


class Task(Protocol):
    """A task that reads the archive."""

    def run(self, session: AnySession, context: Context) -> Any:
        """Run the task."""


@dataclass(frozen=True)
class CountRows:
    """Count the rows of slices of the sky.

    Attributes
    ----------
    product : Product
    slices : sequence of pairs of int
        From `Product.slices`.
    known : ndarray of int64 or None
        See `Product.count`.
    """

    product: Product
    slices: Sequence[tuple[int, int]]
    known: IntArray | None

    def run(self, session: AnySession, context: Context) -> Contents:
        """Do it."""
        return merged(self.product.count(session, context, lo, hi, self.known) for lo, hi in self.slices)


@dataclass(frozen=True)
class Edge:
    """The cells of a partition that lie in the margins of others.

    Attributes
    ----------
    shift : int
        Right shift from order-29 cells to these.
    cell, margin_of : ndarray of int64, shape (n,)
        Cells, ascending, and the partition whose margin each is in.
    spill : Place
        Folder for the rows, with a file per partition; see `spill_margins`.
    """

    shift: int
    cell: IntArray
    margin_of: IntArray
    spill: Place

    def only(self, numbers: set[int]) -> Edge | None:
        """Return the part in the margins of some partitions, None if it is empty."""
        wanted = np.isin(self.margin_of, list(numbers))
        return Edge(self.shift, self.cell[wanted], self.margin_of[wanted], self.spill) if wanted.any() else None


@dataclass(frozen=True)
class Target:
    """Target file of a partition.

    Attributes
    ----------
    place : Place
        The catalogue.
    path : str
        Path of the new file.
    order : tuple of str
        Columns that rows are sorted by.
    level : int
        zstd level.
    """

    place: Place
    path: str
    order: tuple[str, ...]
    level: int

    def write(self, table: pa.Table) -> int:
        """Write sorted rows and return the size; write nothing without rows."""
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
        """Return the rows of its files from index `start` on."""
        return [self.place.table(path) for path in self.paths[start:]]


@dataclass(frozen=True)
class WritePartition:
    """Read a partition from the archive, write it, and spill its rows in the margins of others."""

    product: Product
    pixel: Pixel
    number: int
    target: Target
    edge: Edge | None

    def run(self, session: AnySession, context: Context) -> Done:
        """Do it."""
        table = self.product.rows(session, context, self.pixel)
        size = self.target.write(table)
        spilled = spill_margins(self.number, (table, self.edge))
        return Done("partition", self.number, table.num_rows, size, spilled=spilled)


@dataclass(frozen=True)
class ExtendPartition:
    """Add the new rows since the last export to a partition; the new file absorbs files that are not much larger.

    Attributes
    ----------
    only : ndarray of int64, shape (n_part,)
        Parts of the new rows.
    held : Held
    edge : Edge or None
        Margins that get the added rows.
    whole : Edge or None
        Margins that are rewritten.
    """

    product: Product
    pixel: Pixel
    number: int
    only: IntArray
    held: Held
    target: Target
    edge: Edge | None
    whole: Edge | None

    def run(self, session: AnySession, context: Context) -> Done:
        """Do it."""
        added = self.product.rows(session, context, self.pixel, self.only)
        table = added if self.whole is None else pa.concat_tables([*self.held.tables(), added])
        spilled = spill_margins(self.number, (added, self.edge), (table, self.whole))
        return replace(add_rows("partition", self.number, added, self.held, self.target), spilled=spilled)


@dataclass(frozen=True)
class RereadPartition:
    """Spill the margins of others from an existing partition that does not change."""

    number: int
    held: Held
    edge: Edge

    def run(self, session: AnySession, context: Context) -> Done:
        """Do it."""
        spilled = spill_margins(self.number, (pa.concat_tables(self.held.tables()), self.edge))
        return Done("partition", self.number, 0, 0, len(self.held.files), spilled)


@dataclass(frozen=True)
class WriteMargin:
    """Write the margin of a partition from rows spilled by others, and from its files if it is extended.

    Attributes
    ----------
    sources : sequence of int
        The partitions that may have spilled rows.
    """

    number: int
    held: Held
    target: Target
    spill: Place
    sources: Sequence[int]

    def run(self, session: AnySession, context: Context) -> Done:
        """Do it."""
        found = (spilled(self.spill, source, self.number) for source in self.sources)
        tables = [table for table in found if table is not None]
        if not tables:
            return Done("margin", self.number, 0, 0, len(self.held.files))
        return add_rows("margin", self.number, pa.concat_tables(tables), self.held, self.target)


def add_rows(stage: str, number: int, added: pa.Table, held: Held, target: Target) -> Done:
    """Write rows into a new file, merged with the youngest existing files if these are not much larger."""
    if not added.num_rows:
        return Done(stage, number, 0, 0, len(held.files))
    staying = n_staying(held.files, added.num_rows)
    table = pa.concat_tables([*held.tables(staying), added])
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in target.order])
    table = table.take(order).combine_chunks()
    return Done(stage, number, table.num_rows, target.write(table), staying)


MARGINS = b"margins"
"""Key in the metadata of a file of spilled rows: the partition of each record batch."""


def spill_margins(number: int, *rows: tuple[pa.Table, Edge | None]) -> int:
    """Write rows of a partition that are in the margins of others into one file, with a record batch per margin.

    Return its size; without such rows there is no file. It is synced to disk, and few files are faster than many: each
    takes 10 ms, and 4 ms to remove.

    Parameters
    ----------
    number : int
        The partition.
    *rows : pairs of Table and Edge or None
        Rows with one schema, and the margins that get some of them; no margin is in two.
    """
    batches: dict[int, pa.RecordBatch] = {}
    for table, edge in rows:
        if edge is not None:
            batches |= _by_margin(table, edge)
            spill = edge.spill
    if not batches:
        return 0
    schema = next(iter(batches.values())).schema
    schema = schema.with_metadata({**(schema.metadata or {}), MARGINS: json.dumps(list(batches)).encode()})

    def write(waiting: Path) -> None:
        with pa.OSFile(str(waiting), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches.values():
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))

    return spill.make(f"{number}.arrow", write)


def _by_margin(table: pa.Table, edge: Edge) -> dict[int, pa.RecordBatch]:
    """Return the rows in the margin of each partition that has some."""
    cell, found = np.asarray(table[HEALPIX_COLUMN]) >> edge.shift, {}
    for other in np.unique(edge.margin_of).tolist():
        wanted = edge.cell[edge.margin_of == other]
        at = np.minimum(np.searchsorted(wanted, cell), len(wanted) - 1)
        rows = np.flatnonzero(wanted[at] == cell)
        if len(rows):
            (found[other],) = table.take(pa.array(rows)).combine_chunks().to_batches()
    return found


def spilled(spill: Place, source: int, number: int) -> pa.Table | None:
    """Return the rows of partition `source` in the margin of partition `number`, None if there are none."""
    try:
        with spill.open(f"{source}.arrow") as file:
            found = pa.ipc.open_file(file)
            metadata = dict(found.schema.metadata)
            margins = json.loads(metadata.pop(MARGINS))
            if number not in margins:
                return None
            table = pa.Table.from_batches([found.get_batch(margins.index(number))])
            return table.replace_schema_metadata(metadata or None)
    except FileNotFoundError:
        return None
