"""What keeps an archive in order: IRSA's metadata, images of a night, and counts that must agree."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.schema import Image
from ztfdb.store.backends import backend
from ztfdb.store.columns import python_value

NIGHT = 1_000_000
"""Divides a ``filefracday`` into the UTC date and the fraction of the day; a ZTF night lies within one UTC date."""

METADATA = ("infobits", "maglimit", "seeing")
"""Columns that IRSA's table of images fills."""


def image_pids(session: Session) -> Columns:
    """Return ``pid`` and ``image_id`` of every image that has a pid, ordered by both."""
    statement = "select pid, image_id from image where pid is not null order by pid, image_id"
    return backend(session).read_columns(statement, {}, {"pid": "i8", "image_id": "i8"})


def set_metadata(session: Session, image_id: IntArray, values: dict[str, Any]) -> None:
    """Fill columns of images from IRSA's table.

    Parameters
    ----------
    session : Session
    image_id : ndarray of int64, shape (n,)
    values : dict of ndarray, each of shape (n,)
        Some of `METADATA`, numbers; NaN leaves what is there.
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


def images_of_night(session: Session, date: int) -> list[int]:
    """Return the ids of the images of one night, ascending.

    Parameters
    ----------
    session : Session
    date : int
        UTC date as a number: 20200924.

    Raises
    ------
    ValueError
        If it is no date.
    """
    try:
        datetime.strptime(f"{int(date):08d}", "%Y%m%d")
    except ValueError:
        raise ValueError(f"night {date} is no date; expected one such as 20200924") from None
    first = int(date) * NIGHT
    wanted = select(Image.image_id).where(Image.filefracday >= first, Image.filefracday < first + NIGHT)
    return [int(image_id) for (image_id,) in session.execute(wanted.order_by(Image.image_id))]


def image_names(session: Session) -> Columns:
    """Return ``image_id`` and ``n_source`` of every image, ordered by id."""
    statement = "select image_id, n_source from image order by image_id"
    return backend(session).read_columns(statement, {}, {"image_id": "i8", "n_source": "i8"})


def sources_by_image(session: Session) -> dict[int, int]:
    """Return how many sources each image has; this reads the whole table."""
    rows = session.execute(text("select image_id, count(*) from source group by image_id"))
    return {int(image_id): int(n) for image_id, n in rows}


def forced_by_image(session: Session) -> dict[int, int]:
    """Return how many forced measurements each image has."""
    rows = session.execute(text("select image_id, count(*) from forced_source group by image_id"))
    return {int(image_id): int(n) for image_id, n in rows}


def images_without(session: Session, table: str) -> IntArray:
    """Return the images without a row in ``image_file``, ``image_header`` or ``image_cell``, ascending."""
    if table not in ("image_file", "image_header", "image_cell"):
        raise ValueError(f"{table!r} is not a table of images")
    statement = f"""
        select image.image_id from image
        where not exists (select 1 from {table} where {table}.image_id = image.image_id) order by 1"""
    found = backend(session).read_columns(statement, {}, {"image_id": "i8"})["image_id"]
    return np.asarray(found)
