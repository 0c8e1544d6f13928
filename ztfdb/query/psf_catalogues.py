"""ZTF's own PSF catalogues: the light curves of their rows, alone or next to our own photometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import Columns
from ztfdb.query.answer import PSF_COLUMNS
from ztfdb.query.columns import masked_integers, stacked, words
from ztfdb.query.detections import check_size, cone_rows
from ztfdb.query.epochs import Positions, epochs
from ztfdb.query.request import LightCurveRequest
from ztfdb.store.backends import AnySession
from ztfdb.store.detections import ZTF_PSF

if TYPE_CHECKING:
    pass

PHOT_WORDS = ("psfcat", "psf", "aperture", "irsa")
"""Photometry of a row, in the order of the rows of one image: ZTF's, our PSF fit, our aperture.

``irsa`` are the light curves of ZTF's data releases, whose rows belong to no image.
"""

PSFCAT, PSF, APERTURE, IRSA = range(4)  # as in PHOT_WORDS

BITS = 0xFFFF
"""Mask that makes ``flags``, stored as a signed 16-bit integer, unsigned."""


def catalogued(session: AnySession, positions: Positions, request: LightCurveRequest) -> Iterator[dict[str, Any]]:
    """Yield the epochs of some positions at a time from ZTF's PSF catalogues: the nearest row per image.

    ``phot="both"`` adds our own epochs, ordered by (position, mjd, image_id, phot).
    """
    names = (*PSF_COLUMNS, "position")
    n_row = 0
    with ExitStack() as readers:
        theirs = readers.enter_context(closing(cone_rows(session, positions, request.radius, ZTF_PSF)))
        ours = readers.enter_context(closing(cone_rows(session, positions, request.radius)))  # reads only if used
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
    are its ``flags``, ``aperture`` is missing, and ``source_id`` is that of ``psf_source``.
    """
    rows["mask_bits"] = rows["flags"].astype(np.int64) & BITS
    rows["flags"] = np.zeros(len(rows["flags"]), np.int64)
    columns = with_phot(epochs(session, rows, positions, request), PSFCAT)
    n = len(columns["mjd"])
    columns["aperture"] = masked_integers(np.zeros(n, np.int64), np.ones(n, bool))
    return columns | {name: columns[name].astype(np.float64) for name in ("chi", "sharp")}


def with_phot(columns: dict[str, Any], whose: int) -> dict[str, Any]:
    """Add the column ``phot``, and return the columns."""
    columns["phot"] = words(np.full(len(columns["mjd"]), whose), PHOT_WORDS)
    return columns


def ordered(parts: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Join light curves, ordered by (position, mjd, image_id, phot)."""
    joined: dict[str, Any] = stacked(parts, names)
    order = np.lexsort([joined["phot"].codes, joined["image_id"], joined["mjd"], joined["position"]])
    return {name: values[order] for name, values in joined.items()}
