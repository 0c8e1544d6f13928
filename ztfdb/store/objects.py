"""Rows of objects in bulk, the detections that they are made of, and the state of the images in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import Engine, Table, delete, func, insert, select, text
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.ids import source_id_range
from ztfdb.schema import (
    Base,
    CatalogueFile,
    Image,
    ImageCell,
    ImageFile,
    Object,
    ObjectAlias,
    ObjectCurve,
    ObjectFilter,
    ObjectImage,
    ObjectSource,
    ObjectState,
)
from ztfdb.store.backends import backend, engine_class
from ztfdb.store.columns import MISSING, python_ints, table_dtypes
from ztfdb.store.select import rows

DETECTION_COLUMNS = ("source_id", "hpx29", "ra", "dec", "flux_aper4", "flux_aper4_err", "flags", "mask_bits")
"""Columns of a source that joining reads; the covering index has all of them."""

MEMBER_DTYPES = table_dtypes("object_source")
FILTER_DTYPES = table_dtypes("object_filter")

_LOCK = 0x0B1EC7
_OF_OBJECTS = (ObjectFilter, ObjectCurve, Object)


def lock_objects(session: Session) -> None:
    """Lock changes of objects until this transaction ends; waits for other transactions that have the lock."""
    backend(session).lock_name(_LOCK)


def settle_objects(engine: Engine) -> None:
    """Prepare the tables for updates after writing all of their rows; call it outside of transactions."""
    for written in (ObjectSource, *_OF_OBJECTS):
        engine_class(engine).settle_table(engine, Base.metadata.tables[written.__tablename__])


def image_fingerprints(session: Session) -> dict[int, int]:
    """Return a number per image (without references) that changes if its sources or their meaning may have changed.

    It hashes the checksums of the image's files, its configuration and the columns that objects use.
    """
    files: dict[int, list[str]] = {}
    own = select(ImageFile.image_id, ImageFile.sha256).order_by(ImageFile.image_id, ImageFile.role)
    for image_id, sha256 in session.execute(own.where(ImageFile.role.in_(("sci", "msk")))):
        files.setdefault(image_id, []).append(sha256)
    names = (
        "config_id", "n_source", "infobits", "obsmjd", "fid", "magzp", "apcor4", "expid", "rcid", "procvsn", "created",
    )  # fmt: skip
    statement = select(Image.image_id, *(getattr(Image, name) for name in names)).where(Image.kind != "ref")
    return {row[0]: _fingerprint([*row[1:], *files.get(row[0], ())]) for row in session.execute(statement)}


def _fingerprint(facts: list[Any]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest()) >> 1


def joined_images(session: Session) -> dict[int, int]:
    """Return the images whose sources are in the objects, with their fingerprints at that time."""
    return {row[0]: row[1] for row in session.execute(select(ObjectImage.image_id, ObjectImage.fingerprint))}


def joined_among(session: Session, image_id: IntArray) -> IntArray:
    """Return those of some images whose sources are in the objects, ascending; `image_id` must not repeat."""
    return rows(session, "object_image", ("image_id",), ids=image_id)["image_id"]


def record_images(session: Session, fingerprints: Mapping[int, int]) -> None:
    """Record that images are in the objects."""
    if fingerprints:
        rows = [{"image_id": image_id, "fingerprint": value} for image_id, value in fingerprints.items()]
        session.execute(insert(ObjectImage), rows)


def forget_image(session: Session, image_id: int) -> IntArray:
    """Remove an image's sources from the members of objects, and return the objects that had them."""
    first, last = source_id_range(image_id)
    owners = select(ObjectSource.object_id).where(ObjectSource.source_id.between(first, last)).distinct()
    found = np.fromiter(session.execute(owners).scalars(), np.int64)
    session.execute(delete(ObjectSource).where(ObjectSource.source_id.between(first, last)))
    session.execute(delete(ObjectImage).where(ObjectImage.image_id == int(image_id)))
    return np.sort(found)


def same_exposure(session: Session, image_id: int) -> set[int]:
    """Return the other images of the same exposure × quadrant: its cutouts, or the whole quadrant."""
    own = session.execute(
        select(Image.expid, Image.rcid, Image.simulated).where(Image.image_id == int(image_id))
    ).one_or_none()
    if own is None or own.expid is None:
        return set()
    same = (Image.expid == own.expid, Image.rcid == own.rcid, Image.simulated == own.simulated)
    return set(session.execute(select(Image.image_id).where(*same)).scalars()) - {int(image_id)}


