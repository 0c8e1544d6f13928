"""Rows by position: the sources inside ranges of sky cells, the images on a cell, and image rows by id.

Everything that a question narrows by is an integer; the exact test on the sky follows in numpy. Integers that are
NULL come out as `MISSING`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Boolean, Text
from sqlalchemy.orm import Session

from ztfdb.records import IntArray
from ztfdb.schema import Image, Source
from ztfdb.store.backends import load_temporary, prefer_index_only, range_rows, read_bulk, read_columns
from ztfdb.store.columns import table_dtypes

Columns = dict[str, NDArray[Any]]

MISSING = -(1 << 62)
"""Stands for NULL in an integer column."""

FEW = 20_000
"""Up to this many ids or ranges cross as parameters of one statement; more go through a temporary table."""

LIGHT_CURVE_DTYPES: dict[str, Any] = {
    "source_id": "i8",
    "ra": "f8",
    "dec": "f8",
    "flux_aper4": "f4",
    "flux_aper4_err": "f4",
    "flags": "i4",
    "mask_bits": "i4",
}
"""What a light curve reads of a source; ``image_id`` is the upper bits of ``source_id``."""

NO_MASK = -1
"""Stands for NULL in ``mask_bits``."""

SOURCE_DTYPES = {name: dtype.str for name, dtype in table_dtypes(Source.__table__).items()}  # type: ignore[arg-type]
"""All columns of a source, in the table's order."""

_IN_RANGE = "source.hpx29 >= r.lo and source.hpx29 < r.hi"


def light_curve_sources(session: Session, lo: IntArray, hi: IntArray) -> Columns:
    """Return the sources inside ranges, read from the covering index alone.

    Parameters
    ----------
    session : Session
        Its transaction is set to prefer that index (PostgreSQL).
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of ``hpx29``.

    Returns
    -------
    dict of ndarray
        `LIGHT_CURVE_DTYPES`, in no particular order; ``mask_bits`` is -1 where NULL.
    """
    prefer_index_only(session)
    ranges, params = range_rows(session, lo=lo, hi=hi)
    fields = ", ".join(f"source.{name}" for name in LIGHT_CURVE_DTYPES)
    statement = f"select {fields} from {ranges} cross join source where {_IN_RANGE}"
    return read_columns(session, statement, params, LIGHT_CURVE_DTYPES, nulls={"mask_bits": NO_MASK})


def light_curve_sources_of_many(session: Session, k: IntArray, lo: IntArray, hi: IntArray) -> Columns:
    """Return the sources inside the ranges of many positions, with the position ``k`` of each.

    A source inside the ranges of two positions comes twice. Otherwise as `light_curve_sources`.
    """
    load_temporary(session, "cone_range", {"k": k.astype(np.int32), "lo": lo, "hi": hi})
    prefer_index_only(session)
    fields = ", ".join(f"source.{name}" for name in LIGHT_CURVE_DTYPES)
    statement = f"select r.k, {fields} from cone_range as r cross join source where {_IN_RANGE}"
    return read_bulk(session, statement, {"k": "i4", **LIGHT_CURVE_DTYPES}, nulls={"mask_bits": NO_MASK})


def sources_in_cone(session: Session, lo: IntArray, hi: IntArray, columns: Sequence[str]) -> Columns:
    """Return chosen columns of the sources inside ranges, in no particular order.

    Raises
    ------
    ValueError
        If a column is not one of `SOURCE_DTYPES`.
    """
    unknown = [name for name in columns if name not in SOURCE_DTYPES]
    if unknown:
        raise ValueError(f"not columns of a source: {', '.join(unknown)}")
    dtypes = {name: SOURCE_DTYPES[name] for name in columns}
    nulls = {"mask_bits": NO_MASK} if "mask_bits" in dtypes else {}
    fields = ", ".join(f"source.{name}" for name in columns)
    load_temporary(session, "cone_range", {"lo": lo, "hi": hi})
    statement = f"select {fields} from cone_range as r cross join source where {_IN_RANGE}"
    return read_bulk(session, statement, dtypes, nulls=nulls)


