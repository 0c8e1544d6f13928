"""Import of reference catalogues: rows are appended, indexes are made afterwards, cells are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Index, Table, exists, insert, select, text, update
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, IntArray
from ztfdb.errors import StoreError
from ztfdb.schema import Catalogue, CatalogueFile
from ztfdb.schema.catalogue import ONE_ENGINE_INDEXES
from ztfdb.sky.footprint import CELL_DIVISOR
from ztfdb.store.backends import backend
from ztfdb.store.catalogue_rows import own_rows
from ztfdb.store.catalogues import CatalogueInfo, HeldFile, catalogue_files, make_catalogue, now_text
from ztfdb.surveys.registered import Motion

LOCK_WAIT_S = 1.0
"""How long an import waits for other users of its table."""


@dataclass
class Growth:
    """Totals of an import while its rows are appended: rows per cell, and the largest proper motion.

    Attributes
    ----------
    n_row, n_known : int
        Rows added, and rows left out because their ids existed already.
    cells : dict of int
        Rows added by order-9 cell.
    checked : bool
        Ids are checked before rows are appended. Off until a file contains a duplicate.
    keyless : bool
        The table has no key while it is filled, see `indexed_afterwards`.
    """

    n_row: int = 0
    n_known: int = 0
    n_moving: int = 0
    max_pm: float = 0.0
    epochs: tuple[float, float] = (np.inf, -np.inf)
    cells: dict[int, int] = field(default_factory=dict)
    checked: bool = False
    keyless: bool = False


def add_rows(
    session: Session,
    catalogue: CatalogueInfo,
    columns: Columns,
    growth: Growth,
    *,
    nulls: Mapping[str, BoolArray] | None = None,
    extra: Sequence[Mapping[str, Any] | None] | None = None,
) -> None:
    """Append rows with new ids; of equal ids the first counts.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    columns : dict of ndarray, each of shape (n_row,)
        Columns of the catalogue's table, including the id and ``hpx29``; NaN is NULL.
    growth : Growth
        Updated with the rows appended.
    nulls : mapping of str to ndarray of bool, optional
        NULL rows of integer columns.
    extra : sequence of dict, optional
        Column ``extra`` of ``reference_source``, plain JSON values.
    """
    ids = columns[catalogue.id_column]
    keep = np.sort(np.unique(ids, return_index=True)[1])
    n_given = len(ids)
    if growth.keyless:
        added = _write(session, catalogue, columns, keep, nulls, extra, frozen=True)
    elif not growth.checked:
        try:
            with session.begin_nested():
                added = _write(session, catalogue, columns, keep, nulls, extra)
        except StoreError as exc:
            if not backend(session).is_duplicate(exc):
                raise
            growth.checked = True  # from here on, checking first is cheaper
    if growth.checked:
        keep = keep[~np.isin(ids[keep], _held_ids(session, catalogue, ids[keep]))]
        added = _write(session, catalogue, columns, keep, nulls, extra)
    growth.n_known += n_given - len(keep)
    _grow(growth, added)


@contextmanager
def indexed_afterwards(session: Session, catalogue: CatalogueInfo, growth: Growth) -> Iterator[None]:
    """Drop the sky index and the key of an empty table while the block fills it; make both from all rows afterwards.

    This takes half of the time of updating them with every row, and leaves nothing for VACUUM. Everything is in one
    transaction: without its commit they were never dropped. A table that contains rows, belongs to another role or is
    in use keeps them.

    Raises
    ------
    StoreError
        At the end, if an id occurred twice; see `ztfdb.store.backends.base.Backend.is_duplicate`.
    """
    index = next(one for one in catalogue.table.indexes if one.name in ONE_ENGINE_INDEXES[backend(session).name])
    growth.keyless = _dropped(session, catalogue.table, index)
    yield
    if growth.keyless:
        backend(session).add_key(catalogue.table)
        index.create(session.connection())


def _dropped(session: Session, table: Table, index: Index) -> bool:
    if _holds_rows(session, table):
        return False
    try:
        with session.begin_nested() as stripping:
            backend(session).limit_lock_wait(LOCK_WAIT_S)
            index.drop(session.connection())  # locks the table: nobody else reads or writes it from here on
            if _holds_rows(session, table):
                stripping.rollback()
                return False
            backend(session).drop_key(table)
            backend(session).renew_table(table)
            backend(session).limit_lock_wait(None)
    except StoreError:
        return False
    return True


def _holds_rows(session: Session, table: Table) -> bool:
    return bool(session.execute(select(exists().select_from(table))).scalar_one())


def record_file(session: Session, catalogue: CatalogueInfo, growth: Growth, *, n_bad: int, **facts: Any) -> HeldFile:
    """Record an import, and update the catalogue's own row and its cells.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    growth : Growth
    n_bad : int
        Rows that could not be read.
    **facts
        ``path``, ``size``, ``sha256``, ``format``, ``layout``.
    """
    counts = {"n_row": growth.n_row, "n_known": growth.n_known, "n_bad": n_bad}
    row = {"catalogue_id": catalogue.catalogue_id, "imported": now_text(), **counts, **facts}
    file_id = session.execute(insert(CatalogueFile).returning(CatalogueFile.catalogue_file_id), row).scalar_one()
    _add_cells(session, catalogue.catalogue_id, file_id, growth.cells)
    epochs = [e for e in (catalogue.min_epoch, catalogue.max_epoch, *growth.epochs) if e is not None and np.isfinite(e)]
    session.execute(
        update(Catalogue)
        .where(Catalogue.catalogue_id == catalogue.catalogue_id)
        .values(
            n_row=Catalogue.n_row + growth.n_row,
            n_moving=Catalogue.n_moving + growth.n_moving,
            max_pm=max(catalogue.max_pm, growth.max_pm),
            min_epoch=min(epochs, default=None),
            max_epoch=max(epochs, default=None),
        )
    )
    return HeldFile(file_id, **{k: v for k, v in row.items() if k != "catalogue_id"})


def _write(
    session: Session,
    catalogue: CatalogueInfo,
    columns: Columns,
    keep: IntArray,
    nulls: Mapping[str, BoolArray] | None,
    extra: Sequence[Mapping[str, Any] | None] | None,
    *,
    frozen: bool = False,
) -> Columns:
    """Write the rows `keep` and return them."""
    whole = len(keep) == len(columns["hpx29"])
    kept = columns if whole else {name: values[keep] for name, values in columns.items()}
    kept_nulls = {name: null if whole else null[keep] for name, null in (nulls or {}).items()}
    if catalogue.table.name == "reference_source":
        kept = {"catalogue_id": np.full(len(keep), catalogue.catalogue_id), **kept}
    if extra is None:
        backend(session).copy_rows(catalogue.table, kept, kept_nulls, frozen=frozen)
    else:
        texts = [None if extra[k] is None else json.dumps(extra[k], allow_nan=False) for k in keep.tolist()]
        backend(session).copy_mixed_rows(catalogue.table, kept, kept_nulls, {"extra": texts})
    return kept


def _held_ids(session: Session, catalogue: CatalogueInfo, ids: IntArray) -> IntArray:
    """Return which of the ids exist already."""
    backend(session).load_temporary("incoming_reference", {"id": ids.astype(np.int64)})
    statement = (
        f"select c.{catalogue.id_column} as id from incoming_reference as r "
        f"join {catalogue.table.name} as c on c.{catalogue.id_column} = r.id {own_rows(catalogue)}"
    )
    return backend(session).read_bulk(statement, {}, {"id": "i8"})["id"]


def _grow(growth: Growth, added: Columns) -> None:
    growth.n_row += len(added["hpx29"])
    cells, counts = np.unique(added["hpx29"] // CELL_DIVISOR, return_counts=True)
    for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
        growth.cells[cell] = growth.cells.get(cell, 0) + count
    if "pmra" not in added or "epoch" not in added:
        return
    speed = np.hypot(added["pmra"], added["pmdec"])
    moving = np.isfinite(speed) & np.isfinite(added["epoch"])
    if moving.any():
        epochs = added["epoch"][moving]
        growth.n_moving += int(moving.sum())
        growth.max_pm = max(growth.max_pm, float(speed[moving].max()))
        growth.epochs = min(growth.epochs[0], float(epochs.min())), max(growth.epochs[1], float(epochs.max()))


def _add_cells(session: Session, catalogue_id: int, file_id: int, cells: Mapping[int, int]) -> None:
    counts = {
        "cell9": np.fromiter(cells.keys(), np.int64, len(cells)),
        "n_row": np.fromiter(cells.values(), np.int64, len(cells)),
    }
    backend(session).load_temporary("grown_cell", counts)
    ids = {"catalogue_id": catalogue_id, "file_id": file_id}
    session.execute(
        text(
            "update catalogue_cell set last_file_id = :file_id, n_row = n_row + "
            "(select g.n_row from grown_cell as g where g.cell9 = catalogue_cell.cell9) "
            "where catalogue_id = :catalogue_id and cell9 in (select g.cell9 from grown_cell as g)"
        ),
        ids,
    )
    session.execute(
        text(
            "insert into catalogue_cell (cell9, catalogue_id, n_row, last_file_id) "
            "select g.cell9, cast(:catalogue_id as bigint), g.n_row, cast(:file_id as bigint) from grown_cell as g "
            "where not exists (select 1 from catalogue_cell as c "
            "where c.cell9 = g.cell9 and c.catalogue_id = :catalogue_id)"
        ),
        ids,
    )


def register(
    session: Session,
    name: str,
    location: str,
    reading: Mapping[str, Any],
    motion: Motion,
    *,
    n_row: int,
    **facts: Any,
) -> HeldFile | None:
    """Record a HATS catalogue that is read in place, or its change; return None if nothing has changed.

    Parameters
    ----------
    session : Session
    name, location : str
    reading : mapping
        See `CatalogueInfo`.
    motion : Motion
    n_row : int
    **facts
        ``size``, ``sha256`` and ``layout``, as for `record_file`.

    Raises
    ------
    ValueError
        If the archive contains imported rows of a catalogue of this name.
    """
    catalogue = make_catalogue(session, name)
    if catalogue.location is None and catalogue.n_row:
        raise ValueError(f"{name} has {catalogue.n_row:,} imported rows: remove it, or use another name")
    newest = catalogue_files(session, catalogue.catalogue_id)[-1:]
    held = {"digest": facts["sha256"], **(catalogue.reading or {})}  # earlier versions did not keep it
    same = catalogue.location == location and held == dict(reading)
    if newest and same and newest[0].sha256 == facts["sha256"]:
        return None
    done = record_file(session, catalogue, Growth(), n_bad=0, path=f"hats:{location}", format="hats", **facts)
    epochs = motion.epochs or (None, None)
    session.execute(
        update(Catalogue)
        .where(Catalogue.catalogue_id == catalogue.catalogue_id)
        .values(
            location=location,
            reading=dict(reading),
            n_row=n_row,
            n_moving=motion.n_moving,
            max_pm=motion.max_pm,
            min_epoch=epochs[0],
            max_epoch=epochs[1],
        )
    )
    return done
