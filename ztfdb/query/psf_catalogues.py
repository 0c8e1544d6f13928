"""ZTF's own PSF catalogues: the light curves of their rows, alone or beside our own photometry, and cones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import Columns
from ztfdb.query.answer import PSF_COLUMNS, Answer
from ztfdb.query.columns import Texts, masked_integers, stacked, words
from ztfdb.query.cone import cone_centre, cone_parts, nearest_first, of_images
from ztfdb.query.detections import check_size, cone_rows
from ztfdb.query.epochs import Positions, epochs
from ztfdb.query.request import LightCurveRequest
from ztfdb.store.backends import AnySession
from ztfdb.store.detections import ZTF_PSF
from ztfdb.store.psf_rows import psf_catalogue_dates

if TYPE_CHECKING:
    import pandas as pd

PHOT_WORDS = ("psfcat", "psf", "aperture", "irsa")
"""Whose photometry a row is, in the order in which rows of one image come: ZTF's, our PSF fit, our aperture.

``irsa`` are the light curves of ZTF's data releases, whose rows belong to no image.
"""

PSFCAT, PSF, APERTURE, IRSA = range(4)  # as in PHOT_WORDS

BITS = 0xFFFF
"""``flags`` is a signed 16-bit number of unsigned bits."""


def catalogued(session: AnySession, positions: Positions, request: LightCurveRequest) -> Iterator[dict[str, Any]]:
    """Yield the epochs of some positions at a time from ZTF's PSF catalogues: per image the nearest row.

    With ``phot="both"`` our own epochs too, ordered by (position, mjd, image_id, phot).
    """
    names = (*PSF_COLUMNS, "position")
    n_row = 0
    with ExitStack() as readers:
        theirs = readers.enter_context(closing(cone_rows(session, positions, request.radius, ZTF_PSF)))
        ours = readers.enter_context(closing(cone_rows(session, positions, request.radius)))  # reads when it is used
        for start, part, rows in theirs:
            check_size(n_row := n_row + len(rows["k"]))
            columns = catalogue_epochs(session, rows, part, request)
            if request.phot == "both":
                _, _, own = next(ours)
                check_size(n_row := n_row + len(own["k"]))
                measured = with_phot(epochs(session, own, part, request.of_our_sources()), APERTURE)
                columns = ordered([columns, measured], names)
            columns["position"] = columns["position"] + start
            yield columns


def catalogue_epochs(
    session: AnySession, rows: Columns, positions: Positions, request: LightCurveRequest
) -> dict[str, Any]:
    """Return the epochs of ZTF's rows.

    ``mag`` is the instrumental magnitude plus MAGZP (no aperture correction), ``magerr`` its ``sigmag`` with the
    archive's systematic floor in quadrature, ``flux_ujy`` the PSF flux; ``chi`` and ``sharp`` are ZTF's. ``mask_bits``
    are its ``flags``, ``aperture`` is missing, and ``source_id`` that of ``psf_source``.
    """
    rows["mask_bits"] = rows["flags"].astype(np.int64) & BITS
    rows["flags"] = np.zeros(len(rows["flags"]), np.int64)
    columns = with_phot(epochs(session, rows, positions, request), PSFCAT)
    n = len(columns["mjd"])
    columns["aperture"] = masked_integers(np.zeros(n, np.int64), np.ones(n, bool))
    return columns | {name: columns[name].astype(np.float64) for name in ("chi", "sharp")}


def with_phot(columns: dict[str, Any], whose: int) -> dict[str, Any]:
    """Return columns with ``phot``."""
    columns["phot"] = words(np.full(len(columns["mjd"]), whose), PHOT_WORDS)
    return columns


def ordered(parts: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Join light curves, ordered by (position, mjd, image_id, phot)."""
    joined: dict[str, Any] = stacked(parts, names)
    order = np.lexsort([joined["phot"].codes, joined["image_id"], joined["mjd"], joined["position"]])
    return {name: values[order] for name, values in joined.items()}


def psf_cone(
    session: AnySession,
    ra: float,
    dec: float,
    radius: float,
    *,
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> pd.DataFrame:
    """Return all rows of ZTF's PSF catalogues within a radius, those of references among them, nearest first.

    Parameters
    ----------
    session : Session or Reading
    ra, dec : float
        Centre, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_CONE_RADIUS`; the rim belongs to the cone.
    columns : sequence of str, optional
        Columns of the table ``psf_source`` to return; all of them by default.
    pmra, pmdec, epoch : float, optional
        As in `ztfdb.query.cone.cone`; places are those at the exposure's start.

    Returns
    -------
    DataFrame
        The columns in the table's units, then ``separation`` (arcsec), ``obsmjd`` (NaN for references),
        ``filtercode``, ``role`` (``psfcat`` or ``refpsfcat``) and ``mag`` (AB: ``mag_inst`` + MAGZP); ordered by
        separation, then ``source_id``.

    Raises
    ------
    ValueError, QueryError
        As `ztfdb.query.cone.cone`.
    """
    return psf_cone_answer(session, ra, dec, radius, columns=columns, pmra=pmra, pmdec=pmdec, epoch=epoch).to_pandas()


def psf_cone_answer(
    session: AnySession,
    ra: float,
    dec: float,
    radius: float,
    *,
    columns: Sequence[str] | None = None,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
) -> Answer:
    """Return what `psf_cone` does as columns, which need no pandas."""
    centre = cone_centre(ra, dec, radius, pmra=pmra, pmdec=pmdec, epoch=epoch)
    wanted = tuple(columns) if columns is not None else tuple(ZTF_PSF.dtypes)
    parts = cone_parts(session, ZTF_PSF, centre, radius, (*wanted, "mag_inst"), psf_catalogue_dates, "obsmjd")
    return psf_answer(session, nearest_first(list(parts)), (*wanted, "separation"))


def psf_answer(session: AnySession, rows: Columns, wanted: Sequence[str]) -> Answer:
    """Return columns of ZTF's rows, of which ``mag_inst`` is one, with date, filter, role and magnitude."""
    known, at = of_images(session, rows["source_id"], psf_catalogue_dates)
    out: dict[str, Any] = {name: rows[name] for name in wanted}
    out["obsmjd"] = known["obsmjd"][at]
    for name in ("filtercode", "role"):
        out[name] = Texts(known[name][at])
    out["mag"] = rows["mag_inst"].astype(np.float64) + known["magzp"][at]
    return Answer(out, {})
