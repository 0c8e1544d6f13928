"""Rows of table ``image``: by id, by name, by night and by time, with their WCS, and which images there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Boolean, Text, select
from sqlalchemy.orm import Session, aliased

from ztfdb.arrays import Columns, IntArray
from ztfdb.errors import UnknownImageError
from ztfdb.schema import (
    Image,
)
from ztfdb.store.backends import backend
from ztfdb.store.columns import MISSING, table_dtypes
from ztfdb.store.image_files import ids_in
from ztfdb.store.select import rows, sorted_rows
from ztfdb.store.type_checks import N_WCS, arrays_of

NIGHT = 1_000_000
"""Divides a ``filefracday`` into the UTC date and the fraction of the day; a ZTF night lies within one UTC date."""


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
    return rows(session, "image", {"image_id": "i8", "n_source": "i8"})


def image_dates(session: Session, image_id: IntArray) -> Columns:
    """Return ``obsmjd``, ``mjd_mid`` and ``filtercode`` of images, ordered by ``image_id``."""
    return rows(session, "image", ("image_id", "obsmjd", "mjd_mid", "filtercode"), ids=image_id)


_OWN_PATH = """(
    select rtrim(data_root.path, '/') || '/' || image_file.path
    from image_file join data_root on data_root.data_root_id = image_file.data_root_id
    where image_file.image_id = image.image_id and image_file.role in ('sci', 'ref')
)"""

OWN_BOOKS = ("image_id", "row_checksum", "caveats", "facts_checksum")
"""Columns of ``image`` that `image_rows` leaves out."""


def image_rows(session: Session, image_id: IntArray) -> Columns:
    """Return all columns of some images but `OWN_BOOKS`, and ``path``, their own file, ordered by ``image_id``.

    Texts are object arrays; ``path`` is below the folder of its data root as the archive knows it.
    """
    columns = [column for column in Image.__table__.columns if column.name not in OWN_BOOKS]
    numbers = table_dtypes(Image.__table__)
    dtypes: dict[str, Any] = {"image_id": "i8"}
    for column in columns:
        dtype = "O" if isinstance(column.type, Text) else "?" if isinstance(column.type, Boolean) else "i8"
        known = numbers.get(column.name)
        dtypes[column.name] = "f8" if known is not None and known.kind == "f" else dtype
    fields = ", ".join(f"image.{name}" for name in dtypes)
    nulls = {name: MISSING for name, dtype in dtypes.items() if np.dtype(dtype).kind == "i"}
    backend(session).prefer_index_only()
    given, params = backend(session).range_rows(id=image_id)
    statement = f"select {fields}, {_OWN_PATH} as path from {given} cross join image where image.image_id = r.id"
    found = backend(session).read_columns(statement, params, dtypes | {"path": "O"}, nulls=nulls)
    return sorted_rows(found, ["image_id"])


def image_wcs(session: Session, image_id: IntArray) -> tuple[Columns, NDArray[np.float64]]:
    """Return size, STATUS and WCS numbers of images, ordered by ``image_id``.

    Returns
    -------
    columns : dict of ndarray
        ``image_id``, ``nx``, ``ny`` and ``status`` (`ztfdb.store.image_table.MISSING` where the header has none).
    wcs : ndarray, shape (n_image, 42)
        As `ztfdb.sky.projection.sky_to_pixel_many` takes them.
    """
    backend(session).prefer_index_only()
    given, params = backend(session).range_rows(id=image_id)
    statement = f"""
        select image.image_id, image.nx, image.ny, image.status, image_header.wcs
        from {given} cross join image
        join image_header on image_header.image_id = image.image_id and image_header.role in ('sci', 'ref')
        where image.image_id = r.id"""
    dtypes = {"image_id": "i8", "nx": "i8", "ny": "i8", "status": "i8", "wcs": "O"}
    found = backend(session).read_columns(statement, params, dtypes, nulls={"status": MISSING})
    order = np.argsort(found["image_id"])
    wcs = arrays_of(found.pop("wcs")[order], "<f8", N_WCS)
    return {name: values[order] for name, values in found.items()}, wcs


def observed_span(session: Session) -> tuple[float, float]:
    """Return the first and the last exposure's start, MJD; NaN where there is none."""
    statement = "select min(obsmjd) as first, max(obsmjd) as last from image"
    found = backend(session).read_columns(statement, {}, {"first": "f8", "last": "f8"})
    return float(found["first"][0]), float(found["last"][0])


