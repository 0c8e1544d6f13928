"""What the pixel half needs to look at ingested images again: where their pixels are, and what measured them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from ztfdb.records import N_APERTURE, BackgroundMesh, FileFacts, StoredImage, WcsParameters
from ztfdb.schema import Image, ImageFile, ImageHeader
from ztfdb.store.columns import python_ints
from ztfdb.store.images import OWN_ROLES, find_files, ids_in

IMAGES_PER_STATEMENT = 500

_NOISE = tuple(f"sky_noise{k}" for k in range(1, N_APERTURE + 1))


def stored_images(
    session: Session, image_id: Iterable[int], *, places: Mapping[str, str | Path] | None = None
) -> list[StoredImage]:
    """Return images as the pixel half wants them, ordered by ``image_id``; unknown ones are left out.

    Parameters
    ----------
    session : Session
    image_id : iterable of int
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    ids = sorted(set(python_ints(image_id)))
    found: list[StoredImage] = []
    for start in range(0, len(ids), IMAGES_PER_STATEMENT):
        found += _some(session, ids[start : start + IMAGES_PER_STATEMENT], places)
    return found


def accept_mtimes(session: Session, accepted: Iterable[tuple[int, str, int]]) -> None:
    """Remember new modification times of files whose content is as ingested.

    Parameters
    ----------
    session : Session
    accepted : iterable of (image_id, role, mtime_ns)
    """
    for image_id, role, mtime_ns in accepted:
        wanted = (ImageFile.image_id == int(image_id), ImageFile.role == role)
        session.execute(update(ImageFile).where(*wanted).values(mtime_ns=int(mtime_ns)))


def _some(session: Session, ids: list[int], places: Mapping[str, str | Path] | None) -> list[StoredImage]:
    header = ImageHeader.__table__.columns
    wanted, params = ids_in(session, ids)
    statement = (
        select(
            Image.image_id,
            Image.nx,
            Image.ny,
            Image.gain,
            Image.x0,
            Image.y0,
            *(getattr(Image, name) for name in _NOISE),
            *(column for column in header if column.name not in ("image_id", "role", "cards")),
        )
        .join(ImageHeader, ImageHeader.image_id == Image.image_id)
        .where(Image.image_id.in_(wanted), ImageHeader.wcs.is_not(None))
        .order_by(Image.image_id)
    )
    files: dict[int, list[FileFacts]] = {}
    for file in find_files(session, ids, places=places):
        files.setdefault(file.image_id, []).append(file.facts)
    remote = [image_id for image_id, some in files.items() if any("://" in file.path for file in some)]
    cards = _cards(session, remote) if remote else {}
    return [_stored(row, files[row.image_id], cards.get(row.image_id)) for row in session.execute(statement, params)]


def _cards(session: Session, ids: list[int]) -> dict[int, dict[str, dict[str, Any]]]:
    """Return the header cards of images by id and role."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    statement = select(ImageHeader.image_id, ImageHeader.role, ImageHeader.cards).where(ImageHeader.image_id.in_(ids))
    for image_id, role, cards in session.execute(statement):
        found.setdefault(image_id, {})[role] = cards
    return found


def _stored(row: Row[Any], files: list[FileFacts], cards: dict[str, dict[str, Any]] | None) -> StoredImage:
    shape = (row.ny, row.nx)
    mesh_shape = (row.mesh_ny or 0, row.mesh_nx or 0)
    level, rms = (np.frombuffer(v or b"", "<f4").reshape(mesh_shape) for v in (row.mesh_level, row.mesh_rms))
    noise = [getattr(row, name) for name in _NOISE]
    return StoredImage(
        image_id=row.image_id,
        shape=shape,
        wcs=WcsParameters.from_array(row.wcs_projection, np.frombuffer(row.wcs, "<f8")),
        files=tuple(sorted(files, key=lambda file: file.role not in OWN_ROLES)),
        mesh=BackgroundMesh(shape, (row.mesh_box_y or 0, row.mesh_box_x or 0), level, rms),
        sky_noise=np.array([np.nan if v is None else v for v in noise]),
        gain=row.gain,
        window=(row.x0, row.y0),
        cards=cards,
    )
