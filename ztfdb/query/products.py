"""The file of an archive that has one of ZTF's names, and parts of it cut out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from ztfdb.frame.filename import parse_name
from ztfdb.records import FileFacts, StoredPixels
from ztfdb.store.images import find_files, images_named
from ztfdb.store.stored import stored_pixels

ROLES = {"sciimg": "sci", "mskimg": "msk", "refimg": "ref", "psfcat": "psfcat", "refpsfcat": "refpsfcat"}
"""Roles of files by ZTF's word for the product."""


@dataclass(frozen=True)
class Product:
    """A file of an image.

    Attributes
    ----------
    facts : FileFacts
        As it was when it was ingested; ``path`` is where it lies.
    image : StoredPixels or None
        What cuts parts out of it; None for a file without pixels of the image.
    """

    facts: FileFacts
    image: StoredPixels | None


def find_product(session: Session, name: str, *, places: Mapping[str, str | Path] | None = None) -> Product | None:
    """Return the file of a name; None where the archive has none.

    Parameters
    ----------
    session : Session
    name : str
        ZTF's name of a ``sciimg``, ``mskimg``, ``psfcat``, ``refimg`` or ``refpsfcat``; folders before it are ignored.
        The name need not be that under which the file is kept: a packed one is found by its plain name.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    """
    named = parse_name(name)
    role = None if named is None else ROLES.get(named.product)
    if named is None or role is None or named.rcid is None:
        return None
    ids = images_named(session, named.field, named.rcid, named.fid, named.filefracday)
    for image_id in ids:  # the whole quadrant before cutouts of it
        for file in find_files(session, image_id, places=places):
            if file.role == role:
                pixels = stored_pixels(session, [image_id], places=places).get(image_id)
                return Product(file.facts, pixels if role in ("sci", "msk", "ref") else None)
    return None
