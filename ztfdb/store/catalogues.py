"""Reference catalogues: what is held, rows in bulk, rows by cell and by id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Index, Row, Table, delete, exists, func, insert, select, text, update
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, IntArray
from ztfdb.errors import StoreError, UnknownCatalogueError
from ztfdb.schema import Base, Calibration, Catalogue, CatalogueCell, CatalogueFile, ImageCell, ImageMatch, SourceMatch
from ztfdb.schema.catalogue import ONE_ENGINE_INDEXES
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.footprint import CELL_DIVISOR, FOOTPRINT_ORDER
from ztfdb.store.backends import backend
from ztfdb.store.columns import MISSING_INT32, table_dtypes
from ztfdb.surveys.registered import MOTION, Motion, RegisteredCatalogue, open_registered

KINDS = {"ps1": ("ps1", "ps1_id"), "gaia": ("gaia", "gaia_id"), "reference": ("reference_source", "reference_id")}
"""Table and id column by kind of catalogue."""

LIGHT_CURVES = "irsa"
"""Kind and name of ZTF's own light curves, which are read in place and with which nothing is matched."""

MODES = ("nearest", "mutual", "all")
"""How sources are matched: with the nearest row, with the row they are nearest to in turn, with all of them."""

DEFAULT_MODE, DEFAULT_RADIUS = "nearest", 1.0

CELL_AREA = 41252.96124941928 / (12 * 4**FOOTPRINT_ORDER)
"""Area of a cell, deg²: the sphere shared out."""

LOCK_WAIT_S = 1.0
"""How long an import waits for the others who use its table."""

_CATALOGUE_LOCK = -3  # image ids, the other keys of `lock_name`, are never negative


@dataclass(frozen=True)
class CatalogueInfo:
    """One held catalogue.

    Attributes
    ----------
    catalogue_id : int
    name, kind : str
        ``ps1`` and ``gaia`` are their own kind, all others ``reference``.
    n_row : int
    n_moving : int
        Rows with an epoch and a proper motion.
    max_pm : float
        Largest proper motion, mas / yr.
    min_epoch, max_epoch : float or None
        Epochs of the moving rows, Julian years.
    match_mode : str
        One of `MODES`.
    match_radius : float
        arcsec.
    location : str or None
        Of a HATS catalogue that is read in place; None where the archive holds the rows.
    reading : dict or None
        Of such a catalogue ``columns`` and ``epoch``, see `ztfdb.surveys.registered.RegisteredCatalogue`, and ``area``.
    """

    catalogue_id: int
    name: str
    kind: str
    n_row: int
    n_moving: int
    max_pm: float
    min_epoch: float | None
    max_epoch: float | None
    match_mode: str
    match_radius: float
    location: str | None = None
    reading: dict[str, Any] | None = None

    @property
    def table(self) -> Table:
        """The table its rows are in."""
        return Base.metadata.tables[KINDS.get(self.kind, KINDS["reference"])[0]]

    @property
    def id_column(self) -> str:
        """The column of its rows' ids."""
        return KINDS.get(self.kind, KINDS["reference"])[1]

    def opened(self) -> RegisteredCatalogue:
        """Open the HATS catalogue at `location`."""
        assert self.location is not None
        reading = self.reading or {}
        return open_registered(self.location, self.kind, reading.get("columns"), reading.get("epoch"))


@dataclass(frozen=True)
class HeldFile:
    """One imported file: see `ztfdb.schema.CatalogueFile`."""

    catalogue_file_id: int
    path: str
    size: int
    sha256: str
    format: str
    layout: str
    n_row: int
    n_known: int
    n_bad: int
    imported: str


@dataclass
class Growth:
    """What an import adds up while its rows go in: rows per cell, and how fast the fastest moves.

    Attributes
    ----------
    n_row, n_known : int
        Rows added, and rows left out because their ids were held.
    cells : dict of int
        Rows added by order-9 cell.
    checked : bool
        Whether ids are looked up before rows are written: off until a file shows a duplicate.
    keyless : bool
        Whether the table has no key while it is filled, see `indexed_afterwards`.
    """

    n_row: int = 0
    n_known: int = 0
    n_moving: int = 0
    max_pm: float = 0.0
    epochs: tuple[float, float] = (np.inf, -np.inf)
    cells: dict[int, int] = field(default_factory=dict)
    checked: bool = False
    keyless: bool = False


def held_catalogues(session: Session) -> list[CatalogueInfo]:
    """Return the held catalogues, ordered by name."""
    rows = session.execute(select(Catalogue.__table__).order_by(Catalogue.name)).all()
    return [_info(row) for row in rows]


