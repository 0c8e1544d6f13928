"""Reference catalogues of the archive: their names and kinds, their files, the part of the sky that they cover."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, Table, delete, func, insert, select, update
from sqlalchemy.orm import Session

from ztfdb.errors import UnknownCatalogueError
from ztfdb.schema import Base, Calibration, Catalogue, CatalogueCell, CatalogueFile, ImageCell, ImageMatch, SourceMatch
from ztfdb.sky.cells import cell_area
from ztfdb.sky.footprint import CELL_DIVISOR, FOOTPRINT_ORDER
from ztfdb.store.backends import backend
from ztfdb.surveys.registered import RegisteredCatalogue, open_registered

KINDS = {"ps1": ("ps1", "ps1_id"), "gaia": ("gaia", "gaia_id"), "reference": ("reference_source", "reference_id")}
"""Table and id column by kind of catalogue."""

LIGHT_CURVES = "irsa"
"""Kind and name of ZTF's own light curves, which are read in place and never matched."""

DEFAULT_MODE, DEFAULT_RADIUS = "nearest", 1.0

_CATALOGUE_LOCK = -3  # never an image id: those, the other keys of `lock_name`, are not negative


@dataclass(frozen=True)
class CatalogueInfo:
    """A reference catalogue of the archive.

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
        One of `ztfdb.codes.MATCH_MODES`.
    match_radius : float
        arcsec.
    location : str or None
        Of a HATS catalogue that is read in place; None for imported rows.
    reading : dict or None
        For such a catalogue ``columns`` and ``epoch``, see `ztfdb.surveys.registered.RegisteredCatalogue`, its
        ``area``, and its ``digest`` when it was added.
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
        """The table of its rows."""
        return Base.metadata.tables[KINDS.get(self.kind, KINDS["reference"])[0]]

    @property
    def id_column(self) -> str:
        """The id column of that table."""
        return KINDS.get(self.kind, KINDS["reference"])[1]

    def opened(self) -> RegisteredCatalogue:
        """Open the HATS catalogue at `location`."""
        assert self.location is not None
        reading = self.reading or {}
        columns, epoch, digest = (reading.get(name) for name in ("columns", "epoch", "digest"))
        return open_registered(self.location, self.kind, columns, epoch, digest)


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


_TABLE = Base.metadata.tables["catalogue"]
_ALL = select(_TABLE).order_by(_TABLE.c.name)
"""Built once, because building a statement takes longer than running it, and it runs for every image."""


def held_catalogues(session: Session) -> list[CatalogueInfo]:
    """Return the catalogues of the archive, ordered by name."""
    return [_info(row) for row in session.execute(_ALL).all()]


def find_catalogue(session: Session, name: str) -> CatalogueInfo | None:
    """Return a catalogue by name, None if it is not in the archive."""
    row = session.execute(select(Catalogue.__table__).where(Catalogue.name == name)).one_or_none()
    return None if row is None else _info(row)


def get_catalogue(session: Session, name: str) -> CatalogueInfo:
    """Return a catalogue by name.

    Raises
    ------
    UnknownCatalogueError
        If it is not in the archive; the message lists those that are.
    """
    found = find_catalogue(session, name)
    if found is None:
        held = ", ".join(info.name for info in held_catalogues(session)) or "none"
        there = f"no catalogue {name!r} in this archive (it has: {held})"
        raise UnknownCatalogueError(f"{there}; `ztfdb catalog import` adds one")
    return found


def make_catalogue(session: Session, name: str) -> CatalogueInfo:
    """Return a catalogue by name, created without rows if it is new; its lock is held until the transaction ends."""
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
        "created": now_text(),
    }
    session.execute(insert(Catalogue), row)
    return get_catalogue(session, name)


def set_match(session: Session, catalogue_id: int, *, mode: str, radius: float) -> None:
    """Set how images are matched with a catalogue."""
    values = {"match_mode": mode, "match_radius": float(radius)}
    session.execute(update(Catalogue).where(Catalogue.catalogue_id == catalogue_id).values(**values))


def find_file(session: Session, catalogue_id: int, sha256: str) -> HeldFile | None:
    """Return the import of a file with this content, None if there was none."""
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

    For a catalogue that is read in place it is the area of its partitions.
    """
    reading = session.execute(select(Catalogue.reading).where(Catalogue.catalogue_id == catalogue_id)).scalar()
    if reading is not None:
        return float(reading["area"])
    statement = select(func.count()).select_from(CatalogueCell).where(CatalogueCell.catalogue_id == catalogue_id)
    return float(session.execute(statement).scalar_one() * cell_area(FOOTPRINT_ORDER))


def footprint_cells(session: Session, name: str | None = None) -> NDArray[np.int64]:
    """Return the order-9 cells that images touch, ascending; with a catalogue's name, only those without its rows."""
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
    """Return one row per imported file, ordered by catalogue and import.

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


def _info(row: Row[Any]) -> CatalogueInfo:
    return CatalogueInfo(**{name: getattr(row, name) for name in CatalogueInfo.__dataclass_fields__})


def now_text() -> str:
    """Return the current time as stored with catalogues: ISO, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
