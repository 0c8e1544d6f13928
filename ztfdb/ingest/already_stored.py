"""Whether a file on its way is in the archive already, found without measuring it.

The rule, `ztfdb.store.image_files.known_as`: a file is the stored one if its size and modification time are, else if
its sha256 is, else, at another path, if it is the same image packed in another way (`same_image`). `find_stored`
applies it before an image is put into the queue, and again before it is measured; `ztfdb.store.images.store_image` to
what was measured.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.errors import ImageError
from ztfdb.frame.filename import ZtfName, parse_name
from ztfdb.frame.identity import obsmjd_of
from ztfdb.frame.read import Frame, read_frame
from ztfdb.frame.sniff import NOT_REGULAR
from ztfdb.ingest.discover import FoundImage, is_url
from ztfdb.records import FileFacts
from ztfdb.store.backends import backend
from ztfdb.store.image_files import (
    OWN_ROLES,
    Stored,
    StoredFile,
    find_copy,
    find_file_at,
    find_files,
    find_stamps_at,
    known_as,
    may_be_stored,
    move_file,
)
from ztfdb.store.psf_catalogues import PSF_ROLES, find_psf, find_psf_at, move_psf
from ztfdb.store.roots import find_places, place_file, read_roots


def same_content(path: str, stored: FileFacts) -> bool:
    """Tell whether a file is as it was stored: by size and modification time, else by its sha256."""
    try:
        now = Path(path).stat()
        if now.st_size != stored.size:
            return False
        return now.st_mtime_ns == stored.mtime_ns or sha256_of(path) == stored.sha256
    except OSError:
        return False


def sha256_of(path: str) -> str:
    """Return the checksum of a file, in hexadecimal digits; OSError for a pipe or a device, which may have no end."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, path)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # else a pipe waits for its other end


PACKING_NOISE = 1.0
"""Largest difference of a pixel that fpack rounded, in units of the noise: it rounds to a fraction of a row's noise."""


def same_image(path: str, stored: str) -> bool:
    """Tell whether two files have the same image, packed by gzip or fpack or not at all, or with other cards.

    Everything that is read of the header is equal, and so are the pixels, to well within their noise where fpack
    rounded them.
    """
    one = _frame(path)
    return one is not None and _same_frame(one, stored)


def _frame(path: str) -> Frame | None:
    try:
        return read_frame(path, find_mask=False, hash_files=False)
    except ImageError:
        return None  # measuring will say what is wrong with it


def _same_frame(one: Frame, path: str) -> bool:
    other = _frame(path)
    if other is None or one.info != other.info or one.wcs.to_array().tobytes() != other.wcs.to_array().tobytes():
        return False
    if np.array_equal(one.data, other.data, equal_nan=True):
        return True
    if all(frame.files[0].compression in ("none", "gzip") for frame in (one, other)):
        return False
    finite = np.isfinite(one.data)
    if not np.array_equal(finite, np.isfinite(other.data)):
        return False
    values = one.data[finite]
    noise = 1.4826 * np.median(np.abs(values - np.median(values)))
    return bool(np.abs(values - other.data[finite]).max() <= PACKING_NOISE * noise)


