"""Columns of images filled from IRSA's table of images: INFOBITS, limiting magnitude, seeing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.schema import Image
from ztfdb.store.columns import python_value
from ztfdb.store.select import rows, sorted_rows

METADATA = ("infobits", "maglimit", "seeing")
"""Columns filled from IRSA's table of images."""


def image_pids(session: Session) -> Columns:
    """Return ``pid`` and ``image_id`` of every image that has a pid, ordered by both."""
    found = rows(session, "image", {"pid": "i8", "image_id": "i8"}, where="image.pid is not null")
    return sorted_rows(found, ("pid", "image_id"))


def set_metadata(session: Session, image_id: IntArray, values: dict[str, Any]) -> None:
    """Fill columns of images from IRSA's table.

    Parameters
    ----------
    session : Session
    image_id : ndarray of int64, shape (n,)
    values : dict of ndarray, each of shape (n,)
        Some of `METADATA`, numbers; NaN leaves the stored value.
    """
    table = Image.__table__
    for name, column in values.items():
        rows = [
            {"key": int(one), "new": int(value) if name == "infobits" else python_value(value)}
            for one, value in zip(image_id, column, strict=True)
            if value == value
        ]
        if not rows:
            continue
        new: dict[str, Any] = {name: bindparam("new")} | ({"infobits_source": "irsa"} if name == "infobits" else {})
        session.connection().execute(update(Image).where(table.c.image_id == bindparam("key")).values(**new), rows)
