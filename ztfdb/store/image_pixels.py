"""What pixel code needs of ingested images: where their pixels are, and their stored background and noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.bits import Caveat
from ztfdb.codes import N_APERTURE
from ztfdb.records import FileFacts, StoredImage, StoredPixels
from ztfdb.schema import Image, ImageHeader
from ztfdb.store.backends import backend
from ztfdb.store.columns import python_ints
from ztfdb.store.image_files import OWN_ROLES, find_files, ids_in
from ztfdb.store.image_rows import mesh_of
from ztfdb.store.type_checks import N_WCS, array_of
from ztfdb.wcs import WcsParameters

IMAGES_PER_STATEMENT = 500

MOST_REMEMBERED = 10_000
"""Images whose pixels' places are cached on a connection: some 25 MB."""

_NOISE = tuple(f"sky_noise{k}" for k in range(1, N_APERTURE + 1))

_Columns = tuple[Any, ...]
_PIXELS: _Columns = (Image.image_id, Image.nx, Image.ny, ImageHeader.wcs_projection, ImageHeader.wcs)
_SURFACE: _Columns = (
    Image.gain,
    Image.x0,
    Image.y0,
    Image.caveats,
    *(getattr(Image, name) for name in _NOISE),
    *(column for column in ImageHeader.__table__.columns if column.name.startswith("mesh_")),
)


def stored_images(session: Session, image_id: Iterable[int], *, places: Places = None) -> list[StoredImage]:
    """Return the records of images for pixel code, ordered by ``image_id``; unknown ones are left out.

    Parameters
    ----------
    session : Session
    image_id : iterable of int
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    ids = sorted(set(python_ints(image_id)))
    return [
        StoredImage(**_pixels(row, files, cards), **_surface(row))
        for row, files, cards in _rows(session, ids, (*_PIXELS, *_SURFACE), places)
    ]


def stored_pixels(session: Session, image_id: Iterable[int], *, places: Places = None) -> dict[int, StoredPixels]:
    """Return where the pixels of images are, by ``image_id``; unknown ones are left out.

    The connection caches them until the next commit by anyone: see `ztfdb.store.backends.reads.Reads.memory`.

    Parameters
    ----------
    session, image_id, places
        As in `stored_images`.
    """
    ids = set(python_ints(image_id))
    cache: dict[int, StoredPixels] = (
        backend(session).memory().setdefault(f"pixels in {sorted((places or {}).items())}", {})
    )
    found = {one: cache[one] for one in ids & cache.keys()}
    new = {
        row.image_id: StoredPixels(**_pixels(row, files, cards))
        for row, files, cards in _rows(session, sorted(ids - cache.keys()), _PIXELS, places)
    }
    if len(cache) + len(new) > MOST_REMEMBERED:
        cache.clear()
    cache |= dict(list(new.items())[:MOST_REMEMBERED])
    return found | new


def stored_cards(session: Session, image_id: int, role: str) -> dict[str, Any]:
    """Return the header cards of one file of an image, as made by `ztfdb.frame.header.header_cards`."""
    return _cards(session, [image_id]).get(image_id, {}).get(role, {})


def _rows(
    session: Session, ids: Sequence[int], columns: _Columns, places: Places
) -> Iterator[tuple[Row[Any], list[FileFacts], dict[str, dict[str, Any]] | None]]:
    """Yield columns of images, their files, and the cards of remote files, ordered by ``image_id``."""
    for start in range(0, len(ids), IMAGES_PER_STATEMENT):
        some = ids[start : start + IMAGES_PER_STATEMENT]
        files: dict[int, list[FileFacts]] = {}
        for file in find_files(session, some, places=places):
            files.setdefault(file.image_id, []).append(file.facts)
        remote = [image_id for image_id, own in files.items() if any("://" in file.path for file in own)]
        cards = _cards(session, remote) if remote else {}
        wanted, params = ids_in(session, some)
        statement: Select[Any] = (
            select(*columns)
            .join(ImageHeader, ImageHeader.image_id == Image.image_id)
            .where(Image.image_id.in_(wanted), ImageHeader.wcs.is_not(None))
            .order_by(Image.image_id)
        )
        for row in session.execute(statement, params):
            yield row, files[row.image_id], cards.get(row.image_id)


def _cards(session: Session, ids: list[int]) -> dict[int, dict[str, dict[str, Any]]]:
    """Return the header cards of images by id and role."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    statement = select(ImageHeader.image_id, ImageHeader.role, ImageHeader.cards).where(ImageHeader.image_id.in_(ids))
    for image_id, role, cards in session.execute(statement):
        found.setdefault(image_id, {})[role] = cards
    return found


def _pixels(row: Row[Any], files: list[FileFacts], cards: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "shape": (row.ny, row.nx),
        "wcs": WcsParameters.from_array(row.wcs_projection, array_of(row.wcs, "<f8", N_WCS)),
        "files": tuple(sorted(files, key=lambda file: file.role not in OWN_ROLES)),
        "cards": cards,
    }


def _surface(row: Row[Any]) -> dict[str, Any]:
    noise = [getattr(row, name) for name in _NOISE]
    return {
        "mesh": mesh_of(dict(row._mapping)),
        "sky_noise": np.array([np.nan if v is None else v for v in noise]),
        "gain": row.gain,
        "window": (row.x0, row.y0),
        "sky_biased": Caveat.SKY_BIASED in Caveat(row.caveats or 0),
    }
