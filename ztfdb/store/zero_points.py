"""Zero points that hold for a whole image: from its header, or fitted to stars of PS1."""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import Columns, IntArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.phot.zeropoint import aperture_zeropoint
from ztfdb.store.backends import AnySession
from ztfdb.store.select import rows

APERTURES = tuple(range(1, len(APERTURE_DIAMETERS) + 1))
METHODS = ("header", "ps1", "self")
"""Origins of a zero point: the header's MAGZP and APCOR, stars of PS1, or the stars that images share."""

IMAGE_METHODS = METHODS[:2]
"""Those with one zero point per image, the same for all positions."""


def zeropoints(session: AnySession, image_id: IntArray, *, aperture: int = 4, calibration: str = "header") -> Columns:
    """Return the zero points of an aperture that hold for whole images.

    A calibration by the images' own stars also has gradients: see `ztfdb.store.self_terms.self_terms`.

    Parameters
    ----------
    session : Session or Reading
    image_id : ndarray of int64, shape (n_image,)
        Ids, in any order.
    aperture : int
        1 to 6: diameters 2, 3, 4, 6, 10, 14 px.
    calibration : str
        ``header`` (MAGZP + APCOR) or ``ps1`` (fitted to stars of PS1).

    Returns
    -------
    dict of ndarray, each of shape (n_image,)
        In the given order: ``zeropoint`` and ``zeropoint_err`` (AB mag of 1 DN in the aperture for a star of colour 0),
        ``color_term`` (mag per mag) and ``color_term_err``; NaN where the image has no such calibration.

    Raises
    ------
    ValueError
        If the aperture or the calibration is unknown.
    """
    if aperture not in APERTURES:
        raise ValueError(f"aperture {aperture} is none of {', '.join(map(str, APERTURES))}")
    if calibration not in IMAGE_METHODS:
        raise ValueError(f"calibration {calibration!r} is none of {', '.join(IMAGE_METHODS)}")
    names = ("zeropoint", "zeropoint_err", "color_term", "color_term_err")
    wanted = np.asarray(image_id, dtype=np.int64)
    ids, back = np.unique(wanted, return_inverse=True)
    if calibration == "header":
        columns = ("magzp", "magzpunc", "clrcoeff", "clrcounc", f"apcor{int(aperture)}")
        read = rows(session, "image", {"image_id": "i8", **dict.fromkeys(columns, "f8")}, ids=ids)
        zeropoint = aperture_zeropoint(read["magzp"], read[columns[-1]])
        found = dict(zip(names, (zeropoint, *(read[name] for name in columns[1:4])), strict=True))
    else:
        own = f"calibration.method = '{calibration}' and calibration.aperture = {int(aperture)}"
        dtypes = {"image_id": "i8", **dict.fromkeys(names, "f8")}
        read = found = rows(session, "calibration", dtypes, ids=ids, key="image_id", where=own)
    at = np.searchsorted(ids, read["image_id"])
    answer = {name: np.full(len(ids), np.nan) for name in names}
    for name in names:
        answer[name][at] = found[name]
    return {name: values[back] for name, values in answer.items()}
