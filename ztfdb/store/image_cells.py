"""Which images may see many positions: by the order-9 cells they touch, with what the exact test needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.store.backends import backend
from ztfdb.store.columns import MISSING
from ztfdb.store.select import rows
from ztfdb.store.type_checks import N_WCS, arrays_of


def images_on_cells(session: Session, cells: IntArray) -> Columns:
    """Return the images that touch order-9 cells.

    Parameters
    ----------
    session : Session
    cells : ndarray of int64, shape (n,)
        Each once.

    Returns
    -------
    dict of ndarray
        ``cell9`` and ``image_id``, ordered by both.
    """
    backend(session).prefer_index_only()
    given, params = backend(session).range_rows(cell=cells)
    statement = f"""
        select image_cell.cell9, image_cell.image_id from {given} cross join image_cell
        where image_cell.cell9 = r.cell"""
    found = backend(session).read_bulk(statement, params, {"cell9": "i8", "image_id": "i8"})
    order = np.lexsort((found["image_id"], found["cell9"]))
    return {name: values[order] for name, values in found.items()}


def image_frames(session: Session, image_id: IntArray) -> tuple[Columns, NDArray[np.float64]]:
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
    backend(session).prefer_index_only()
    given, params = backend(session).range_rows(id=image_id)
    names = ("image_id", "ssb_x", "ssb_y", "ssb_z")
    fields = ", ".join(f"image.{name}" for name in names)
    found = backend(session).read_doubles(
        f"select {fields} from {given} cross join image where image.image_id = r.id", params, names
    )
    order = np.argsort(found[0])
    return np.ascontiguousarray(found[1:, order[np.searchsorted(found[0][order], image_id)]].T)


def covered_cells(session: Session) -> IntArray:
    """Return the order-9 cells that any image touches, ascending."""
    found = backend(session).read_bulk("select distinct cell9 from image_cell", {}, {"cell9": "i8"})
    return np.sort(found["cell9"])


def cell_depths(session: Session) -> Columns:
    """Return how deep images other than references cover the sky.

    Returns
    -------
    dict of ndarray
        ``cell9``, ``fid``, ``n_image``, ``maglim`` (the deepest, NaN where no header says it), ``first_mjd`` and
        ``last_mjd`` (starts of exposures), in no order.
    """
    statement = """
        select image_cell.cell9, image.fid, count(*) as n_image,
               max(cast(image.maglim as double precision)) as maglim,
               min(image.obsmjd) as first_mjd, max(image.obsmjd) as last_mjd
        from image_cell join image on image.image_id = image_cell.image_id
        where image.kind <> 'ref'
        group by image_cell.cell9, image.fid"""
    dtypes = {"cell9": "i8", "fid": "i8", "n_image": "i8", "maglim": "f8", "first_mjd": "f8", "last_mjd": "f8"}
    return backend(session).read_columns(statement, {}, dtypes)


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
