"""Which images touch which order-9 cells of the sky, and the depth of their coverage."""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import Columns, IntArray
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.select import rows


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