def find_catalogue(session: Session, name: str) -> CatalogueInfo | None:
    """Return a catalogue by name, None if it is not held."""
    row = session.execute(select(Catalogue.__table__).where(Catalogue.name == name)).one_or_none()
    return None if row is None else _info(row)


def get_catalogue(session: Session, name: str) -> CatalogueInfo:
    """Return a catalogue by name.

    Raises
    ------
    UnknownCatalogueError
        If it is not held; the message says which are.
    """
    found = find_catalogue(session, name)
    if found is None:
        held = ", ".join(info.name for info in held_catalogues(session)) or "none"
        raise UnknownCatalogueError(f"no catalogue {name!r} in this archive (held: {held})")
    return found


def make_catalogue(session: Session, name: str) -> CatalogueInfo:
    """Return a catalogue by name, made without rows where it is new; held until the transaction ends."""
    backend(session).lock_name(_CATALOGUE_LOCK)
    found = find_catalogue(session, name)
    if found is not None:
        return found
    row = {
        "name": name,
        "kind": name if name in (*KINDS, LIGHT_CURVES) and name != "reference" else "reference",
        "n_row": 0,
        "n_moving": 0,
        "max_pm": 0.0,
        "match_mode": DEFAULT_MODE,
        "match_radius": DEFAULT_RADIUS,
        "created": _now(),
    }
    session.execute(insert(Catalogue), row)
    return get_catalogue(session, name)


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
    """Note a HATS catalogue that is read in place, or that one has changed; None where nothing has.

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
        If the archive holds rows of a catalogue of this name.
    """
    catalogue = make_catalogue(session, name)
    if catalogue.location is None and catalogue.n_row:
        raise ValueError(f"{name} holds {catalogue.n_row:,} imported rows: remove it, or take another name")
    newest = catalogue_files(session, catalogue.catalogue_id)[-1:]
    same = catalogue.location == location and catalogue.reading == dict(reading)
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


def set_match(session: Session, catalogue_id: int, *, mode: str, radius: float) -> None:
    """Say how images are matched with a catalogue from now on."""
    values = {"match_mode": mode, "match_radius": float(radius)}
    session.execute(update(Catalogue).where(Catalogue.catalogue_id == catalogue_id).values(**values))


def find_file(session: Session, catalogue_id: int, sha256: str) -> HeldFile | None:
    """Return the import of a file of this content, None if there was none."""
    held = [f for f in catalogue_files(session, catalogue_id) if f.sha256 == sha256]
    return held[0] if held else None


def catalogue_files(session: Session, catalogue_id: int) -> list[HeldFile]:
    """Return a catalogue's imports, oldest first."""
    names = list(HeldFile.__dataclass_fields__)
    columns = [CatalogueFile.__table__.c[name] for name in names]
    statement = select(*columns).where(CatalogueFile.catalogue_id == catalogue_id)
    rows = session.execute(statement.order_by(CatalogueFile.catalogue_file_id))
    return [HeldFile(*row) for row in rows]


def coverage(session: Session, catalogue_id: int) -> float:
    """Return the sky covered by a catalogue, deg²: the order-9 cells (6.9 arcmin) with at least one row.

    Of a catalogue that is read in place it is the area of its partitions.
    """
    reading = session.execute(select(Catalogue.reading).where(Catalogue.catalogue_id == catalogue_id)).scalar()
    if reading is not None:
        return float(reading["area"])
    statement = select(func.count()).select_from(CatalogueCell).where(CatalogueCell.catalogue_id == catalogue_id)
    return float(session.execute(statement).scalar_one() * CELL_AREA)


def footprint_cells(session: Session, name: str | None = None) -> NDArray[np.int64]:
    """Return the order-9 cells that images touch, ascending; with a catalogue's name those where it has no rows."""
    touched = select(ImageCell.cell9).distinct()
    registered = None if name is None else find_catalogue(session, name)
    if registered is not None and registered.location is not None:
        cells = backend(session).read_columns(touched.order_by(ImageCell.cell9), {}, {"cell9": "i8"})["cell9"]
        return cells[~registered.opened().table.touches(cells * CELL_DIVISOR, (cells + 1) * CELL_DIVISOR)]
    if name is not None:
        held = (
            select(CatalogueCell.cell9)
            .join(Catalogue, Catalogue.catalogue_id == CatalogueCell.catalogue_id)
            .where(Catalogue.name == name, CatalogueCell.cell9 == ImageCell.cell9)
        )
        touched = touched.where(~held.exists())
    return backend(session).read_columns(touched.order_by(ImageCell.cell9), {}, {"cell9": "i8"})["cell9"]


