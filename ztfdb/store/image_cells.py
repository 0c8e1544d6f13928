"""Which images touch which order-9 cells of the sky, and the depth of their coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from ztfdb.arrays import Columns, FloatArray, IntArray
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.select import rows

IDS_AT_ONCE = 250_000
"""Ids of images that are held at a time, about."""


def images_on_cells(session: AnySession, cells: IntArray) -> Columns:
    """Return the images that touch order-9 cells.

    Parameters
    ----------
    session : Session or Reading
    cells : ndarray of int64, shape (n,)
        Without repeats.

    Returns
    -------
    dict of ndarray
        ``cell9`` and ``image_id``, ordered by both.
    """
    return rows(session, "image_cell", {"cell9": "i8", "image_id": "i8"}, ids=cells, key="cell9")


def covered_cells(session: AnySession) -> IntArray:
    """Return the order-9 cells that any image touches, ascending."""
    found = reads(session).read_bulk("select distinct cell9 from image_cell", {}, {"cell9": "i8"})
    return np.sort(found["cell9"])


def cell_depths(session: AnySession, divisor: int) -> Columns:
    """Return the depth of the coverage of the sky by images other than references.

    Parameters
    ----------
    session : Session or Reading
    divisor : int
        Number of order-9 cells in a cell of the answer.

    Returns
    -------
    dict of ndarray
        ``cell`` (order-9 cell divided by `divisor`), ``fid``, ``n_image`` (the maximum over the order-9 cells inside),
        ``maglim`` (of the deepest image, NaN where no header has it), ``first_mjd`` and ``last_mjd`` (starts of
        exposures), ordered by cell and fid.
    """
    if reads(session).cheap_scans:
        return _depths_by_cell(session, divisor)
    # the database puts cells together: of 10^5 images there are a million cells of order 9
    statement = f"""
        select cell9 / {int(divisor)} as cell, fid, max(n_image) as n_image, max(maglim) as maglim,
               min(first_mjd) as first_mjd, max(last_mjd) as last_mjd
        from (
            select image_cell.cell9, image.fid, count(*) as n_image,
                   max(cast(image.maglim as double precision)) as maglim,
                   min(image.obsmjd) as first_mjd, max(image.obsmjd) as last_mjd
            from image_cell join image on image.image_id = image_cell.image_id
            where image.kind <> 'ref'
            group by image_cell.cell9, image.fid
        ) as depth
        group by cell9 / {int(divisor)}, fid
        order by cell, fid"""
    dtypes = {"cell": "i8", "fid": "i8", "n_image": "i8", "maglim": "f8", "first_mjd": "f8", "last_mjd": "f8"}
    return reads(session).read_columns(statement, {}, dtypes)


def _depths_by_cell(session: AnySession, divisor: int) -> Columns:
    """Return `cell_depths` from the ids of images in the order of the index: SQLite's join takes 4 times as long."""
    read = reads(session).read_bulk
    dtypes = {"image_id": "i8", "fid": "i8", "maglim": "f8", "obsmjd": "f8"}
    images = read(f"select {', '.join(dtypes)} from image where kind <> 'ref' order by image_id", {}, dtypes)
    counts = read(
        "select cell9, count(*) as n from image_cell group by cell9 order by cell9", {}, {"cell9": "i8", "n": "i8"}
    )
    own = "select image_id from image_cell where cell9 >= :first and cell9 <= :last order by cell9, image_id"
    pieces = np.flatnonzero(np.diff(np.cumsum(counts["n"]) // IDS_AT_ONCE)) + 1
    found: list[Columns] = [_depths(*np.empty((6, 0)))]
    for cell, n in zip(np.split(counts["cell9"], pieces), np.split(counts["n"], pieces), strict=True):
        if not len(cell) or not len(images["image_id"]):
            continue
        image_id = read(own, {"first": int(cell[0]), "last": int(cell[-1])}, {"image_id": "i8"})["image_id"]
        at = np.minimum(np.searchsorted(images["image_id"], image_id), len(images["image_id"]) - 1)
        known = images["image_id"][at] == image_id  # the others are references
        at, cell = at[known], np.repeat(cell, n)[known]
        maglim, mjd = images["maglim"][at], images["obsmjd"][at]
        found.append(_depths(cell, images["fid"][at], np.ones(len(at)), maglim, mjd, mjd, total=True))
    cell, *others = (np.concatenate([one[name] for one in found]) for name in found[0])
    return _depths(cell // divisor, *others)


def _depths(
    cell: FloatArray | IntArray,
    fid: FloatArray | IntArray,
    n_image: FloatArray | IntArray,
    maglim: FloatArray,
    first_mjd: FloatArray,
    last_mjd: FloatArray,
    *,
    total: bool = False,
) -> Columns:
    """Put rows of the same cell and filter together: the maximum of their numbers of images, or the `total`."""
    order = np.lexsort((fid, cell))
    cell, fid = cell[order].astype(np.int64), fid[order].astype(np.int64)
    first = np.flatnonzero((np.diff(cell, prepend=-1) != 0) | (np.diff(fid, prepend=-1) != 0))

    def over(rule: np.ufunc, values: FloatArray | IntArray) -> Any:
        return rule.reduceat(values[order], first) if len(first) else values

    return {
        "cell": cell[first],
        "fid": fid[first],
        "n_image": over(np.add if total else np.maximum, n_image).astype(np.int64),
        "maglim": over(np.fmax, maglim),
        "first_mjd": over(np.fmin, first_mjd),
        "last_mjd": over(np.fmax, last_mjd),
    }


def images_on_cell(session: AnySession, cell9: int) -> Columns:
    """Return id, size and WCS numbers of the images that may touch an order-9 cell.

    Returns
    -------
    dict of ndarray
        ``image_id``, ``nx``, ``ny`` and ``wcs`` (bytes), ordered by ``image_id``.
    """
    statement = """
        select image.image_id, image.nx, image.ny, image_header.wcs
        from image_cell
        join image on image.image_id = image_cell.image_id
        join image_header on image_header.image_id = image.image_id and image_header.wcs is not null
        where image_cell.cell9 = :cell9
        order by image.image_id"""
    dtypes = {"image_id": "i8", "nx": "i8", "ny": "i8", "wcs": "O"}
    return reads(session).read_columns(statement, {"cell9": int(cell9)}, dtypes)
