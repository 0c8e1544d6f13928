"""Files that were moved or renamed: where one is gone and its content lies elsewhere, the archive follows."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.ingest.content import same_content
from ztfdb.ingest.discover import Candidate, is_url
from ztfdb.store.backends import backend
from ztfdb.store.image_files import OWN_ROLES, find_files, move_file
from ztfdb.store.psf_catalogues import find_psf, move_psf
from ztfdb.store.roots import place_file


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


def follow(session: Session, image_id: int, candidate: Candidate, *, places: Places = None) -> None:
    """Point the files of an image, and its PSF catalogue, at where they lie now.

    Each is looked for where `candidate` has it, else under its own name beside the image; it must be gone from where
    it was, and have the same content. The others stay as they are.

    Parameters
    ----------
    session : Session
        A writing one.
    image_id : int
    candidate : Candidate
        The image at its new place.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    backend(session).lock_name(image_id)
    come = {**dict.fromkeys(OWN_ROLES, candidate.path), "msk": candidate.mask}
    for file in find_files(session, image_id, places=places):
        path = come.get(file.role) or _beside(candidate.path, file.absolute)
        if is_gone(file.absolute) and same_content(path, file.facts):
            place = place_file(session, path, places=places, given=candidate.given)
            move_file(session, image_id, file.role, place, Path(path).stat().st_mtime_ns)
    for psf in find_psf(session, image_id, places=places):
        path = candidate.psfcat or _beside(candidate.path, psf.absolute)
        if is_gone(psf.absolute) and same_content(path, psf.facts):
            place = place_file(session, path, places=places, given=candidate.given)
            move_psf(session, image_id, place, Path(path).stat().st_mtime_ns)


def _beside(image: str, other: str) -> str:
    return str(Path(image).with_name(Path(other).name))
