"""Which images cover a position, by their full projection, and maps of the sky coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import Columns, FloatArray
from ztfdb.codes import FILTERS
from ztfdb.query.answer import Answer
from ztfdb.query.columns import Texts, nullable
from ztfdb.query.exposures import cells_of, covers
from ztfdb.query.targets import Targets, targets_of
from ztfdb.sky.cells import cell_to_sky, sky_to_cell
from ztfdb.sky.footprint import FOOTPRINT_ORDER
from ztfdb.sky.projection import sky_to_pixel_many
from ztfdb.store.backends import AnySession
from ztfdb.store.image_cells import cell_depths, images_on_cell
from ztfdb.store.image_rows import image_dates, image_rows
from ztfdb.store.type_checks import N_WCS, arrays_of

if TYPE_CHECKING:
    import pandas as pd


def images_covering(
    session: AnySession,
    ra: float,
    dec: float,
    *,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> pd.DataFrame:
    """Return the images whose pixels cover a position: -0.5 <= x < nx - 0.5 and the same in y.

    Parameters
    ----------
    session : Session or Reading
    ra, dec : float
        Position, deg, ICRS.
    pmra, pmdec, epoch : float, optional
        Proper motion (mas / yr, `pmra` with cos dec) and Julian year of the position (2016.0 by default). An image
        counts if it covers the star's position at mid-exposure, a reference if it covers the given position.

    Returns
    -------
    DataFrame
        All columns of the table ``image``, in its units, then ``x`` and ``y`` (zero-based pixel of the position) and
        ``path`` (of the image's own file, by the archive's data root). Ordered by (obsmjd, image_id); references
        come last. Masked pixels count as covered.

    Raises
    ------
    ValueError
        If the position is invalid.
    """
    return images_answer(session, ra, dec, pmra=pmra, pmdec=pmdec, epoch=epoch).to_pandas()


def images_answer(
    session: AnySession,
    ra: float,
    dec: float,
    *,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> Answer:
    """Return the answer of `images_covering` as columns, without pandas."""
    target = targets_of({"ra": ra, "dec": dec}, pmra=pmra, pmdec=pmdec, epoch=epoch)
    candidates = _candidates(session, target)
    x, y = _pixels(candidates, *_places(session, target, candidates))
    inside = np.flatnonzero(covers(x, y, candidates["nx"], candidates["ny"]))
    images = image_rows(session, candidates["image_id"][inside])
    images |= {"x": x[inside], "y": y[inside]}
    order = np.lexsort((images["image_id"], images["obsmjd"]))
    return Answer({name: _column(values[order]) for name, values in images.items()}, {})


def coverage_map(session: AnySession, *, order: int = 6) -> pd.DataFrame:
    """Return number and depth of the images by HEALPix cell and filter; references do not count.

    Parameters
    ----------
    session : Session or Reading
    order : int
        HEALPix order, 0 to 9: cells of order 6 are 0.9 degrees wide, those of order 9 are 7 arcmin.

    Returns
    -------
    DataFrame
        ``cell`` (NESTED, ICRS), ``ra`` and ``dec`` of its centre (deg), ``filtercode``, ``n_image`` (the maximum over
        the order-9 cells inside of the number of images that touch it), ``limitmag`` (of the deepest image, mag; NaN
        where no header has it), ``first_mjd`` and ``last_mjd`` (starts of exposures). Ordered by cell and filter.

    Raises
    ------
    ValueError
        If `order` is out of range.
    """
    import pandas as pd

    from ztfdb.query.dataframes import data_frame

    if not 0 <= order <= FOOTPRINT_ORDER:
        raise ValueError(f"order {order}: expected 0 to {FOOTPRINT_ORDER}")
    depths = cell_depths(session, 4 ** (FOOTPRINT_ORDER - order))
    cell, fid = depths.pop("cell"), depths.pop("fid")
    ra, dec = cell_to_sky(cell, order)
    codes = [FILTERS[number] for number in fid.tolist()]
    columns: dict[str, Any] = {"cell": cell, "ra": ra, "dec": dec, "filtercode": pd.array(codes, dtype="str")}
    columns |= {"n_image": depths["n_image"], "limitmag": depths.pop("maglim")} | depths
    return data_frame(columns, {"order": order})


def _candidates(session: AnySession, target: Targets) -> Columns:
    """Return the images that touch a cell in which the star may be."""
    cells = {int(sky_to_cell(float(target.positions.ra[0]), float(target.positions.dec[0]), FOOTPRINT_ORDER))}
    if target.pmra is not None:
        cells |= set(cells_of(session, target)[1].tolist())
    parts = [images_on_cell(session, cell) for cell in sorted(cells)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    _, once = np.unique(joined["image_id"], return_index=True)
    return {name: values[once] for name, values in joined.items()}


def _places(session: AnySession, target: Targets, candidates: Columns) -> tuple[FloatArray, FloatArray]:
    """Return the star's position (deg) on each candidate."""
    k = np.zeros(len(candidates["image_id"]), np.int64)
    fixed = target.pmra is None
    return target.at(k, np.zeros(len(k)) if fixed else image_dates(session, candidates["image_id"])["mjd_mid"])


def _pixels(candidates: Columns, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the position's pixel on each candidate; every projection is stored as TPV."""
    return sky_to_pixel_many(arrays_of(candidates["wcs"], "<f8", N_WCS), ra, dec)


def _column(values: Any) -> Any:
    if values.dtype.kind == "i":
        return nullable(values)
    return Texts(values) if values.dtype.kind == "O" else values