def images_between(session: Session, first: float, last: float) -> Columns:
    """Return the images with ``first <= mjd_mid <= last`` (MJD): ``image_id`` and ``mjd_mid``, ordered by id."""
    statement = """
        select image_id, mjd_mid from image
        where obsmjd >= :first - 1.0 and obsmjd <= :last and mjd_mid >= :first and mjd_mid <= :last
        order by image_id"""
    return backend(session).read_columns(statement, {"first": first, "last": last}, {"image_id": "i8", "mjd_mid": "f8"})


def barycentric_vectors(session: Session, image_id: IntArray) -> NDArray[np.float64]:
    """Return the light-time vectors to the barycentre (s) of images, shape (n_image, 3), in the order asked."""
    names = ("ssb_x", "ssb_y", "ssb_z")
    found = rows(session, "image", ("image_id", *names), ids=image_id)
    at = np.searchsorted(found["image_id"], image_id)
    return np.stack([found[name][at] for name in names], axis=-1)


def image_corners(session: Session, image_id: IntArray) -> tuple[IntArray, NDArray[np.float64]]:
    """Return images with their corners.

    Parameters
    ----------
    session : Session
    image_id : ndarray of int64
        Each once.

    Returns
    -------
    image_id : ndarray of int64, shape (n,)
        Those that there are, ascending.
    corners : ndarray of float64, shape (n, 8)
        ``ra1``, ``dec1`` … ``ra4``, ``dec4``, deg.
    """
    names = [f"{name}{k}" for k in range(1, 5) for name in ("ra", "dec")]
    found = rows(session, "image", ["image_id", *names], ids=image_id)
    return found["image_id"], np.column_stack([found[name] for name in names])


def chosen_images(session: Session, image_ids: Sequence[int] | None) -> list[int]:
    """Return the ids of these images, by default of all, ascending and each once.

    Raises
    ------
    UnknownImageError
        If the archive has not all of them.
    """
    held = list(session.execute(select(Image.image_id).order_by(Image.image_id)).scalars())
    if image_ids is None:
        return held
    wanted = {int(one) for one in image_ids}
    unknown = sorted(wanted - set(held))
    if unknown:
        raise UnknownImageError(f"no image {', '.join(map(str, unknown[:5]))} in this archive")
    return sorted(wanted)


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
    """Return the ids of the images of one of ZTF's names, whole quadrants first; of references without a date."""
    statement = select(Image.image_id).where(Image.field == field, Image.rcid == rcid, Image.fid == fid)
    if filefracday is None:
        statement = statement.where(Image.kind == "ref")
    else:
        statement = statement.where(Image.filefracday == filefracday, Image.kind != "ref")
    found = session.execute(statement.order_by(Image.kind.desc(), Image.image_id)).scalars()
    return [int(one) for one in found]


def whole_quadrants(session: Session, image_id: Sequence[int]) -> dict[int, int]:
    """Return the whole quadrant of the same exposure by the id of each cutout of which it is held."""
    whole = aliased(Image)
    wanted, params = ids_in(session, image_id)
    statement = (
        select(Image.image_id, whole.image_id)
        .join(whole, (whole.expid == Image.expid) & (whole.rcid == Image.rcid) & (whole.simulated == Image.simulated))
        .where(Image.image_id.in_(wanted), Image.kind == "cutout", whole.kind == "sci")
    )
    return {int(part): int(one) for part, one in session.execute(statement, params)}


def quadrant_centre(session: Session, field: int, rcid: int) -> tuple[float, float] | None:
    """Return where (deg) some image of a field and quadrant is; None where none is held."""
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
