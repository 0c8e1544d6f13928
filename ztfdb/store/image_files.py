"""Files of images: their paths, their facts at the time of measurement, and which image has the content of a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Row, Select, TextClause, and_, bindparam, case, func, select, text, update
from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.product import other_product, without_sky
from ztfdb.records import FileFacts
from ztfdb.schema import Base, Image, ImageFile, ImageHeader
from ztfdb.store.backends import backend
from ztfdb.store.roots import FilePlace, absolute_path

AnySelect = TypeVar("AnySelect", bound=Select[*tuple[Any, ...]])

OWN_ROLES = ("sci", "ref")
"""Roles of the file with an image's own pixels; every image has one of them."""


_FACTS = tuple(f.name for f in dataclasses.fields(FileFacts) if f.name != "path")


_facts_of = attrgetter(*_FACTS)


@dataclass(frozen=True)
class StoredFile:
    """A file of an image, as stored in the archive.

    Attributes
    ----------
    image_id : int
    place : FilePlace
    absolute : str
        Its path, if its root is where the archive says.
    facts : FileFacts
        As of the measurement of the image; ``path`` is the absolute one.
    """

    image_id: int
    place: FilePlace
    absolute: str
    facts: FileFacts

    @property
    def role(self) -> str:
        """``sci``, ``msk``, ``ref``, …."""
        return self.facts.role


class Stored(Enum):
    """The result of storing a measured image."""

    STORED = "stored"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    KNOWN_COPY = "known copy"
    MOVED = "moved"


def stored_as(*, in_place: bool, gone: bool) -> Stored:
    """Return the state of a file whose content is stored: unchanged at its path, else moved or a copy.

    Parameters
    ----------
    in_place : bool
        It has the path of the stored file.
    gone : bool
        No file exists at the stored path any more.
    """
    if in_place:
        return Stored.UNCHANGED
    return Stored.MOVED if gone else Stored.KNOWN_COPY


def known_as(
    stored: Mapping[str, object], come: Iterable[str], same: Callable[[str], bool], *, in_place: bool, gone: bool
) -> Stored | None:
    """Return the state of an image with these files, compared to the stored ones; None if something is new.

    A stored mask that is missing now is no reason to measure again. Nor is another mask next to a copy elsewhere, else
    two copies would replace each other forever.

    Parameters
    ----------
    stored : mapping
        The stored files by role.
    come : iterable of str
        Roles of the files of the image.
    same : callable
        Returns whether the file of a role has the content of the stored one; called only if needed.
    in_place, gone : bool
        See `stored_as`; for the image's own file.
    """
    for role in come:
        if role not in stored or ((role in OWN_ROLES or in_place or gone) and not same(role)):
            return None
    return stored_as(in_place=in_place, gone=gone)


_FILE, _IMAGE, _ROOT = (Base.metadata.tables[name] for name in ("image_file", "image", "data_root"))
_FILES = (
    select(_FILE, _ROOT.c.name.label("root_name"), _ROOT.c.path.label("root_path"))
    .join(_ROOT, _ROOT.c.data_root_id == _FILE.c.data_root_id)
    .order_by(_FILE.c.image_id, _FILE.c.role)
)

# Statements for every image are built once: building one takes longer than running it.
_FILE_AT = _FILES.where(
    _FILE.c.data_root_id == bindparam("root"), _FILE.c.path == bindparam("place"), _FILE.c.role.in_(OWN_ROLES)
)

_MASK = _FILE.alias("mask")
_STAMPS_AT = (
    select(_FILE.c.image_id, _FILE.c.path, _FILE.c.size, _FILE.c.mtime_ns, _MASK.c.size, _MASK.c.mtime_ns)
    .outerjoin(_MASK, (_MASK.c.image_id == _FILE.c.image_id) & (_MASK.c.role == "msk"))
    .where(_FILE.c.data_root_id == bindparam("root"), _FILE.c.path.in_(bindparam("paths", expanding=True)))
    .where(_FILE.c.role.in_(OWN_ROLES))
    .order_by(_FILE.c.image_id, _FILE.c.role)
)