def is_gone(path: str) -> bool:
    """Tell whether no file lies at a path any more; what cannot be looked at, or is a URL, may be there."""
    if is_url(path):
        return False
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def find_stored(session: Session, image: FoundImage, *, places: Places = None) -> tuple[int, Stored] | None:
    """Return the stored image that a file is, and as what: unchanged, a copy, or moved; None if it must be measured.

    At the stored path the mask must be the stored one too, and so where the stored file is gone and this one takes its
    place; a copy elsewhere is measured only if it brings the first mask.

    Parameters
    ----------
    session : Session
    image : FoundImage
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    own = find_file_at(session, find_places(read_roots(session, places), image.path))
    in_place = own is not None
    if own is None:
        own = _find_copy(session, image.path, places)
    elif not same_content(image.path, own.facts):
        return None
    if own is None:
        return None
    stored, come = {own.role: own.facts}, {own.role: image.path}
    if image.mask is not None:
        come["msk"] = image.mask
        stored |= {file.role: file.facts for file in find_files(session, own.image_id) if file.role == "msk"}
    how = known_as(
        stored,
        come,
        lambda role: role == own.role or same_content(come[role], stored[role]),
        in_place=in_place,
        gone=not in_place and is_gone(own.absolute),
    )
    return None if how is None else (own.image_id, how)


def find_unchanged(session: Session, images: Iterable[FoundImage], *, places: Places = None) -> dict[str, int]:
    """Return which images, looked at before, are stored from these very files, by size and time alone: path and id.

    For each of them `find_stored` has the same answer, with several statements an image.
    """
    roots = read_roots(session, places)
    candidates = {image: find_places(roots, image.path) for image in images}
    stored = find_stamps_at(session, (place for own in candidates.values() for place in own))
    found: dict[str, int] = {}
    for image, own in candidates.items():
        at = next((stored[place] for place in own if place in stored), None)
        if at is not None and image.stamp is not None:
            image_id, (*of_own, mask_size, mask_mtime) = at
            of_mask = (mask_size, mask_mtime) if image.mask is not None else (None, None)
            if image.stamp == (*of_own, *of_mask):
                found[image.path] = image_id
    return found


def find_stored_psf(session: Session, path: str, image_id: int | None, *, places: Places = None) -> int | None:
    """Return the image whose PSF catalogue was stored from this very file, as it is now; None where none was.

    Of several images, cutouts of a quadrant, the first; with `image_id`, that one alone.
    """
    at = find_psf_at(session, find_places(read_roots(session, places), path))
    stored = next((one for one in at if image_id in (None, one.image_id)), None)
    return stored.image_id if stored is not None and same_content(path, stored.facts) else None


def follow_files(session: Session, image_id: int, image: FoundImage, *, places: Places = None) -> None:
    """Point the files of an image, and its PSF catalogue, at where they lie now.

    Each is looked for where `image` has it, else under its own name beside the image; it must be gone from where it
    was, and have the same content. The others stay as they are.

    Parameters
    ----------
    session : Session
        A writing one.
    image_id : int
    image : FoundImage
        The image at its new place.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    backend(session).lock_name(image_id)
    come = {**dict.fromkeys(OWN_ROLES, image.path), "msk": image.mask}
    come |= dict.fromkeys(PSF_ROLES, image.psfcat)
    for file in (*find_files(session, image_id, places=places), *find_psf(session, image_id, places=places)):
        path = come.get(file.role) or _beside(image.path, file.absolute)
        if is_gone(file.absolute) and same_content(path, file.facts):
            place, mtime_ns = (
                place_file(session, path, places=places, given=image.folder),
                Path(path).stat().st_mtime_ns,
            )
            if file.role in PSF_ROLES:
                move_psf(session, image_id, place, mtime_ns)
            else:
                move_file(session, image_id, file.role, place, mtime_ns)


def _find_copy(session: Session, path: str, places: Places) -> StoredFile | None:
    name = parse_name(path)
    same_size, same_quadrant = True, False
    try:
        size = Path(path).stat().st_size
        if name is not None:
            same_size, same_quadrant = may_be_stored(
                session, size=size, filefracday=name.filefracday, obsmjd=_obsmjd(name), field=name.field,
                rcid=name.rcid, fid=name.fid,
            )  # fmt: skip
        if same_size:  # a checksum costs 0.1 s for a quadrant
            copy = find_copy(session, sha256_of(path), places=places)
            if copy is not None:
                return copy
    except OSError:
        return None  # measuring will say what is wrong with it
    return _find_packed(session, path, places) if same_quadrant else None


def _obsmjd(name: ZtfName) -> tuple[float, float] | None:
    return None if name.filefracday is None else obsmjd_of(name.filefracday)


def _find_packed(session: Session, path: str, places: Places) -> StoredFile | None:
    """Return the image's own file that has the same image as a file, packed in another way."""
    frame = _frame(path)
    if frame is None:
        return None
    files = find_files(session, frame.info.image_id, places=places)
    own = next((file for file in files if file.role in OWN_ROLES), None)
    return own if own is not None and _same_frame(frame, own.absolute) else None


def _beside(image: str, other: str) -> str:
    return str(Path(image).with_name(Path(other).name))
