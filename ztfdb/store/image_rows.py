"""Rows of table ``image`` by id and by time, with their WCS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.schema.by_name import shape_of
from ztfdb.schema.shapes import BLOBS
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.columns import MISSING
from ztfdb.store.select import records_by, rows, sorted_rows
from ztfdb.store.type_checks import N_WCS, array_of, arrays_of

if TYPE_CHECKING:
    from ztfdb.records import BackgroundMesh

MESHES_AT_ONCE = 500
"""Meshes that are in memory: some 20 kB for each quadrant."""


def image_names(session: AnySession, image_id: IntArray | None = None) -> Columns:
    """Return ``image_id`` and ``n_source`` of images, by default all, ordered by id; the ids must not repeat."""
    return rows(session, "image", {"image_id": "i8", "n_source": "i8"}, ids=image_id)


def image_dates(session: AnySession, image_id: IntArray) -> Columns:
    """Return ``obsmjd``, ``mjd_mid`` and ``filtercode`` of images, ordered by ``image_id``."""
    return rows(session, "image", ("image_id", "obsmjd", "mjd_mid", "filtercode"), ids=image_id)


_OWN_PATH = """(
    select rtrim(data_root.path, '/') || '/' || image_file.path
    from image_file join data_root on data_root.data_root_id = image_file.data_root_id
    where image_file.image_id = image.image_id and image_file.role in ('sci', 'ref')
)"""

OWN_BOOKS = ("image_id", "row_checksum", "caveats", "facts_checksum")
"""Bookkeeping columns of ``image``, which `image_rows` leaves out."""


def image_rows(session: AnySession, image_id: IntArray) -> Columns:
    """Return all columns of some images except `OWN_BOOKS`, and ``path`` of their own file, ordered by ``image_id``.

    Texts are object arrays; ``path`` includes the folder of its data root as stored in the archive.
    """
    read_as = {"text": "O", "bool": "?", "f8": "f8"}
    types = {name: kind for name, kind in shape_of("image").types.items() if name not in OWN_BOOKS}
    dtypes: dict[str, Any] = {"image_id": "i8", **{name: read_as.get(kind, "i8") for name, kind in types.items()}}
    fields = ", ".join(f"image.{name}" for name in dtypes)
    nulls = {name: MISSING for name, dtype in dtypes.items() if np.dtype(dtype).kind == "i"}
    given, params = reads(session).range_rows(id=image_id)
    statement = f"select {fields}, {_OWN_PATH} as path from {given} cross join image where image.image_id = r.id"
    found = reads(session).by_index().read_columns(statement, params, dtypes | {"path": "O"}, nulls=nulls)
    return sorted_rows(found, ["image_id"])


def image_wcs(session: AnySession, image_id: IntArray) -> tuple[Columns, NDArray[np.float64]]:
    """Return size, STATUS and WCS numbers of images, ordered by ``image_id``.

    Returns
    -------
    columns : dict of ndarray
        ``image_id``, ``nx``, ``ny`` and ``status`` (`ztfdb.store.image_table.MISSING` where the header has none).
    wcs : ndarray, shape (n_image, 42)
        As `ztfdb.sky.projection.sky_to_pixel_many` needs them.
    """
    given, params = reads(session).range_rows(id=image_id)
    statement = f"""
        select image.image_id, image.nx, image.ny, image.status, image_header.wcs
        from {given} cross join image
        join image_header on image_header.image_id = image.image_id and image_header.role in ('sci', 'ref')
        where image.image_id = r.id"""
    dtypes = {"image_id": "i8", "nx": "i8", "ny": "i8", "status": "i8", "wcs": "O"}
    found = reads(session).by_index().read_columns(statement, params, dtypes, nulls={"status": MISSING})
    order = np.argsort(found["image_id"])
    wcs = arrays_of(found.pop("wcs")[order], "<f8", N_WCS)
    return {name: values[order] for name, values in found.items()}, wcs


def background_meshes(session: AnySession, image_id: IntArray) -> Iterator[tuple[int, BackgroundMesh]]:
    """Yield images, each with what rebuilds its background, in no order."""
    mesh = ("mesh_box_y", "mesh_box_x", "mesh_ny", "mesh_nx", "mesh_level", "mesh_rms")
    dtypes: dict[str, Any] = {"image_id": "i8", "ny": "i8", "nx": "i8"}
    dtypes |= {name: "O" if name in BLOBS else "i8" for name in mesh}
    for start in range(0, len(image_id), MESHES_AT_ONCE):
        given, params = reads(session).range_rows(id=image_id[start : start + MESHES_AT_ONCE])
        statement = f"""
            select image.image_id, image.ny, image.nx, {", ".join(f"image_header.{name}" for name in mesh)}
            from {given} cross join image
            join image_header on image_header.image_id = image.image_id and image_header.wcs is not null
            where image.image_id = r.id"""
        for row in records_by(reads(session).by_index(), statement, dtypes, params):
            yield row["image_id"], mesh_of(row)


def mesh_of(row: Mapping[str, Any]) -> BackgroundMesh:
    """Return the mesh that the columns of a row hold.

    Raises
    ------
    StoreError
        If an array has another size than its columns say.
    """
    from ztfdb.records import BackgroundMesh  # a light curve does without

    shape = (row["mesh_ny"] or 0, row["mesh_nx"] or 0)
    level, rms = (array_of(row[name], "<f4", *shape) for name in ("mesh_level", "mesh_rms"))
    return BackgroundMesh((row["ny"], row["nx"]), (row["mesh_box_y"] or 0, row["mesh_box_x"] or 0), level, rms)


def observed_span(session: AnySession) -> tuple[float, float]:
    """Return the starts of the first and the last exposure, MJD; NaN if there are none."""
    statement = "select min(obsmjd) as first, max(obsmjd) as last from image"
    found = reads(session).read_columns(statement, {}, {"first": "f8", "last": "f8"})
    return float(found["first"][0]), float(found["last"][0])


def images_between(session: AnySession, first: float, last: float) -> Columns:
    """Return the images with ``first <= mjd_mid <= last`` (MJD): ``image_id`` and ``mjd_mid``, ordered by id."""
    statement = """
        select image_id, mjd_mid from image
        where obsmjd >= :first - 1.0 and obsmjd <= :last and mjd_mid >= :first and mjd_mid <= :last
        order by image_id"""
    return reads(session).read_columns(statement, {"first": first, "last": last}, {"image_id": "i8", "mjd_mid": "f8"})


def barycentric_vectors(session: AnySession, image_id: IntArray) -> NDArray[np.float64]:
    """Return the light-time vectors to the barycentre (s) of images, shape (n_image, 3), in the given order."""
    names = ("ssb_x", "ssb_y", "ssb_z")
    found = rows(session, "image", ("image_id", *names), ids=image_id)
    at = np.searchsorted(found["image_id"], image_id)
    return np.stack([found[name][at] for name in names], axis=-1)


def image_corners(session: AnySession, image_id: IntArray) -> tuple[IntArray, NDArray[np.float64]]:
    """Return images with their corners.

    Parameters
    ----------
    session : Session or Reading
    image_id : ndarray of int64
        Without repeats.

    Returns
    -------
    image_id : ndarray of int64, shape (n,)
        Those in the archive, ascending.
    corners : ndarray of float64, shape (n, 8)
        ``ra1``, ``dec1`` … ``ra4``, ``dec4``, deg.
    """
    names = [f"{name}{k}" for k in range(1, 5) for name in ("ra", "dec")]
    found = rows(session, "image", ["image_id", *names], ids=image_id)
    return found["image_id"], np.column_stack([found[name] for name in names])