PATHS_AT_ONCE = 1_000
"""Paths asked for by one statement."""


def find_files(session: Session, image_id: int | Sequence[int], *, places: Places = None) -> list[StoredFile]:
    """Return the files of one or several images, ordered by image and role; empty if unknown.

    Parameters
    ----------
    session : Session
    image_id : int or sequence of int
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    ids = [int(image_id)] if isinstance(image_id, int | np.integer) else [int(one) for one in image_id]
    wanted, params = ids_in(session, ids)
    return _files(session, ImageFile.image_id.in_(wanted), places=places, params=params)


def find_file_at(session: Session, candidates: Sequence[FilePlace]) -> StoredFile | None:
    """Return the image's own file stored under the first of these places that has one; None if none has."""
    for place in candidates:
        found = session.execute(_FILE_AT, {"root": place.data_root_id, "place": place.path}).first()
        if found is not None:
            return _stored_file(found, {})
    return None


def find_stamps_at(
    session: Session, candidates: Iterable[FilePlace]
) -> dict[FilePlace, tuple[int, tuple[int, int, int | None, int | None]]]:
    """Return which images have their own files at places, with size and mtime of the files and of their masks."""
    paths: dict[int, list[str]] = {}
    for place in candidates:
        paths.setdefault(place.data_root_id, []).append(place.path)
    found: dict[FilePlace, tuple[int, tuple[int, int, int | None, int | None]]] = {}
    for root, wanted in paths.items():
        for start in range(0, len(wanted), PATHS_AT_ONCE):
            params = {"root": root, "paths": wanted[start : start + PATHS_AT_ONCE]}
            for image_id, path, *stamp in session.execute(_STAMPS_AT, params):
                found.setdefault(FilePlace(root, path), (image_id, tuple(stamp)))
    return found


def find_copy(session: Session, sha256: str, *, places: Places = None) -> StoredFile | None:
    """Return the image's own file with this content, at any path; None if the archive has none."""
    found = _files(session, ImageFile.sha256 == sha256, ImageFile.role.in_(OWN_ROLES), places=places)
    return found[0] if found else None


def move_file(session: Session, image_id: int, role: str, place: FilePlace, mtime_ns: int) -> None:
    """Point a file of an image to another place, which has the same content."""
    now = {"data_root_id": place.data_root_id, "path": place.path, "mtime_ns": mtime_ns}
    which = (ImageFile.image_id == int(image_id), ImageFile.role == role)
    session.execute(update(ImageFile).where(*which).values(**now))


def find_impostors(session: Session, image_id: Sequence[int]) -> dict[int, str]:
    """Return the images that were stored from a file of another product, and the name of the product.

    Parameters
    ----------
    session : Session
    image_id : sequence of int

    Returns
    -------
    dict
        By image, in the order of the ids; detected by the stored file's name, its header and the stored background.
    """
    wanted, params = ids_in(session, image_id)
    statement = (
        select(Image.image_id, Image.kind, Image.background, Image.background_rms, ImageFile.path, ImageHeader.cards)
        .join(ImageFile, (ImageFile.image_id == Image.image_id) & ImageFile.role.in_(OWN_ROLES))
        .join(ImageHeader, (ImageHeader.image_id == Image.image_id) & (ImageHeader.role == ImageFile.role))
        .where(Image.image_id.in_(wanted))
        .order_by(Image.image_id)
    )
    found: dict[int, str] = {}
    for row in session.execute(statement, params):
        other = other_product(row.path, row.cards, str(row.cards.get("FILENAME") or ""))
        if other is None and row.kind != "ref":
            other = without_sky(row.background, row.background_rms)
        if other is not None:
            found[int(row.image_id)] = other
    return found


