"""Whether a file is in the archive already, told without reading its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.frame.filename import parse_name
from ztfdb.ingest.content import same_content, sha256_of
from ztfdb.ingest.discover import Candidate
from ztfdb.ingest.moved import is_gone
from ztfdb.records import FileFacts
from ztfdb.store.image_files import StoredFile, find_copy, find_file_at, find_files, may_have_copy
from ztfdb.store.images import Stored
from ztfdb.store.roots import find_places, read_roots


@dataclass(frozen=True)
class Known:
    """An image that needs no measuring.

    Attributes
    ----------
    image_id : int
    how : Stored
        ``UNCHANGED``, ``KNOWN_COPY`` or ``MOVED`` (the stored file is gone, and this one has its content).
    """

    image_id: int
    how: Stored


def find_known(session: Session, candidate: Candidate, *, places: Places = None) -> Known | None:
    """Return the stored image that a file is, or None if it must be measured.

    A file is the stored one if size and modification time are, else if its sha256 is. At the stored path the mask must
    be the stored one too, and so where the stored file is gone and this one takes its place; a copy elsewhere is
    measured only if it brings the first mask.

    Parameters
    ----------
    session : Session
    candidate : Candidate
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    stored = find_file_at(session, find_places(read_roots(session, places), candidate.path))
    if stored is not None:
        if not same_content(candidate.path, stored.facts):
            return None
        same_mask = candidate.mask is None or _same_mask(candidate.mask, _mask_of(session, stored))
        return Known(stored.image_id, Stored.UNCHANGED) if same_mask else None
    copy = _find_copy(session, candidate.path, places)
    if copy is None:
        return None
    mask = _mask_of(session, copy)
    if is_gone(copy.absolute):
        return (
            Known(copy.image_id, Stored.MOVED) if candidate.mask is None or _same_mask(candidate.mask, mask) else None
        )
    return None if candidate.mask is not None and mask is None else Known(copy.image_id, Stored.KNOWN_COPY)


def _find_copy(session: Session, path: str, places: Places) -> StoredFile | None:
    name = parse_name(path)
    try:
        size = Path(path).stat().st_size
        # A checksum costs 0.1 s for a quadrant; most new files have a name that no stored image has.
        if name and not may_have_copy(session, size=size, filefracday=name.filefracday, field=name.field):
            return None
        return find_copy(session, sha256_of(path), places=places)
    except OSError:
        return None  # measuring will say what is wrong with it


def _mask_of(session: Session, stored: StoredFile) -> FileFacts | None:
    return next((file.facts for file in find_files(session, stored.image_id) if file.role == "msk"), None)


def _same_mask(path: str, stored: FileFacts | None) -> bool:
    return stored is not None and same_content(path, stored)