def aperture_fluxes(session: Session, source_id: IntArray, aperture: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return flux and error (DN) of one aperture for each source, in the order asked; NaN where NULL.

    Parameters
    ----------
    session : Session
    source_id : ndarray of int64, shape (n_source,)
    aperture : int
        1 to 6.
    """
    ids = np.unique(source_id)
    names = (f"flux_aper{int(aperture)}", f"flux_aper{int(aperture)}_err")
    fields = ", ".join(("source_id", *names))
    found = _rows_by_id(
        session, "source", "source_id", ids, fields, {"source_id": "i8", names[0]: "f4", names[1]: "f4"}
    )
    order = np.argsort(found["source_id"])
    at = order[np.searchsorted(found["source_id"], source_id, sorter=order)]
    return found[names[0]][at], found[names[1]][at]


def image_columns(session: Session, image_id: IntArray, fields: dict[str, tuple[str, Any]]) -> Columns:
    """Return chosen expressions over the rows of some images, ordered by ``image_id``.

    Parameters
    ----------
    session : Session
    image_id : ndarray of int64, shape (n_image,)
        Ids, each once; unknown ones are left out.
    fields : dict of str to (expression, dtype)
        Our own SQL expressions over ``image``; integers that are NULL come out as `MISSING`.
    """
    dtypes = {"image_id": "i8", **{name: dtype for name, (_, dtype) in fields.items()}}
    expressions = ", ".join(f"{expression} as {name}" for name, (expression, _) in fields.items())
    found = _rows_by_id(session, "image", "image_id", image_id, f"image.image_id, {expressions}", dtypes)
    order = np.argsort(found["image_id"])
    return {name: values[order] for name, values in found.items()}


def images_on_cell(session: Session, cell9: int) -> Columns:
    """Return id, size and WCS numbers of the images that may touch an order-9 cell.

    Returns
    -------
    dict of ndarray
        ``image_id``, ``nx``, ``ny``, ``role`` (of the image's own header), ``wcs_projection`` and ``wcs`` (bytes),
        ordered by ``image_id``.
    """
    statement = """
        select image.image_id, image.nx, image.ny, image_header.role, image_header.wcs_projection, image_header.wcs
        from image_cell
        join image on image.image_id = image_cell.image_id
        join image_header on image_header.image_id = image.image_id and image_header.wcs is not null
        where image_cell.cell9 = :cell9
        order by image.image_id"""
    dtypes = {"image_id": "i8", "nx": "i8", "ny": "i8", "role": "O", "wcs_projection": "O", "wcs": "O"}
    return read_columns(session, statement, {"cell9": int(cell9)}, dtypes)


def image_rows(session: Session, image_id: IntArray) -> Columns:
    """Return all columns of some images, ordered by ``image_id``; texts are object arrays."""
    columns = [column for column in Image.__table__.columns if column.name != "image_id"]
    numbers = table_dtypes(Image.__table__)  # type: ignore[arg-type]
    fields: dict[str, tuple[str, Any]] = {}
    for column in columns:
        dtype = "O" if isinstance(column.type, Text) else "?" if isinstance(column.type, Boolean) else "i8"
        known = numbers.get(column.name)
        fields[column.name] = (f"image.{column.name}", "f8" if known is not None and known.kind == "f" else dtype)
    return image_columns(session, image_id, fields)


def _rows_by_id(session: Session, table: str, key: str, ids: IntArray, fields: str, dtypes: dict[str, Any]) -> Columns:
    nulls = {name: MISSING for name, dtype in dtypes.items() if np.dtype(dtype).kind == "i"}
    join = f"cross join {table} where {table}.{key} = r.id"
    if len(ids) <= FEW:
        rows, params = range_rows(session, id=ids)
        return read_columns(session, f"select {fields} from {rows} {join}", params, dtypes, nulls=nulls)
    load_temporary(session, "wanted_id", {"id": ids})
    return read_bulk(session, f"select {fields} from wanted_id as r {join}", dtypes, nulls=nulls)
