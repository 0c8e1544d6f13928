"""Match objects with the sources of ZTF's reference catalogues, which gives each object its ``oid``s.

An object and a source of one catalogue belong together if each is the other's nearest within `ATTACH`. This depends
only on the positions, so the order of images and catalogues does not matter. After objects were rebuilt, only reference
sources near their old and new positions can have changed partners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, FloatArray, IntArray
from ztfdb.derive.grouping import ATTACH
from ztfdb.derive.neighbourhoods import TOLERANCE, search_margin, united
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.sky.cells import cone_ranges
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_mutual, match_nearest
from ztfdb.store import object_oids as store
from ztfdb.store.objects import largest_reach, objects_in_ranges

Place = tuple[int, int, int, int]


def make_oid(place: Place, sourceid: IntArray) -> IntArray:
    """Return ZTF's numbers of reference sources: the digits of field, fid, ccdid, qid, and eight of ``sourceid``.

    Parameters
    ----------
    place : tuple of int
        Field, fid, ccdid, qid.
    sourceid : ndarray of int64, shape (n,)
    """
    field, fid, ccdid, qid = (int(one) for one in place)
    return np.asarray((((field * 10 + fid) * 100 + ccdid) * 10 + qid) * 10**8 + sourceid)


def drop_stale_references(session: Session) -> dict[int, int]:
    """Delete matches with catalogues that were removed or replaced; return the new and replaced catalogues.

    Returns
    -------
    dict of int
        Fingerprint by image, for `anchor_reference`.
    """
    held, known = store.reference_fingerprints(session), store.anchored_references(session)
    for image_id, fingerprint in known.items():
        if held.get(image_id) != fingerprint:
            store.forget_reference(session, image_id)
    return {one: held[one] for one in sorted(held) if known.get(one) != held[one]}


def anchor_all(session: Session) -> int:
    """Match all objects with all reference catalogues again, and return the number of catalogues."""
    store.clear_references(session)
    new = drop_stale_references(session)
    return sum(anchor_reference(session, *one) for one in new.items())


def anchor_reference(session: Session, image_id: int, fingerprint: int) -> bool:
    """Match the objects with a reference catalogue, unless done before; return whether it was done now.

    Parameters
    ----------
    session : Session
    image_id : int
    fingerprint : int
        Fingerprint of the catalogue when it was found to be new; the next update detects a later change.
    """
    if store.is_anchored(session, image_id):
        return False
    sources = store.sources_of_reference(session, image_id)
    objects = _objects_around(session, sources["hpx29"].astype(np.int64, copy=False))
    _store_pairs(session, objects, sources, np.ones(len(sources["ra"]), bool))
    store.record_reference(session, image_id, fingerprint)
    return True


def anchor_around(session: Session, ra: FloatArray, dec: FloatArray) -> None:
    """Match again around the current and former positions of objects.

    Parameters
    ----------
    session : Session
    ra, dec : ndarray, shape (n_place,)
        Of all objects that were added, removed or moved, before and after.
    """
    if not len(ra) or not store.is_anchored(session):
        return
    near = _references_around(session, ra, dec)
    touched = match_nearest(near["ra"], near["dec"], ra, dec, ATTACH + TOLERANCE).index1
    changed = {name: values[touched] for name, values in near.items()}
    if not len(touched):
        return
    objects = _objects_around(session, changed["hpx29"].astype(np.int64, copy=False))
    within = match_nearest(objects["ra"], objects["dec"], changed["ra"], changed["dec"], ATTACH + TOLERANCE).index1
    objects = {name: values[within] for name, values in objects.items()}
    store.delete_oids(session, changed["source_id"])
    if len(within):
        sources = _references_around(session, objects["ra"], objects["dec"])
        _store_pairs(session, objects, sources, np.isin(sources["source_id"], changed["source_id"]))


def _references_around(session: Session, ra: FloatArray, dec: FloatArray) -> Columns:
    """Return the reference sources that may lie within reach of positions, and few others.

    The index also contains the rows of every exposure's catalogue there; tight ranges skip most of them.
    """
    _, lo, hi = cone_ranges(ra, dec, ATTACH + TOLERANCE)
    return store.reference_sources_in_ranges(session, *united(lo, hi))


def _objects_around(session: Session, hpx29: NDArray[np.int64]) -> Columns:
    """Return the objects that may lie within reach of cells, ordered by id."""
    margin = ATTACH + search_margin(largest_reach(session))
    return objects_in_ranges(session, *cover_positions(hpx29, margin))


def _store_pairs(session: Session, objects: Columns, sources: Columns, wanted: NDArray[np.bool_]) -> None:
    """Store the objects of the `wanted` reference sources; the other sources only compete for objects."""
    image = sources["source_id"] >> SOURCE_ID_SHIFT
    ids = np.unique(image[wanted])
    places = store.reference_places(session, ids) if len(ids) else {}
    for image_id in ids.tolist():
        own = np.flatnonzero(image == image_id)
        # ids ascend in both tables: at equal distance the smaller one counts
        pair = match_mutual(objects["ra"], objects["dec"], sources["ra"][own], sources["dec"][own], ATTACH)
        row = own[pair.index2]
        keep = wanted[row]
        source_id = sources["source_id"][row[keep]]
        rows = {
            "source_id": source_id,
            "object_id": objects["object_id"][pair.index1[keep]],
            "oid": make_oid(places[image_id], source_id - (image_id << SOURCE_ID_SHIFT)),
            "separation": pair.separation[keep],
        }
        store.add_oids(session, rows)
