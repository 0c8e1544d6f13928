"""Checks of images against their PSF catalogues: their input, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns
from ztfdb.schema import Image, PsfCatalogue, PsfCheck
from ztfdb.store.backends import backend
from ztfdb.store.columns import python_values
from ztfdb.store.detections import ZTF_PSF, rows_of_image
from ztfdb.store.image_choice import image_row, possible_ids
from ztfdb.store.image_files import among_rows
from ztfdb.store.psf_check_summary import WORST_FIRST

PSF_COLUMNS = ("source_id", "ra", "dec", "flux", "mag_inst", "sigmag", "chi", "sharp", "flags")
"""Columns of ``psf_source`` that a check reads."""

CHECK_DTYPES: dict[str, Any] = {
    "image_id": "i8", "field": "i8", "ccdid": "i8", "qid": "i8", "filtercode": "O", "obsmjd": "f8", "aperture": "i8",
    "n_match": "i8", "n_star": "i8", "n_clipped": "i8",
    **dict.fromkeys(
        ("median", "median_err", "scatter", "slope", "slope_err", "x_gradient", "x_gradient_err", "y_gradient",
         "y_gradient_err", "bright_limit", "faint_limit", "severity"), "f8"),
    "warning": "i8", "failure": "O", "checked": "O",
}  # fmt: skip
"""Columns of view ``image_psf_check`` that are shown."""


def image_to_check(session: Session, image_id: int) -> dict[str, Any]:
    """Return the columns of an image that a check reads.

    They are ``kind``, ``filtercode``, ``nx``, ``ny``, ``magzp``, ``saturate``, ``apcor1`` to ``apcor6``.

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    names = ("kind", "filtercode", "nx", "ny", "magzp", "saturate", *(f"apcor{k}" for k in range(1, 7)))
    return image_row(session, image_id, names)


def failed_checks(session: Session, image_ids: Sequence[int]) -> dict[int, str]:
    """Return the reasons why images could not be compared with their PSF catalogue, by image."""
    statement = select(PsfCheck.image_id, PsfCheck.failure).where(PsfCheck.failure.is_not(None))
    statement, params = among_rows(session, statement, PsfCheck.image_id, image_ids)
    return {int(image_id): str(failure) for image_id, failure in session.execute(statement, params)}


def psf_sources_to_check(session: Session, image_id: int) -> Columns:
    """Return `PSF_COLUMNS` of an image's PSF catalogue, ordered by ``source_id``."""
    return rows_of_image(session, ZTF_PSF, image_id, PSF_COLUMNS)


def has_psf_catalogue(session: Session, image_id: int) -> bool:
    """Return whether an image has a PSF catalogue."""
    held = select(PsfCatalogue.image_id).where(PsfCatalogue.image_id == int(image_id))
    return session.execute(held).one_or_none() is not None


def images_with_psf(session: Session, among: Sequence[int] | None = None) -> list[int]:
    """Return the images, or those of `among`, with a PSF catalogue, without references, ascending."""
    statement = select(Image.image_id).join(PsfCatalogue, PsfCatalogue.image_id == Image.image_id)
    statement = statement.where(Image.kind != "ref").order_by(Image.image_id)
    statement, params = among_rows(session, statement, Image.image_id, among)
    return list(session.execute(statement, params).scalars())


def checked_images(session: Session, among: Sequence[int] | None = None) -> list[int]:
    """Return the images, or those of `among`, that have a check, ascending."""
    statement = select(PsfCheck.image_id).order_by(PsfCheck.image_id)
    statement, params = among_rows(session, statement, PsfCheck.image_id, among)
    return list(session.execute(statement, params).scalars())


def store_psf_check(session: Session, row: Mapping[str, Any]) -> None:
    """Store the check of an image, replacing an existing one."""
    delete_psf_check(session, row["image_id"])
    session.execute(insert(PsfCheck), [python_values(row)])


def delete_psf_check(session: Session, image_id: int) -> None:
    """Delete the check of an image."""
    session.execute(delete(PsfCheck).where(PsfCheck.image_id == int(image_id)))


def read_psf_checks(session: Session, image_id: Sequence[int] | None = None, *, warning: int = 0) -> Columns:
    """Return checks (`CHECK_DTYPES`), the worst first; NULL is NaN, and None in text.

    Parameters
    ----------
    session : Session
    image_id : sequence of int, optional
        Images to return, each once; by default all.
    warning : int
        Lowest level of the warning.
    """
    fields = ", ".join(f"c.{name}" for name in CHECK_DTYPES)
    origin, params = "image_psf_check as c", dict[str, Any]()
    if image_id is not None:
        rows, params = backend(session).range_rows(id=possible_ids(image_id))
        origin = f"{rows} join image_psf_check as c on c.image_id = r.id"
    statement = f"select {fields} from {origin} where c.warning >= :warning {WORST_FIRST}"
    return backend(session).read_columns(statement, {**params, "warning": int(warning)}, CHECK_DTYPES)
