"""Rows that link objects to sources of ZTF's reference catalogues, and the catalogues that they are made from."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.ids import MAX_SOURCES, source_id_range
from ztfdb.schema import Base, ObjectOid, ObjectReference, PsfCatalogue
from ztfdb.schema.views import view_over
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import backend
from ztfdb.store.select import rows

REFERENCE_DTYPES: dict[str, Any] = {"source_id": "i8", "hpx29": "i8", "ra": "f8", "dec": "f8"}
"""Columns of a reference source that anchoring reads; the covering index has all of them."""

OID_DTYPES: dict[str, Any] = {
    "object_id": "i8", "number": "i8", "oid": "i8", "field": "i8", "filtercode": "O", "ccdid": "i8", "qid": "i8",
    "sourceid": "i8", "separation": "f8", "reference_ra": "f8", "reference_dec": "f8", "reference_mag": "f8",
    "reference_mag_err": "f8", "source_id": "i8", "image_id": "i8",
}  # fmt: skip
"""Columns of view ``object_oid_summary``."""

MARGIN = 1.0
"""Added to the separations of reference sources, where these are looked for, arcsec."""

_TABLE = Base.metadata.tables["object_oid"]


def reference_fingerprints(session: Session) -> dict[int, int]:
    """Return a number per reference catalogue of the archive, by its image, that changes with the file.

    Of a reference and its cutouts, which all have the same numbers, only the one with most rows is included.
    """
    place = (PsfCatalogue.field, PsfCatalogue.fid, PsfCatalogue.rcid, PsfCatalogue.simulated)
    statement = select(PsfCatalogue.image_id, PsfCatalogue.sha256, PsfCatalogue.n_source, *place)
    statement = statement.where(PsfCatalogue.role == "refpsfcat")
    found: dict[tuple[Any, ...], tuple[int, int]] = {}
    for image_id, sha256, n_source, *where in session.execute(
        statement.order_by(PsfCatalogue.n_source.desc(), PsfCatalogue.image_id)
    ):
        digest = hashlib.blake2b(f"{sha256} {n_source}".encode(), digest_size=8).digest()
        found.setdefault(tuple(where), (image_id, int.from_bytes(digest) >> 1))
    return dict(found.values())


def anchored_references(session: Session) -> dict[int, int]:
    """Return the reference catalogues that objects were compared with, with their fingerprints at that time."""
    return {row[0]: row[1] for row in session.execute(select(ObjectReference.image_id, ObjectReference.fingerprint))}


def is_anchored(session: Session, image_id: int | None = None) -> bool:
    """Return whether objects were compared with a reference catalogue; without an id, with any."""
    statement = select(ObjectReference.image_id)
    if image_id is not None:
        statement = statement.where(ObjectReference.image_id == int(image_id))
    return session.execute(statement.limit(1)).first() is not None


def reference_places(session: Session, image_id: IntArray) -> dict[int, tuple[int, int, int, int]]:
    """Return field, fid, ccdid and qid of reference catalogues, by their image."""
    names = ("image_id", "field", "fid", "ccdid", "qid")
    found = rows(session, "psf_catalogue", dict.fromkeys(names, "i8"), ids=image_id)
    places = zip(*(found[name].tolist() for name in names), strict=True)
    return {one: (field, fid, ccdid, qid) for one, field, fid, ccdid, qid in places}


def record_reference(session: Session, image_id: int, fingerprint: int) -> None:
    """Record that objects were compared with a reference catalogue."""
    session.execute(insert(ObjectReference), [{"image_id": int(image_id), "fingerprint": int(fingerprint)}])


def forget_reference(session: Session, image_id: int) -> None:
    """Delete everything derived from a reference catalogue."""
    first, last = source_id_range(image_id)
    session.execute(delete(ObjectOid).where(ObjectOid.source_id.between(first, last)))
    session.execute(delete(ObjectReference).where(ObjectReference.image_id == int(image_id)))


def clear_references(session: Session) -> None:
    """Delete everything derived from reference catalogues."""
    session.execute(delete(ObjectOid))
    session.execute(delete(ObjectReference))


def sources_of_reference(session: Session, image_id: int) -> Columns:
    """Return the sources of a reference catalogue (`REFERENCE_DTYPES`), ordered by ``source_id``."""
    return rows(session, "psf_source", REFERENCE_DTYPES, image_id=image_id)


def reference_sources_in_ranges(session: Session, lo: IntArray, hi: IntArray) -> Columns:
    """Return the sources of recorded reference catalogues inside ranges of cells, ordered by ``source_id``.

    Parameters
    ----------
    session : Session
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of ``hpx29`` that do not overlap.

    Returns
    -------
    dict of ndarray
        `REFERENCE_DTYPES`, for the catalogues in ``object_reference``; from the index alone, which has no ``image_id``.
    """
    known = f"psf_source.source_id / {MAX_SOURCES} in (select image_id from object_reference)"
    return rows(session, "psf_source", REFERENCE_DTYPES, lo=lo, hi=hi, where=known)


def add_oids(session: Session, rows: Columns) -> None:
    """Append rows of ``object_oid``."""
    backend(session).copy_rows(_TABLE, {column.name: rows[column.name] for column in _TABLE.columns})


def delete_oids(session: Session, source_id: IntArray) -> None:
    """Delete the rows of reference sources."""
    if len(source_id):
        given, params = backend(session).range_rows(id=source_id)
        session.execute(text(f"delete from object_oid where source_id in (select r.id from {given})"), params)


def find_object_of_oid(session: Session, oid: int) -> int | None:
    """Return the object with an `oid` of ZTF's reference catalogues; None if there is none."""
    statement = select(ObjectOid.object_id).where(ObjectOid.oid == int(oid)).order_by(ObjectOid.source_id)
    return session.execute(statement.limit(1)).scalar_one_or_none()


def oids_of_object(session: Session, object_id: int) -> Columns:
    """Return the rows of view ``object_oid_summary`` of one object, ordered by ``oid``; NULL is NaN.

    The reference sources are read by their places: PostgreSQL has no index for a few ids among all rows.
    """
    on, params = backend(session), {"object_id": int(object_id)}
    place = """
        select object_oid.source_id, object.ra, object.dec, object_oid.separation
        from object join object_oid on object_oid.object_id = object.object_id where object.object_id = :object_id"""
    found = on.read_columns(place, params, {"source_id": "i8", "ra": "f8", "dec": "f8", "separation": "f8"})
    reach = float(found["separation"].max(initial=0.0)) + MARGIN
    _, lo, hi = cone_ranges(found["ra"][:1], found["dec"][:1], reach)
    keys = rows(session, "psf_source", {"hpx29": "i8", "source_id": "i8"}, lo=lo, hi=hi)
    own = np.isin(keys["source_id"], found["source_id"])
    given, values = on.range_rows(**{name: column[own] for name, column in keys.items()})

    def these(table: str, columns: list[str]) -> str:
        fields = ", ".join(f"{table}.{name}" for name in columns)
        same = f"{table}.hpx29 = r.hpx29 and {table}.source_id = r.source_id"
        return f"select {fields} from {given} cross join {table} where {same}"

    view = view_over("object_oid_summary", OID_DTYPES, these)
    statement = f"{view} where object_oid.object_id = :object_id order by object_oid.oid, object_oid.source_id"
    return on.read_columns(statement, params | values, OID_DTYPES)
