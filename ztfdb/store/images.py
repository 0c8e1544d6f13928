"""Store, replace and delete whole images, inside the caller's transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.errors import IdentityCollisionError, OlderVersionError, UnknownImageError
from ztfdb.records import FileFacts, MeasuredImage, PsfCatalogueRecord
from ztfdb.schema import Base, Calibration, Completeness, Image, ImageCell, ImageFile, ImageHeader, PsfCheck
from ztfdb.store.backends import backend
from ztfdb.store.columns import python_values
from ztfdb.store.detection_rows import delete_rows
from ztfdb.store.detections import OURS
from ztfdb.store.facts_checksums import facts_checksum
from ztfdb.store.forced import delete_forced
from ztfdb.store.image_files import OWN_ROLES, Stored, StoredFile, find_files, find_impostors, known_as
from ztfdb.store.matches import delete_matches
from ztfdb.store.meta_rows import config_id
from ztfdb.store.psf_catalogues import delete_psf, find_psf, store_psf
from ztfdb.store.roots import find_places, place_file, read_roots
from ztfdb.store.sources import source_checksum, store_sources

IDENTITY = ("kind", "simulated", "expid", "field", "rcid", "fid", "x0", "y0", "nx", "ny")
"""Columns that identify an image: those of the UNIQUE constraint."""

_IMAGE, _FILE, _HEADER, _CELL = (
    Base.metadata.tables[name] for name in ("image", "image_file", "image_header", "image_cell")
)

# Statements for every image are built once: building one takes longer than running it.
# No other columns: a damaged value in one must not prevent storing the image again.
_EXISTING = select(
    *(_IMAGE.c[name] for name in ("image_id", *IDENTITY, "procvsn", "created", "infobits_source"))
).where(_IMAGE.c.image_id == bindparam("of"))
_INSERT_IMAGE, _INSERT_FILE, _INSERT_HEADER = insert(_IMAGE), insert(_FILE), insert(_HEADER)

IMPORTED = ("seeing", "maglimit", "infobits", "infobits_source")
"""Columns that IRSA's metadata may have filled; measuring the same pixels again does not change them."""


def store_image(
    session: Session,
    measured: MeasuredImage,
    *,
    places: Places = None,
    given: str | Path | None = None,
    force: bool = False,
    before_rows: Callable[[], None] | None = None,
    is_gone: Callable[[str], bool] | None = None,
    same_image: Callable[[str, str], bool] | None = None,
) -> Stored:
    """Store a measured image with its sources, or replace the one of the same identity.

    The same content is unchanged, or a known copy at another path, also packed in another way. A new or changed mask
    replaces the image. Other content replaces it if it is newer (PROCVSN, then CREATED), or equally new at the same
    path (a file that was written again), or if the stored file is gone. An image stored from another product of the
    exposure, as by earlier versions of ztfdb, is always replaced.

    Parameters
    ----------
    session : Session
        A writing one, see `ztfdb.store.engine.writing`; everything is one transaction.
    measured : MeasuredImage
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    given : str or Path, optional
        The folder given to ingest, a candidate for a new data root.
    force : bool
        Also replace unchanged images; never newer ones.
    before_rows : callable, optional
        Called before the many rows of a stored image are written: from then on the database does the work.
    is_gone : callable, optional
        Returns whether no file exists at an absolute path any more; by default the stored file is assumed to exist.
    same_image : callable, optional
        Returns whether two files, by their absolute paths, have the same image although their bytes differ; called
        only for the same version at another path.

    Raises
    ------
    OlderVersionError
        If the archive has a newer processing, or another file of the same version.
    IdentityCollisionError
        If another exposure has the same ``image_id``.
    TooManySourcesError
        If the image has more than 2^18 sources.
    """
    image_id = int(measured.info.image_id)
    backend(session).lock_name(image_id)  # another process may be storing the same image
    existing = session.execute(_EXISTING, {"of": image_id}).one_or_none()
    if existing is None:
        _insert_image(session, _image_row(session, measured))
        _store_parts(session, measured, places, given, before_rows)
        return Stored.STORED
    _check_identity(existing, measured)
    own = _own_file(measured.files)
    stored = {file.role: file for file in find_files(session, image_id, places=places)}
    mine = stored[own.role]
    in_place = mine.place in find_places(read_roots(session, places), own.path)
    gone = is_gone is not None and not in_place and is_gone(mine.absolute)
    same = mine.facts.sha256 == own.sha256
    if not (same or in_place or gone) and same_image is not None and _version(existing) == _version(measured.info):
        same = same_image(own.path, mine.absolute)
    if not (force or gone):
        come = {file.role: file for file in measured.files}

        def is_same(role: str) -> bool:
            return same if role == own.role else stored[role].facts.sha256 == come[role].sha256

        state = known_as(stored, come, is_same, in_place=in_place, gone=False)
        if state is not None:
            return state
    row = _image_row(session, measured)
    if not same:
        if not find_impostors(session, [image_id]):
            _check_newer(existing, measured, mine, in_place=in_place or gone)
        delete_psf(session, image_id)  # it belongs to the other processing
    elif existing.infobits_source is not None:
        row = {name: value for name, value in row.items() if name not in IMPORTED}
    _delete_parts(session, image_id)
    session.execute(update(Image).where(Image.image_id == image_id).values(**row))
    _store_parts(session, measured, places, given, before_rows)
    return Stored.REPLACED