def list_catalogues(session: Session) -> list[dict[str, Any]]:
    """Return what is held, a row per imported file, ordered by catalogue and import.

    Each has ``catalogue``, ``n_row`` and ``coverage_deg2`` of the whole catalogue, how images are matched with it, and
    ``file``, ``file_rows``, ``n_known``, ``n_bad``, ``layout``, ``imported`` of the file.
    """
    rows = []
    for info in held_catalogues(session):
        shared = {
            "catalogue": info.name,
            "n_row": info.n_row,
            "coverage_deg2": coverage(session, info.catalogue_id),
            "match_mode": info.match_mode,
            "match_radius": info.match_radius,
        }
        for file in catalogue_files(session, info.catalogue_id):
            own = {"file": file.path, "file_rows": file.n_row, "n_known": file.n_known, "n_bad": file.n_bad}
            rows.append({**shared, **own, "layout": file.layout, "imported": file.imported})
    return rows


def add_rows(
    session: Session,
    catalogue: CatalogueInfo,
    columns: Columns,
    growth: Growth,
    *,
    nulls: Mapping[str, BoolArray] | None = None,
    extra: Sequence[Mapping[str, Any] | None] | None = None,
) -> None:
    """Append rows whose ids are not held; the first of equal ids counts.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    columns : dict of ndarray, each of shape (n_row,)
        Columns of the catalogue's table, the id and ``hpx29`` among them; NaN is NULL.
    growth : Growth
        Grows with the rows that went in.
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
            growth.checked = True  # from here on it is cheaper to look first
    if growth.checked:
        keep = keep[~np.isin(ids[keep], _held_ids(session, catalogue, ids[keep]))]
        added = _write(session, catalogue, columns, keep, nulls, extra)
    growth.n_known += n_given - len(keep)
    _grow(growth, added)


@contextmanager
def indexed_afterwards(session: Session, catalogue: CatalogueInfo, growth: Growth) -> Iterator[None]:
    """Leave out the sky index and the key of an empty table while the block fills it; make them of all rows at the end.

    That takes half of the time of putting every row into them, and leaves nothing for VACUUM to do. All of it happens
    in the transaction: without its end they were never gone. Where the table holds rows, belongs to another role or is
    in use, it keeps them.

    Raises
    ------
    StoreError
        At the end, if an id came twice; see `ztfdb.store.backends.is_duplicate`.
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
            index.drop(session.connection())  # from here on nobody else sees or writes the table
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
    """File an import and bring the catalogue's own row and its cells up to date.

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
    row = {"catalogue_id": catalogue.catalogue_id, "imported": _now(), **counts, **facts}
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


def remove_catalogue(session: Session, catalogue: CatalogueInfo) -> int:
    """Delete a catalogue with its rows, matches and calibrations, and return how many rows it had."""
    backend(session).lock_name(_CATALOGUE_LOCK)
    own = catalogue.catalogue_id
    for child in (SourceMatch, Calibration, ImageMatch, CatalogueCell, CatalogueFile):
        session.execute(delete(child).where(child.catalogue_id == own))
    rows = delete(catalogue.table)
    if catalogue.table.name == "reference_source":
        rows = rows.where(catalogue.table.c.catalogue_id == own)
    n_row = int(session.execute(rows).rowcount)  # type: ignore[attr-defined]
    session.execute(delete(Catalogue).where(Catalogue.catalogue_id == own))
    return n_row


def positions_in_ranges(session: Session, catalogue: CatalogueInfo, lo: IntArray, hi: IntArray) -> Columns:
    """Return the rows of a catalogue inside ranges of cells, ordered by id; answered from the covering index.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of ``hpx29`` that do not overlap.

    Returns
    -------
    dict of ndarray
        ``reference_id``, ``ra``, ``dec``, and where rows of it move ``epoch`` (Julian year), ``pmra`` and ``pmdec``
        (mas / yr), NaN where NULL.
    """
    names = ["ra", "dec", *(MOTION if catalogue.n_moving else ())]
    if catalogue.location is not None:
        return catalogue.opened().rows(lo, hi, dict.fromkeys(names, np.dtype(np.float64)), MISSING_INT32)
    dtypes = {"reference_id": "i8", **dict.fromkeys(names, "f8")}
    backend(session).prefer_index_only()
    ranges, params = backend(session).range_rows(lo=lo, hi=hi)
    fields = ", ".join(f"c.{name}" for name in names)
    origin = _looked_up(session, catalogue, ranges, names, "c.hpx29 >= r.lo and c.hpx29 < r.hi")
    found = backend(session).read_bulk(
        f"select c.{catalogue.id_column} as reference_id, {fields} from {origin}", params, dtypes
    )
    order = np.argsort(found["reference_id"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def rows_by_id(
    session: Session,
    catalogue: CatalogueInfo,
    ids: IntArray,
    names: Sequence[str],
    *,
    near: tuple[NDArray[np.int64], float],
) -> Columns:
    """Return chosen columns of rows by id, ordered by id; unknown ids are left out.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    ids : ndarray of int64
        Each once or more often.
    names : sequence of str
        Numeric columns of the catalogue's table.
    near : tuple of (ndarray of int64, float)
        Order-29 cells of positions, and a radius (arcsec) within which of them all these rows lie. A catalogue that is
        read in place is searched there; rows that the archive holds are found by their ids alone.

    Returns
    -------
    dict of ndarray
        ``reference_id`` and `names`; NULL is NaN, in integer columns `MISSING_INT32`.

    Raises
    ------
    ValueError
        If a name is not a numeric column of the table.
    """
    if catalogue.location is not None:
        found = rows_in_ranges(session, catalogue, *cover_positions(*near), names)
        wanted = np.isin(found["reference_id"], ids)
        return {name: values[wanted] for name, values in found.items()}
    found = _select_rows(session, catalogue, names, f"c.{catalogue.id_column} = r.id", id=np.unique(ids))
    order = np.argsort(found["reference_id"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def rows_in_ranges(
    session: Session, catalogue: CatalogueInfo, lo: IntArray, hi: IntArray, names: Sequence[str]
) -> Columns:
    """Return chosen columns of the rows inside ranges of cells, ordered by id; as `rows_by_id`."""
    if catalogue.location is not None:
        known = _known_columns(catalogue, names)
        return catalogue.opened().rows(lo, hi, {name: known[name] for name in names}, MISSING_INT32)
    found = _select_rows(session, catalogue, names, "c.hpx29 >= r.lo and c.hpx29 < r.hi", lo=lo, hi=hi)
    order = np.argsort(found["reference_id"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def _select_rows(
    session: Session, catalogue: CatalogueInfo, names: Sequence[str], condition: str, **keys: IntArray
) -> Columns:
    known = _known_columns(catalogue, names)
    dtypes: dict[str, Any] = {"reference_id": "i8", **{name: known[name] for name in names}}
    nulls = {name: MISSING_INT32 for name in names if known[name].kind == "i" and catalogue.table.c[name].nullable}
    fields = "".join(f", c.{name}" for name in names)
    backend(session).prefer_index_only()
    rows, params = backend(session).range_rows(**keys)
    origin = _looked_up(session, catalogue, rows, names, condition)
    statement = f"select c.{catalogue.id_column} as reference_id{fields} from {origin}"
    return backend(session).read_bulk(statement, params, dtypes, nulls=nulls)


def _known_columns(catalogue: CatalogueInfo, names: Sequence[str]) -> dict[str, np.dtype[Any]]:
    known = table_dtypes(catalogue.table)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"not columns of {catalogue.name}: {', '.join(unknown)}; there are {', '.join(known)}")
    return known


def _looked_up(session: Session, catalogue: CatalogueInfo, rows: str, names: Sequence[str], condition: str) -> str:
    columns = list(dict.fromkeys([catalogue.id_column, *names]))
    condition = f"{condition} {_own_rows(catalogue)}"
    return backend(session).joined(rows, catalogue.table.name, columns, condition, alias="c")


def _own_rows(catalogue: CatalogueInfo) -> str:
    return f"and c.catalogue_id = {int(catalogue.catalogue_id)}" if catalogue.table.name == "reference_source" else ""


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
    """Return which of the ids are held."""
    backend(session).load_temporary("incoming_reference", {"id": ids.astype(np.int64)})
    statement = (
        f"select c.{catalogue.id_column} as id from incoming_reference as r "
        f"join {catalogue.table.name} as c on c.{catalogue.id_column} = r.id {_own_rows(catalogue)}"
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


def _info(row: Row[Any]) -> CatalogueInfo:
    return CatalogueInfo(**{name: getattr(row, name) for name in CatalogueInfo.__dataclass_fields__})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
