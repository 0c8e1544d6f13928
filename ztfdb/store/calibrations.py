"""Photometric calibrations: what one is made from, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.phot.zeropoint import aperture_zeropoint
from ztfdb.records import APERTURE_DIAMETERS
from ztfdb.schema import Calibration, Image, ImageMatch
from ztfdb.store.backends import backend
from ztfdb.store.columns import python_values
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.image_rows import image_row

APERTURES = tuple(range(1, len(APERTURE_DIAMETERS) + 1))
METHODS = ("header", "ps1", "self")
"""Where a zero point comes from: the header's MAGZP and APCOR, stars of PS1, or the stars that images share."""

IMAGE_METHODS = METHODS[:2]
"""Those in which an image has one zero point, wherever on it a star lies."""

SOURCE_COLUMNS = (
    "source_id", "hpx29", "ra", "dec", "x", "y", "peak", "flags", "mask_bits", "background",
    *(f"flux_aper{k}{part}" for k in APERTURES for part in ("", "_err")),
)  # fmt: skip
"""What a calibration reads of a source."""


def sources_to_calibrate(session: Session, image_id: int) -> Columns:
    """Return `SOURCE_COLUMNS` of an image's sources, ordered by ``source_id``; ``mask_bits`` is -1 where NULL."""
    return rows_of_image(session, OURS, image_id, SOURCE_COLUMNS)


def image_to_calibrate(session: Session, image_id: int) -> dict[str, Any]:
    """Return what a calibration needs of an image: ``fid``, ``saturate``, ``nx``, ``ny``, ``filtercode``.

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    return image_row(session, image_id, ("fid", "saturate", "nx", "ny", "filtercode"))


def store_calibration(session: Session, image_id: int, method: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace an image's calibration by one method with the rows of its apertures."""
    delete_calibrations(session, image_id, method)
    if rows:
        session.execute(insert(Calibration), [python_values(row) for row in rows])


def delete_calibrations(session: Session, image_id: int, method: str | None = None) -> int:
    """Delete an image's calibrations, by one method or all, and return how many rows they were."""
    statement = delete(Calibration).where(Calibration.image_id == int(image_id))
    if method is not None:
        statement = statement.where(Calibration.method == method)
    return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]


def calibrations_of_image(session: Session, image_id: int, method: str = "ps1") -> list[dict[str, Any]]:
    """Return an image's calibration rows, ordered by aperture; empty where it has none."""
    statement = select(Calibration.__table__).where(Calibration.image_id == int(image_id), Calibration.method == method)
    return [dict(row._mapping) for row in session.execute(statement.order_by(Calibration.aperture))]


def uncalibrated_images(session: Session, method: str, catalogue_id: int, among: Sequence[int]) -> list[int]:
    """Return those of the images that have no calibration by a method, or one older than their match."""
    own = (Calibration.image_id == Image.image_id) & (Calibration.method == method)
    matched = (
        select(ImageMatch.matched)
        .where(ImageMatch.image_id == Image.image_id, ImageMatch.catalogue_id == catalogue_id)
        .scalar_subquery()
    )
    statement = (
        select(Image.image_id, func.min(Calibration.calibrated), matched)
        .outerjoin(Calibration, own)
        .group_by(Image.image_id)
        .order_by(Image.image_id)
    )
    wanted = set(among)
    return [
        image_id
        for image_id, calibrated, when in session.execute(statement)
        if image_id in wanted and (calibrated is None or (when is not None and when > calibrated))
    ]


def zeropoints(session: Session, image_id: IntArray, *, aperture: int = 4, calibration: str = "header") -> Columns:
    """Return the zero points of an aperture for images, which hold all over them.

    A calibration by the images' own stars has gradients, too: see `ztfdb.store.self_calibrations.self_terms`.

    Parameters
    ----------
    session : Session
    image_id : ndarray of int64, shape (n_image,)
        Ids, in any order.
    aperture : int
        1 to 6: diameters 2, 3, 4, 6, 10, 14 px.
    calibration : str
        ``header`` (MAGZP + APCOR) or ``ps1`` (fitted to stars of PS1).

    Returns
    -------
    dict of ndarray, each of shape (n_image,)
        In the order asked: ``zeropoint`` and ``zeropoint_err`` (AB mag of 1 DN in the aperture for a star of colour 0),
        ``color_term`` (mag per mag) and ``color_term_err``; NaN where the image has no such calibration.

    Raises
    ------
    ValueError
        If there is no such aperture or calibration.
    """
    if aperture not in APERTURES:
        raise ValueError(f"aperture {aperture} is none of {', '.join(map(str, APERTURES))}")
    if calibration not in IMAGE_METHODS:
        raise ValueError(f"calibration {calibration!r} is none of {', '.join(IMAGE_METHODS)}")
    names = ("zeropoint", "zeropoint_err", "color_term", "color_term_err")
    wanted = np.asarray(image_id, dtype=np.int64)
    ids, back = np.unique(wanted, return_inverse=True)
    rows, params = backend(session).range_rows(id=ids)
    dtypes = {"image_id": "i8", **dict.fromkeys(names, "f8")}
    if calibration == "header":
        fields = "image.magzp, image.magzpunc, image.clrcoeff, image.clrcounc"
        statement = f"""
            select image.image_id, {fields}, image.apcor{int(aperture)} as apcor
            from {rows} join image on image.image_id = r.id"""
        dtypes["apcor"] = "f8"
    else:
        fields = ", ".join(f"calibration.{name}" for name in names)
        statement = (
            f"select calibration.image_id, {fields} from {rows} join calibration on calibration.image_id = r.id "
            "and calibration.method = :method and calibration.aperture = :aperture"
        )
        params = {**params, "method": calibration, "aperture": int(aperture)}
    found = backend(session).read_columns(statement, params, dtypes)
    if calibration == "header":
        found["zeropoint"] = aperture_zeropoint(found["zeropoint"], found["apcor"])
    at = np.searchsorted(ids, found["image_id"])
    answer = {name: np.full(len(ids), np.nan) for name in names}
    for name in names:
        answer[name][at] = found[name]
    return {name: values[back] for name, values in answer.items()}