def may_be_stored(
    session: Session,
    *,
    size: int,
    filefracday: int | None,
    obsmjd: tuple[float, float] | None,
    field: int,
    rcid: int | None,
    fid: int,
) -> tuple[bool, bool]:
    """Return quickly whether a file's content, and whether an image of its quadrant, may be stored.

    Most new files need neither a checksum nor a look at their pixels.

    Parameters
    ----------
    session : Session
    size : int
        Bytes of the file.
    filefracday, field, rcid, fid : int or None
        From its ZTF name; without ``filefracday`` that of a reference.
    obsmjd : (float, float) or None
        Range of OBSMJD of images with this ``filefracday``, by which they are found; None for references.
    """
    statement = _OF_QUADRANT if filefracday is None or obsmjd is None else _OF_EXPOSURE
    first, last = obsmjd or (None, None)
    params = {"size": size, "filefracday": filefracday, "first": first, "last": last}
    params |= {"field": field, "rcid": rcid, "fid": fid}
    found = session.execute(statement, params).one()
    return bool(found.same_size), bool(found.same_quadrant)


def _any(name: str, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    return func.max(case((and_(*conditions), 1), else_=0)).label(name)


_QUADRANT = [_IMAGE.c[name] == bindparam(name) for name in ("field", "rcid", "fid")]


def _stored(*where: ColumnElement[bool]) -> Select[int, int]:
    of_size = _FILE.c.size == bindparam("size")
    statement = select(_any("same_size", of_size), _any("same_quadrant", *_QUADRANT))
    return statement.join_from(_FILE, _IMAGE, _IMAGE.c.image_id == _FILE.c.image_id).where(
        _FILE.c.role.in_(OWN_ROLES), *where
    )


_OF_QUADRANT = _stored(*_QUADRANT)
_OF_EXPOSURE = _stored(
    _IMAGE.c.filefracday == bindparam("filefracday"), _IMAGE.c.obsmjd.between(bindparam("first"), bindparam("last"))
)
"""By time: a field may have a hundred thousand images."""


def ids_in(session: Session, ids: Sequence[int]) -> tuple[TextClause, dict[str, Any]]:
    """Return a subquery of ids, and its parameters: a list of hundreds of placeholders takes longer to parse."""
    rows, params = backend(session).range_rows(id=np.array(ids, np.int64))
    return text(f"select r.id from {rows}"), params


def among_rows(
    session: Session, statement: AnySelect, column: Any, ids: Sequence[int] | None
) -> tuple[AnySelect, dict[str, Any]]:
    """Return a statement for the rows whose `column` is one of some ids, by default for all, and its parameters."""
    if ids is None:
        return statement, {}
    wanted, params = ids_in(session, ids)
    return statement.where(column.in_(wanted)), params


def _files(
    session: Session,
    *conditions: Any,
    places: Places = None,
    params: Mapping[str, Any] | None = None,
) -> list[StoredFile]:
    statement = _FILES.where(*conditions)
    return [_stored_file(row, places or {}) for row in session.execute(statement, params)]


def _stored_file(row: Row[Any], places: Mapping[str, str | Path]) -> StoredFile:
    absolute = absolute_path(str(places.get(row.root_name, row.root_path)), row.path)
    facts = FileFacts(path=absolute, **dict(zip(_FACTS, _facts_of(row), strict=True)))
    return StoredFile(row.image_id, FilePlace(row.data_root_id, row.path), absolute, facts)


def accept_mtimes(session: Session, accepted: Iterable[tuple[int, str, int]]) -> None:
    """Store new modification times of files whose content is as ingested.

    Parameters
    ----------
    session : Session
    accepted : iterable of (image_id, role, mtime_ns)
    """
    for image_id, role, mtime_ns in accepted:
        wanted = (ImageFile.image_id == int(image_id), ImageFile.role == role)
        session.execute(update(ImageFile).where(*wanted).values(mtime_ns=int(mtime_ns)))