def read_state(session: Session) -> dict[str, int]:
    """Return the state stored by `write_state`."""
    return {row[0]: row[1] for row in session.execute(select(ObjectState.key, ObjectState.value))}


def write_state(session: Session, state: Mapping[str, int]) -> None:
    """Store what the objects were made with."""
    session.execute(delete(ObjectState))
    session.execute(insert(ObjectState), [{"key": key, "value": int(value)} for key, value in state.items()])


def import_fingerprint(session: Session, catalogue_id: int) -> int:
    """Return a number that changes with the files of a catalogue, also if it was removed and imported again.

    Ids of files are not enough, because SQLite reuses them.
    """
    files = (
        select(CatalogueFile.catalogue_file_id, CatalogueFile.sha256, CatalogueFile.imported)
        .where(CatalogueFile.catalogue_id == int(catalogue_id))
        .order_by(CatalogueFile.catalogue_file_id)
    )
    return _fingerprint([tuple(row) for row in session.execute(files)])


def count_sources(session: Session) -> dict[int, int]:
    """Return the number of sources of each image except references."""
    statement = select(Image.image_id, Image.n_source).where(Image.kind != "ref")
    return {row[0]: row[1] for row in session.execute(statement)}


def covered_cells(session: Session, divisor: int) -> IntArray:
    """Return the cells (``cell9`` divided by `divisor`) that images touch, ascending."""
    statement = select(ImageCell.cell9).distinct()
    cells = np.fromiter(session.execute(statement).scalars(), np.int64)
    return np.unique(cells // divisor)


def detections_in_ranges(session: Session, lo: IntArray, hi: IntArray) -> Columns:
    """Return the sources (`DETECTION_COLUMNS`) inside ranges of cells, ordered by ``source_id``; from the index alone.

    Parameters
    ----------
    session : Session
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of ``hpx29`` that do not overlap.
    """
    return rows(session, "source", DETECTION_COLUMNS, lo=lo, hi=hi)


def detections_of_image(session: Session, image_id: int) -> Columns:
    """Return an image's sources (`DETECTION_COLUMNS`), ordered by ``source_id``."""
    return rows(session, "source", DETECTION_COLUMNS, image_id=image_id)


def largest_reach(session: Session) -> float:
    """Return the largest reach of an object, arcsec; 0 without objects."""
    return session.execute(select(func.max(Object.reach))).scalar_one() or 0.0


def objects_in_ranges(session: Session, lo: IntArray, hi: IntArray) -> Columns:
    """Return the objects whose ids (the cells of their first detections) lie in ranges, ordered by id."""
    return rows(session, "object", lo=lo, hi=hi, key="object_id")


def objects_by_id(session: Session, object_id: IntArray) -> Columns:
    """Return objects, ordered by id; unknown ids are left out."""
    return rows(session, "object", ids=object_id)


def object_ids(session: Session) -> IntArray:
    """Return the ids of all objects, ascending."""
    return rows(session, "object", ["object_id"])["object_id"]


def read_curves(session: Session, object_id: IntArray, fid: int) -> dict[int, bytes]:
    """Return the packed curves of objects in one filter; objects without one are left out."""
    found = rows(
        session, "object_curve", ["object_id", "points"], ids=object_id, where=f"object_curve.fid = {int(fid)}"
    )
    return dict(zip(found["object_id"].tolist(), found["points"].tolist(), strict=True))


def replace_curves(session: Session, fid: int, statistics: Columns, curves: list[bytes]) -> None:
    """Replace statistics (columns of ``object_filter``) and curves of objects in one filter."""
    for table in ("object_filter", "object_curve"):
        _delete_rows(session, table, statistics["object_id"], f"and fid = {int(fid)}")
    add_curves(session, statistics, curves)


def add_curves(session: Session, statistics: Columns, curves: list[bytes]) -> None:
    """Append rows of ``object_filter`` and of ``object_curve``."""
    _copy(session, ObjectFilter, statistics)
    keys = {"object_id": statistics["object_id"], "fid": statistics["fid"]}
    backend(session).copy_blobs(_table(ObjectCurve), keys, "points", curves)


def add_objects(session: Session, objects: Columns) -> None:
    """Append objects; a ``ps1_id`` of `MISSING` is stored as NULL."""
    _copy(session, Object, objects, {"ps1_id": objects["ps1_id"] == MISSING})


def add_members(session: Session, members: Columns) -> None:
    """Append rows of ``object_source``."""
    _copy(session, ObjectSource, members)


def replace_objects(session: Session, objects: Columns) -> None:
    """Replace the objects with the same ids; their members and curves stay."""
    _delete_rows(session, "object", objects["object_id"])
    add_objects(session, objects)


def delete_objects(session: Session, object_id: IntArray) -> None:
    """Delete objects with their curves; `replace_members` deletes their members."""
    for table in _OF_OBJECTS:
        _delete_rows(session, table.__tablename__, object_id)


def members_of(session: Session, object_id: IntArray) -> Columns:
    """Return the rows of ``object_source`` of some objects, ordered by ``source_id``."""
    return rows(session, "object_source", ids=object_id, key="object_id")


def replace_members(session: Session, old: Columns, new: Columns) -> None:
    """Replace rows of ``object_source``; unchanged rows are not touched.

    Parameters
    ----------
    session : Session
    old : dict of ndarray
        The rows read by `members_of`.
    new : dict of ndarray
        The same columns; ``source_id`` without repeats.
    """
    _, i, j = np.intersect1d(old["source_id"], new["source_id"], assume_unique=True, return_indices=True)
    same = np.logical_and.reduce([old[name][i] == new[name][j] for name in MEMBER_DTYPES])
    gone, fresh = np.ones(len(old["source_id"]), bool), np.ones(len(new["source_id"]), bool)
    gone[i[same]] = fresh[j[same]] = False
    _delete_rows(session, "object_source", old["source_id"][gone], key="source_id")
    add_members(session, {name: values[fresh] for name, values in new.items()})


def clear_objects(session: Session) -> None:
    """Delete all objects and the state of their images; aliases stay."""
    for table in (ObjectSource, *_OF_OBJECTS, ObjectImage, ObjectState):
        session.execute(delete(table))


def move_aliases(session: Session, old: IntArray, new: IntArray) -> None:
    """Make former ids of objects aliases of the objects `new`, together with the aliases of the former ids.

    Parameters
    ----------
    session : Session
    old, new : ndarray of int64, shape (n_id,)
        None of `new` is in `old`.
    """
    pairs = [{"old": a, "new": b} for a, b in zip(python_ints(old), python_ints(new), strict=True)]
    if pairs:
        session.execute(text("update object_alias set object_id = :new where object_id = :old"), pairs)
        session.execute(text("delete from object_alias where alias_id = :old"), pairs)
        session.execute(insert(ObjectAlias), [{"alias_id": pair["old"], "object_id": pair["new"]} for pair in pairs])


def drop_aliases(session: Session, object_id: IntArray) -> None:
    """Delete the aliases that are ids of objects (again)."""
    _delete_rows(session, "object_alias", object_id, key="alias_id")


def drop_aliases_to(session: Session, object_id: IntArray) -> None:
    """Delete the aliases of objects that no longer exist."""
    _delete_rows(session, "object_alias", object_id)


def find_object_id(session: Session, object_id: int) -> int | None:
    """Return the id of the object with an id or alias; None if there is none."""
    if session.get(Object, int(object_id)) is not None:
        return int(object_id)
    alias = session.get(ObjectAlias, int(object_id))
    return None if alias is None else alias.object_id


def object_summary(session: Session, object_id: int) -> Columns:
    """Return the rows of view ``object_summary`` of one object, one per filter, ordered by filter; NULL is NaN."""
    dtypes: dict[str, Any] = {"object_id": "i8", "ra": "f8", "dec": "f8", "crowded": "i8", "ps1_id": "i8"}
    dtypes |= {"ps1_separation": "f8", "filtercode": "O", "n": "i8"}
    dtypes |= {name: "f8" for name, dtype in FILTER_DTYPES.items() if dtype.kind == "f"}
    dtypes |= {"number": "i8", "oid": "i8"}
    statement = f"select {', '.join(dtypes)} from object_summary where object_id = :object_id order by fid"
    nulls = dict.fromkeys(("ps1_id", "number", "oid"), MISSING)
    return backend(session).read_columns(statement, {"object_id": int(object_id)}, dtypes, nulls=nulls)


def _copy(session: Session, model: type[Base], columns: Columns, nulls: Mapping[str, Any] | None = None) -> None:
    table = _table(model)
    backend(session).copy_rows(table, {column.name: columns[column.name] for column in table.columns}, nulls)


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[model.__tablename__]


def _delete_rows(session: Session, table: str, ids: IntArray, condition: str = "", *, key: str = "object_id") -> None:
    if len(ids):
        given, params = backend(session).range_rows(id=ids)
        where = f"{key} in (select r.id from {given}) {condition}"
        session.execute(text(f"delete from {table} where {where}"), params)


def _ordered(columns: Columns, name: str) -> Columns:
    order = np.argsort(columns[name], kind="stable")
    return {key: values[order] for key, values in columns.items()}
