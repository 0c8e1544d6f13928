"""Select images: by night, by name, by id; and read the row of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from ztfdb.arrays import IntArray
from ztfdb.errors import UnknownImageError
from ztfdb.schema import Image
from ztfdb.store.image_files import ids_in
from ztfdb.store.select import rows

NIGHT = 1_000_000
"""Divides a ``filefracday`` into the UTC date and the fraction of the day; a ZTF night is within one UTC date."""


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
        If it is not a date.
    """
    try:
        datetime.strptime(f"{int(date):08d}", "%Y%m%d")
    except ValueError:
        raise ValueError(f"night {date} is not a date; expected one such as 20200924") from None
    first = int(date) * NIGHT
    wanted = select(Image.image_id).where(Image.filefracday >= first, Image.filefracday < first + NIGHT)
    return [int(image_id) for (image_id,) in session.execute(wanted.order_by(Image.image_id))]


def chosen_images(session: Session, image_ids: Sequence[int] | None) -> list[int]:
    """Return the given ids, by default those of all images, ascending and without repeats.

    Raises
    ------
    UnknownImageError
        If some are not in the archive.
    """
    if image_ids is None:
        return list(session.execute(select(Image.image_id).order_by(Image.image_id)).scalars())
    wanted = {int(one) for one in image_ids}
    held = rows(session, "image", ("image_id",), ids=possible_ids(wanted))["image_id"].tolist()
    unknown = sorted(wanted - set(held))
    if unknown:
        raise UnknownImageError(f"no image {', '.join(map(str, unknown[:5]))} in this archive")
    return sorted(wanted)


def possible_ids(ids: Iterable[int]) -> IntArray:
    """Return ids without repeats, ascending; those that do not fit 64 bits, which no row has, are left out."""
    return np.array(sorted({one for one in ids if -(1 << 63) <= one < 1 << 63}), np.int64)


def image_mjd(session: Session, image_id: int) -> float | None:
    """Return an image's mid-exposure (MJD, UTC), None for a coadd.

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    mjd_mid = image_row(session, image_id, ("mjd_mid",))["mjd_mid"]
    return None if mjd_mid is None else float(mjd_mid)


def images_named(session: Session, field: int, rcid: int, fid: int, filefracday: int | None) -> list[int]:
    """Return the ids of the images with a name of ZTF's, whole quadrants first; of references without `filefracday`."""
    statement = select(Image.image_id).where(Image.field == field, Image.rcid == rcid, Image.fid == fid)
    if filefracday is None:
        statement = statement.where(Image.kind == "ref")
    else:
        statement = statement.where(Image.filefracday == filefracday, Image.kind != "ref")
    found = session.execute(statement.order_by(Image.kind.desc(), Image.image_id)).scalars()
    return [int(one) for one in found]


def whole_quadrants(session: Session, image_id: Sequence[int]) -> dict[int, int]:
    """Return, by the id of each cutout, the whole quadrant of the same exposure; cutouts without one are left out."""
    whole = aliased(Image)
    wanted, params = ids_in(session, image_id)
    statement = (
        select(Image.image_id, whole.image_id)
        .join(whole, (whole.expid == Image.expid) & (whole.rcid == Image.rcid) & (whole.simulated == Image.simulated))
        .where(Image.image_id.in_(wanted), Image.kind == "cutout", whole.kind == "sci")
    )
    return {int(part): int(one) for part, one in session.execute(statement, params)}


def quadrant_centre(session: Session, field: int, rcid: int) -> tuple[float, float] | None:
    """Return the position (deg) of an image of a field and quadrant; None if the archive has none."""
    statement = select(Image.ra, Image.dec).where(Image.field == field, Image.rcid == rcid).limit(1)
    found = session.execute(statement).first()
    return None if found is None else (float(found[0]), float(found[1]))


def image_row(session: Session, image_id: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return columns of one image, by default all.

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    columns = Image.__table__.columns
    wanted = columns if names is None else [columns[name] for name in names]
    found = session.execute(select(*wanted).where(Image.image_id == int(image_id))).mappings().one_or_none()
    if found is None:
        raise UnknownImageError(f"no image {image_id} in this archive")
    return {str(name): value for name, value in found.items()}
