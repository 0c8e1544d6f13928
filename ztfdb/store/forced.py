"""Forced measurements: found by the position's cell and the image, stored once, deleted with their image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.codes import ForcedMethod
from ztfdb.schema import Base, ForcedSource, ImageFile
from ztfdb.store.backends import AnySession, backend
from ztfdb.store.columns import NO_MASK, python_ints, table_dtypes
from ztfdb.store.select import rows

_TABLE = Base.metadata.tables["forced_source"]
FORCED_DTYPES = {name: dtype.str for name, dtype in table_dtypes(_TABLE).items()}
"""All columns of a forced measurement, in the table's order."""


Contents = Mapping[str, str]
"""sha256 of an image's file and of its mask, by role."""


def find_forced(session: AnySession, hpx29: IntArray, method: ForcedMethod) -> Columns:
    """Return the stored measurements at some positions, on all images; of several configurations the latest.

    Parameters
    ----------
    session : Session
    hpx29 : ndarray of int64, shape (n,)
        Cells of the positions, without repeats.
    method : ForcedMethod

    Returns
    -------
    dict of ndarray
        `FORCED_DTYPES`, ordered by (hpx29, image_id); ``mask_bits`` is -1 where NULL.
    """
    of_method = f"forced_source.method = {int(method)}"
    found = rows(session, _TABLE, ids=hpx29, key="hpx29", where=of_method, ordered=False)
    order = np.lexsort((found["config_id"], found["image_id"], found["hpx29"]))
    last = np.ones(len(order), bool)
    for name in ("hpx29", "image_id"):
        values = found[name][order]
        last[:-1] &= values[1:] == values[:-1]
    last[:-1] = ~last[:-1]
    last[-1:] = True
    return {name: values[order[last]] for name, values in found.items()}


def store_forced(session: Session, columns: Columns, contents: Mapping[int, Contents]) -> int:
    """Store forced measurements that are not stored yet, and return how many were new.

    Parameters
    ----------
    session : Session
        A writing one.
    columns : dict of ndarray
        `FORCED_DTYPES`; ``mask_bits`` is -1 for NULL. One measurement per key.
    contents : mapping of int to Contents
        By ``image_id``, the image and mask that were measured. If either was replaced since, or the mask was added
        since, the measurement is left out.
    """
    ids = np.unique(columns["image_id"])
    for image_id in python_ints(ids):
        backend(session).lock_name(image_id)  # others may replace the image, or measure the same position
    keep = np.isin(columns["image_id"], _unchanged(session, ids, contents)) & ~_known(session, columns)
    if not keep.any():
        return 0
    kept = {name: columns[name][keep] for name in FORCED_DTYPES}
    missing = kept["mask_bits"] == NO_MASK
    backend(session).copy_rows(_TABLE, kept, {"mask_bits": missing})
    return int(keep.sum())


def delete_forced(session: Session, image_id: int) -> int:
    """Delete the forced measurements on an image, and return their number."""
    result = session.execute(delete(ForcedSource).where(ForcedSource.image_id == int(image_id)))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _unchanged(session: Session, ids: IntArray, contents: Mapping[int, Contents]) -> NDArray[np.int64]:
    files = select(ImageFile.image_id, ImageFile.role, ImageFile.sha256)
    held: dict[int, dict[str, str]] = {}
    for image_id, role, sha256 in session.execute(files.where(ImageFile.image_id.in_(python_ints(ids)))):
        held.setdefault(image_id, {})[role] = sha256
    return np.array([image_id for image_id, roles in held.items() if contents.get(image_id) == roles], np.int64)


def _known(session: Session, columns: Columns) -> NDArray[np.bool_]:
    """Return which rows have a key that is stored already."""
    names = ("image_id", "hpx29", "method", "config_id")
    given, params = backend(session).range_rows(hpx29=columns["hpx29"], image_id=columns["image_id"])
    statement = f"""
        select {", ".join(f"forced_source.{name}" for name in names)} from {given} cross join forced_source
        where forced_source.hpx29 = r.hpx29 and forced_source.image_id = r.image_id"""
    found = backend(session).by_index().read_bulk(statement, params, dict.fromkeys(names, "i8"))
    taken = set(zip(*(found[name].tolist() for name in names), strict=True))
    keys: Any = zip(*(columns[name].tolist() for name in names), strict=True)
    return np.fromiter((key in taken for key in keys), bool, len(columns["image_id"]))
