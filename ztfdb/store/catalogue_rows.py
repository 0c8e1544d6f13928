"""Rows of reference catalogues, inside ranges of cells and by id: from our tables, or from files read in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.sky.cover import cover_positions
from ztfdb.store.backends import backend
from ztfdb.store.catalogues import CatalogueInfo
from ztfdb.store.columns import MISSING_INT32, table_dtypes
from ztfdb.surveys.registered import MOTION


def positions_in_ranges(session: Session, catalogue: CatalogueInfo, lo: IntArray, hi: IntArray) -> Columns:
    """Return the rows of a catalogue inside ranges of cells, ordered by id; read from the covering index.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of ``hpx29`` that do not overlap.

    Returns
    -------
    dict of ndarray
        ``reference_id``, ``ra``, ``dec``; if the catalogue has moving rows also ``epoch`` (Julian year), ``pmra`` and
        ``pmdec`` (mas / yr), NaN where NULL.
    """
    names = ["ra", "dec", *(MOTION if catalogue.n_moving else ())]
    if catalogue.location is not None:
        return catalogue.opened().rows(lo, hi, dict.fromkeys(names, np.dtype(np.float64)), MISSING_INT32)
    dtypes = {"reference_id": "i8", **dict.fromkeys(names, "f8")}
    ranges, params = backend(session).range_rows(lo=lo, hi=hi)
    fields = ", ".join(f"c.{name}" for name in names)
    origin = _looked_up(session, catalogue, ranges, names, "c.hpx29 >= r.lo and c.hpx29 < r.hi")
    found = (
        backend(session)
        .by_index()
        .read_bulk(f"select c.{catalogue.id_column} as reference_id, {fields} from {origin}", params, dtypes)
    )
    order = np.argsort(found["reference_id"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def rows_by_id(
    session: Session,
    catalogue: CatalogueInfo,
    ids: IntArray,
    names: Sequence[str],
    *,
    near: tuple[NDArray[np.int64], float],
) -> Columns:
    """Return chosen columns of rows by id, ordered by id; unknown ids are left out.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    ids : ndarray of int64
        Repeats are allowed.
    names : sequence of str
        Numeric columns of the catalogue's table.
    near : tuple of (ndarray of int64, float)
        Order-29 cells of positions, and a radius (arcsec) around them that contains all these rows. A catalogue that is
        read in place is searched there; imported rows are found by their ids alone.

    Returns
    -------
    dict of ndarray
        ``reference_id`` and `names`; NULL is NaN, in integer columns `MISSING_INT32`.

    Raises
    ------
    ValueError
        If a name is not a numeric column of the table.
    """
    if catalogue.location is not None:
        found = rows_in_ranges(session, catalogue, *cover_positions(*near), names)
        wanted = np.isin(found["reference_id"], ids)
        return {name: values[wanted] for name, values in found.items()}
    found = _select_rows(session, catalogue, names, f"c.{catalogue.id_column} = r.id", id=np.unique(ids))
    order = np.argsort(found["reference_id"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def rows_in_ranges(
    session: Session, catalogue: CatalogueInfo, lo: IntArray, hi: IntArray, names: Sequence[str]
) -> Columns:
    """Return chosen columns of the rows inside ranges of cells, ordered by id; as `rows_by_id`."""
    if catalogue.location is not None:
        dtypes = _known_columns(catalogue, names)
        return catalogue.opened().rows(lo, hi, {name: dtypes[name] for name in names}, MISSING_INT32)
    found = _select_rows(session, catalogue, names, "c.hpx29 >= r.lo and c.hpx29 < r.hi", lo=lo, hi=hi)
    order = np.argsort(found["reference_id"], kind="stable")
    return {name: values[order] for name, values in found.items()}


def _select_rows(
    session: Session, catalogue: CatalogueInfo, names: Sequence[str], condition: str, **keys: IntArray
) -> Columns:
    all_dtypes = _known_columns(catalogue, names)
    dtypes: dict[str, Any] = {"reference_id": "i8", **{name: all_dtypes[name] for name in names}}
    nulls = {name: MISSING_INT32 for name in names if all_dtypes[name].kind == "i" and catalogue.table.c[name].nullable}
    fields = "".join(f", c.{name}" for name in names)
    rows, params = backend(session).range_rows(**keys)
    origin = _looked_up(session, catalogue, rows, names, condition)
    statement = f"select c.{catalogue.id_column} as reference_id{fields} from {origin}"
    return backend(session).by_index().read_bulk(statement, params, dtypes, nulls=nulls)


def _known_columns(catalogue: CatalogueInfo, names: Sequence[str]) -> dict[str, np.dtype[Any]]:
    dtypes = table_dtypes(catalogue.table)
    unknown = [name for name in names if name not in dtypes]
    if unknown:
        raise ValueError(f"not columns of {catalogue.name}: {', '.join(unknown)}; there are {', '.join(dtypes)}")
    return dtypes


def _looked_up(session: Session, catalogue: CatalogueInfo, rows: str, names: Sequence[str], condition: str) -> str:
    columns = list(dict.fromkeys([catalogue.id_column, *names]))
    condition = f"{condition} {own_rows(catalogue)}"
    return backend(session).joined(rows, catalogue.table.name, columns, condition, alias="c")


def own_rows(catalogue: CatalogueInfo) -> str:
    """Return the condition that selects the rows of one catalogue in a shared table."""
    return f"and c.catalogue_id = {int(catalogue.catalogue_id)}" if catalogue.table.name == "reference_source" else ""