def hold_image(session: Session, image_id: int) -> bool:
    """Return whether an image exists, and keep it from being removed or replaced until the transaction ends.

    Work on many images calls this before each of them: others may have removed one since the work began.

    Parameters
    ----------
    session : Session
        A writing one.
    image_id : int
    """
    backend(session).lock_name(image_id)
    return session.scalar(select(Image.image_id).where(Image.image_id == int(image_id))) is not None


def delete_image(session: Session, image_id: int) -> int:
    """Delete an image and all that belongs to it, and return how many of our sources it had.

    For a reference that has only a PSF catalogue, that is deleted.

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    backend(session).lock_name(image_id)
    held = session.scalar(select(Image.image_id).where(Image.image_id == int(image_id)))
    if held is None and not find_psf(session, image_id):
        raise UnknownImageError(f"no image {image_id} in this archive")
    n_source = _delete_parts(session, int(image_id))
    delete_psf(session, image_id)
    session.execute(delete(Image).where(Image.image_id == int(image_id)))
    return n_source


def version_of(procvsn: int | None, created: str | None) -> tuple[int, str]:
    """Return the sort key of the processings of an image: PROCVSN, then CREATED (ISO text); missing ones are oldest."""
    return (-1 if procvsn is None else procvsn, (created or "").strip())


def _own_file(files: Sequence[FileFacts]) -> FileFacts:
    return next(f for f in files if f.role in OWN_ROLES)


def _check_identity(existing: Row[Any], measured: MeasuredImage) -> None:
    differing = [
        f"{name} {getattr(existing, name)!r} and {getattr(measured.info, name)!r}"
        for name in IDENTITY
        if getattr(existing, name) != getattr(measured.info, name)
    ]
    if differing:
        raise IdentityCollisionError(
            f"image {existing.image_id} is stored for another exposure: {', '.join(differing)}"
        )


def _check_newer(existing: Row[Any], measured: MeasuredImage, stored: StoredFile, *, in_place: bool) -> None:
    have, come = _version(existing), _version(measured.info)
    if come > have or (come == have and in_place):
        return
    version = f"PROCVSN {measured.info.procvsn}, CREATED {measured.info.created}"
    if come < have:
        what, than = "an older processing", f" (PROCVSN {existing.procvsn}, CREATED {existing.created})"
    else:
        what, than = "another file of the same processing", ", whose pixels or header differ"
    raise OlderVersionError(
        f"{what} of image {existing.image_id} ({version}); the archive keeps {stored.absolute}{than}: to have this "
        f"file instead, remove the image first (ztfdb remove image {existing.image_id})"
    )


def _version(of: Any) -> tuple[int, str]:
    return version_of(of.procvsn, of.created)


def _image_row(session: Session, measured: MeasuredImage) -> dict[str, Any]:
    info = measured.info
    row = {f.name: getattr(info, f.name) for f in dataclasses.fields(info)}
    row |= {f"sky_noise{k}": value for k, value in enumerate(measured.sky_noise.tolist(), start=1)}
    row |= {
        "background": measured.background,
        "background_rms": measured.background_rms,
        "infobits_source": None if info.infobits is None else "header",
        "has_mask": any(f.role == "msk" for f in measured.files),
        "n_source": len(measured.sources),
        "config_id": config_id(session, measured.config),
        "caveats": int(measured.caveats),
        "row_checksum": source_checksum(int(info.image_id), measured.sources),
    }
    row = python_values(row)
    files = [_file_row(int(info.image_id), one) for one in measured.files]
    return row | {"facts_checksum": facts_checksum(row, _header_rows(measured), files, _cell_rows(measured))}


def _insert_image(session: Session, row: dict[str, Any]) -> None:
    try:
        session.execute(_INSERT_IMAGE, row)
    except IntegrityError as exc:
        if "identity" not in str(exc.orig) and "image.kind" not in str(exc.orig):
            raise
        raise IdentityCollisionError(f"the exposure of image {row['image_id']} is stored under another id") from exc


def _store_parts(
    session: Session,
    measured: MeasuredImage,
    places: Places,
    given: str | Path | None,
    before_rows: Callable[[], None] | None,
) -> None:
    image_id = int(measured.info.image_id)
    placed = [(f, place_file(session, f.path, places=places, given=given)) for f in measured.files]
    files = [_file_row(image_id, f) | {"data_root_id": p.data_root_id, "path": p.path} for f, p in placed]
    session.execute(_INSERT_FILE, files)
    session.execute(_INSERT_HEADER, _header_rows(measured))
    cells = measured.cells.astype(np.int64)
    backend(session).copy_rows(_CELL, {"cell9": cells, "image_id": np.full(len(cells), image_id)})
    if before_rows is not None:
        before_rows()
    store_sources(session, image_id, measured.sources)
    if isinstance(measured.psfcat, PsfCatalogueRecord):
        store_psf(session, image_id, measured.psfcat, magzp=measured.info.magzp, places=places, given=given)


def _delete_parts(session: Session, image_id: int) -> int:
    delete_matches(session, image_id)
    delete_forced(session, image_id)
    for part in (ImageFile, ImageHeader, ImageCell, Calibration, Completeness, PsfCheck):
        session.execute(delete(part).where(part.image_id == image_id))
    return delete_rows(session, OURS, image_id)


def _file_row(image_id: int, facts: FileFacts) -> dict[str, Any]:
    return python_values(dataclasses.asdict(facts) | {"image_id": image_id})


def _header_rows(measured: MeasuredImage) -> list[dict[str, Any]]:
    image_id, own = int(measured.info.image_id), _own_file(measured.files).role
    return [
        {
            "image_id": image_id,
            "role": role,
            "cards": cards,
            **(_pixel_facts(measured) if role == own else _NO_FACTS),
        }
        for role, cards in measured.headers.items()
    ]


def _cell_rows(measured: MeasuredImage) -> list[dict[str, Any]]:
    image_id = int(measured.info.image_id)
    return [{"cell9": cell, "image_id": image_id} for cell in measured.cells.tolist()]


_NO_FACTS: dict[str, Any] = dict.fromkeys(
    ("wcs_projection", "wcs", "mesh_box_y", "mesh_box_x", "mesh_ny", "mesh_nx", "mesh_level", "mesh_rms")
)


def _pixel_facts(measured: MeasuredImage) -> dict[str, Any]:
    mesh = measured.mesh
    return {
        "wcs_projection": measured.wcs.projection,
        "wcs": measured.wcs.to_array().tobytes(),
        "mesh_box_y": mesh.box[0],
        "mesh_box_x": mesh.box[1],
        "mesh_ny": mesh.level.shape[0],
        "mesh_nx": mesh.level.shape[1],
        "mesh_level": np.ascontiguousarray(mesh.level, "<f4").tobytes(),
        "mesh_rms": np.ascontiguousarray(mesh.rms, "<f4").tobytes(),
    }
