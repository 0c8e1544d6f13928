"""ZTF's own PSF catalogues; all rows of one are written and deleted together, by their range of ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, and_, delete, insert, select, update
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, Places
from ztfdb.errors import StoreError, TooManySourcesError
from ztfdb.ids import MAX_SOURCES, SOURCE_ID_SHIFT
from ztfdb.records import FileFacts, PsfCatalogueRecord
from ztfdb.schema import Base, DataRoot, Image, ImageHeader, PsfCatalogue, PsfCheck
from ztfdb.store import detection_rows
from ztfdb.store.columns import python_values
from ztfdb.store.detections import ZTF_PSF
from ztfdb.store.image_files import StoredFile, among_rows
from ztfdb.store.roots import FilePlace, absolute_path, place_file
from ztfdb.store.row_checksums import rows_checksum
from ztfdb.store.type_checks import N_WCS, array_of
from ztfdb.wcs import WcsParameters

_TABLE = Base.metadata.tables["psf_source"]
_CATALOGUE = Base.metadata.tables["psf_catalogue"]
_FROM_RECORD = tuple(f.name for f in dataclasses.fields(PsfCatalogueRecord) if f.name in _CATALOGUE.columns)

PSF_DTYPES = {name: dtype.str for name, dtype in ZTF_PSF.dtypes.items()}
"""All columns of a row, in the table's order."""


PSF_ROLES = ("psfcat", "refpsfcat")
"""Roles of files that are PSF catalogues: of a science image, of a reference."""


def store_psf(
    session: Session,
    image_id: int,
    record: PsfCatalogueRecord,
    *,
    magzp: float | None = None,
    places: Places = None,
    given: str | Path | None = None,
) -> int:
    """Store the catalogue of an image, replacing an existing one, and return its number of rows.

    Parameters
    ----------
    session : Session
        A writing one.
    image_id : int
    record : PsfCatalogueRecord
        Converted to that of this image; see `ztfdb.frame.psfcat.of_image`.
    magzp : float, optional
        Zero point of the image, for catalogues whose header has none.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    given : str or Path, optional
        The folder given to ingest, a candidate for a new data root.

    Raises
    ------
    TooManySourcesError
        If a ``sourceid`` is outside 0 … 2^18 - 1.
    StoreError
        If two rows have the same ``sourceid``.
    """
    image_id = int(image_id)
    if psf_catalogue(session, image_id) is not None:
        delete_psf(session, image_id)
    place = place_file(session, record.file.path, places=places, given=given)
    row = {name: getattr(record, name) for name in _FROM_RECORD}
    columns = _columns(image_id, record)
    row |= {
        "image_id": image_id,
        "row_checksum": rows_checksum(_TABLE, columns),
        "n_source": len(record.table),
        "magzp": magzp if record.magzp is None else record.magzp,
        "data_root_id": place.data_root_id,
        "path": place.path,
        **{name: getattr(record.file, name) for name in ("size", "mtime_ns", "sha256", "compression")},
    }
    session.execute(insert(PsfCatalogue), [python_values(row)])
    detection_rows.append_rows(session, ZTF_PSF, columns)
    return len(record.table)


def move_psf(session: Session, image_id: int, place: FilePlace, mtime_ns: int) -> None:
    """Point an image's catalogue to another place, which has the same content."""
    now = {"data_root_id": place.data_root_id, "path": place.path, "mtime_ns": mtime_ns}
    session.execute(update(PsfCatalogue).where(PsfCatalogue.image_id == int(image_id)).values(**now))


def delete_psf(session: Session, image_id: int) -> int:
    """Delete an image's catalogue with its rows, by their range of ids, and return the number of rows.

    The check against it is deleted, too.
    """
    session.execute(delete(PsfCheck).where(PsfCheck.image_id == int(image_id)))
    session.execute(delete(PsfCatalogue).where(PsfCatalogue.image_id == int(image_id)))
    return detection_rows.delete_rows(session, ZTF_PSF, image_id)


