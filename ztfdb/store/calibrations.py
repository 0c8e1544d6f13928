"""Photometric calibrations: their input, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns
from ztfdb.schema import Calibration, Image, ImageMatch
from ztfdb.store.columns import python_values
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.image_choice import image_row
from ztfdb.store.image_files import among_rows
from ztfdb.store.zero_points import APERTURES

SOURCE_COLUMNS = (
    "source_id", "hpx29", "ra", "dec", "x", "y", "peak", "flags", "mask_bits", "background",
    *(f"flux_aper{k}{part}" for k in APERTURES for part in ("", "_err")),
)  # fmt: skip
"""Columns of a source that a calibration reads."""


def sources_to_calibrate(session: Session, image_id: int) -> Columns:
    """Return `SOURCE_COLUMNS` of an image's sources, ordered by ``source_id``; ``mask_bits`` is -1 where NULL."""
    return rows_of_image(session, OURS, image_id, SOURCE_COLUMNS)


def image_to_calibrate(session: Session, image_id: int) -> dict[str, Any]:
    """Return the columns of an image that a calibration reads: ``fid``, ``saturate``, ``nx``, ``ny``, ``filtercode``.

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
    """Delete an image's calibrations, by one method or all, and return the number of rows deleted."""
    statement = delete(Calibration).where(Calibration.image_id == int(image_id))
    if method is not None:
        statement = statement.where(Calibration.method == method)
    return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]


def calibrations_of_image(session: Session, image_id: int, method: str = "ps1") -> list[dict[str, Any]]:
    """Return an image's calibration rows, ordered by aperture; empty where it has none."""
    statement = select(Calibration.__table__).where(Calibration.image_id == int(image_id), Calibration.method == method)
    return [dict(row._mapping) for row in session.execute(statement.order_by(Calibration.aperture))]


def uncalibrated_images(session: Session, method: str, catalogue_id: int, among: Sequence[int] | None) -> list[int]:
    """Return the images, or those of `among`, without a calibration by a method, or with one older than their match."""
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
    statement, params = among_rows(session, statement, Image.image_id, among)
    return [
        image_id
        for image_id, calibrated, when in session.execute(statement, params)
        if calibrated is None or (when is not None and when > calibrated)
    ]
