"""The file of an archive with one of ZTF's names, and the files related to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.frame.filename import parse_name
from ztfdb.records import FileFacts, StoredPixels
from ztfdb.store.image_choice import images_named, whole_quadrants
from ztfdb.store.image_files import find_files
from ztfdb.store.image_pixels import stored_pixels
from ztfdb.store.psf_catalogues import find_psf, find_psf_named

ROLES = {"sciimg": "sci", "mskimg": "msk", "refimg": "ref", "psfcat": "psfcat", "refpsfcat": "refpsfcat"}
"""Roles of files by ZTF's name of the product."""

CATALOGUES = ("psfcat", "refpsfcat")
"""Those stored separately from images; a reference's may be in the archive without the reference."""


@dataclass(frozen=True)
class Product:
    """A file of an image.

    Attributes
    ----------
    facts : FileFacts
        As at ingest; ``path`` is where the file is.
    image : StoredPixels or None
        For cutting parts out of it; None for a file without pixels.
    """

    facts: FileFacts
    image: StoredPixels | None


def find_product(session: Session, name: str, *, places: Places = None) -> Product | None:
    """Return the file with a name; None where the archive has none.

    Parameters
    ----------
    session : Session
    name : str
        ZTF's name of a ``sciimg``, ``mskimg``, ``psfcat``, ``refimg`` or ``refpsfcat``; folders before it are ignored.
        The file may be stored under another name: a packed one is found by its plain name.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    named = parse_name(name)
    role = None if named is None else ROLES.get(named.product)
    if named is None or role is None or named.rcid is None:
        return None
    ids = images_named(session, named.field, named.rcid, named.fid, named.filefracday)
    if role in CATALOGUES:
        images = None if role == "refpsfcat" else ids
        found = find_psf_named(session, named.field, named.rcid, named.fid, images, places=places)
        return Product(found[0].facts, None) if found else None
    for image_id in ids:  # whole quadrants come before cutouts
        for file in find_files(session, image_id, places=places):
            if file.role == role:
                pixels = stored_pixels(session, [image_id], places=places).get(image_id)
                return Product(file.facts, pixels)
    return None


@dataclass(frozen=True)
class Related:
    """Other files of an image.

    Attributes
    ----------
    catalogue : FileFacts or None
        Its PSF catalogue by ZTF.
    whole : FileFacts or None
        For a cutout, the file of the whole quadrant.
    whole_id : int or None
        Its ``image_id``.
    """

    catalogue: FileFacts | None = None
    whole: FileFacts | None = None
    whole_id: int | None = None


def related_files(session: Session, image_id: Sequence[int], *, places: Places = None) -> dict[int, Related]:
    """Return other files of images, by ``image_id``.

    Parameters
    ----------
    session : Session
    image_id : sequence of int
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    catalogues = {one.image_id: one.facts for one in find_psf(session, image_id, places=places)}
    wholes = whole_quadrants(session, image_id)
    files = {
        one.image_id: one.facts
        for one in find_files(session, sorted(set(wholes.values())), places=places)
        if one.role == "sci"
    }
    return {
        one: Related(catalogues.get(one), files.get(wholes.get(one, -1)), wholes.get(one)) for one in map(int, image_id)
    }