def find_psf(session: Session, image_id: int | Sequence[int], *, places: Places = None) -> list[StoredFile]:
    """Return the catalogues of one or several images, ordered by image; empty without any.

    Parameters
    ----------
    session : Session
    image_id : int or sequence of int
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    ids = [int(image_id)] if isinstance(image_id, int | np.integer) else [int(one) for one in image_id]
    return _find(session, PsfCatalogue.image_id.in_(ids), places=places)


def find_psf_named(
    session: Session,
    field: int,
    rcid: int,
    fid: int,
    image_id: Sequence[int] | None,
    *,
    places: Places = None,
) -> list[StoredFile]:
    """Return the catalogues of images of a field, quadrant and filter; with `image_id` None, of their reference."""
    whose = (PsfCatalogue.field == field, PsfCatalogue.rcid == rcid, PsfCatalogue.fid == fid)
    if image_id is None:
        return _find(session, *whose, PsfCatalogue.role == "refpsfcat", places=places)
    return _find(session, *whose, PsfCatalogue.image_id.in_(image_id), PsfCatalogue.role == "psfcat", places=places)


def find_psf_at(session: Session, candidates: Sequence[FilePlace]) -> list[StoredFile]:
    """Return the catalogues stored from the first of these places that has any, ordered by image."""
    for place in candidates:
        found = _find(session, PsfCatalogue.data_root_id == place.data_root_id, PsfCatalogue.path == place.path)
        if found:
            return found
    return []


def _find(session: Session, *conditions: Any, places: Places = None) -> list[StoredFile]:
    names = ("image_id", "role", "data_root_id", "path", "size", "mtime_ns", "sha256")
    statement = (
        select(
            *(_CATALOGUE.columns[name] for name in names),
            DataRoot.name.label("root_name"),
            DataRoot.path.label("root_path"),
        )
        .join(DataRoot, DataRoot.data_root_id == PsfCatalogue.data_root_id)
        .where(*conditions)
        .order_by(PsfCatalogue.image_id)
    )
    return [_stored(row, places or {}) for row in session.execute(statement)]


def psf_catalogue(session: Session, image_id: int) -> dict[str, Any] | None:
    """Return the row of ``psf_catalogue`` of an image; None if it has none."""
    row = session.execute(select(_CATALOGUE).where(PsfCatalogue.image_id == int(image_id))).one_or_none()
    return None if row is None else dict(row._mapping)


def images_of_psf(session: Session, record: PsfCatalogueRecord) -> list[tuple[Row[Any], WcsParameters]]:
    """Return the images that a catalogue may belong to (whole quadrant, cutouts), with their WCS, ordered by id.

    A science catalogue is matched by exposure, else by the time in its name; a reference's by field and filter.
    """
    same = [
        Image.field == record.field,
        Image.rcid == record.rcid,
        Image.fid == record.fid,
        Image.simulated == record.simulated,
    ]
    if record.role == "refpsfcat":
        same.append(Image.kind == "ref")
    else:
        same.append(Image.kind != "ref")
        if record.expid is not None:
            same.append(Image.expid == record.expid)
        else:
            same.append(Image.filefracday == record.filefracday)
    statement = (
        select(Image.__table__, ImageHeader.wcs_projection, ImageHeader.wcs)
        .join(ImageHeader, and_(ImageHeader.image_id == Image.image_id, ImageHeader.wcs.is_not(None)))
        .where(*same)
        .order_by(Image.image_id)
    )
    return [
        (row, WcsParameters.from_array(row.wcs_projection, array_of(row.wcs, "<f8", N_WCS)))
        for row in session.execute(statement)
    ]


def psf_catalogues_held(session: Session, among: Sequence[int] | None = None) -> list[int]:
    """Return the ids of images, or of those in `among`, with a catalogue; also of references that are not stored."""
    statement = select(PsfCatalogue.image_id).order_by(PsfCatalogue.image_id)
    statement, params = among_rows(session, statement, PsfCatalogue.image_id, among)
    return list(session.execute(statement, params).scalars())


def _columns(image_id: int, record: PsfCatalogueRecord) -> Columns:
    """Return the columns of a catalogue's rows; see `store_psf`."""
    table = record.table
    numbers = table.sourceid.astype(np.int64)
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= MAX_SOURCES):
        raise TooManySourcesError(
            f"the PSF catalogue of image {image_id} has sourceid {numbers.min()} to {numbers.max()}; "
            f"ids number 0 to {MAX_SOURCES - 1}"
        )
    if not (np.diff(np.sort(numbers)) > 0).all():
        raise StoreError(f"the PSF catalogue of image {image_id} has a sourceid twice")
    columns: Columns = {
        "source_id": (image_id << SOURCE_ID_SHIFT) + numbers,
        "image_id": np.full(len(numbers), image_id, np.int64),
        **{name: getattr(table, name) for name in PSF_DTYPES if name not in ("source_id", "image_id")},
    }
    return {name: _finite(values) for name, values in columns.items()}


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Replace infinite values by NaN, which is stored as NULL."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return values
    return np.where(np.isfinite(values), values, np.nan).astype(values.dtype)


def _stored(row: Any, places: Mapping[str, str | Path]) -> StoredFile:
    absolute = absolute_path(str(places.get(row.root_name, row.root_path)), row.path)
    facts = FileFacts(row.role, absolute, int(row.size), int(row.mtime_ns), row.sha256, 1, None, 8, 1.0, 0.0, "none")
    return StoredFile(int(row.image_id), FilePlace(row.data_root_id, row.path), absolute, facts)
