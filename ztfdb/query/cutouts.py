"""Cutouts of ingested images by a shape on the sky, and the files of the images."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from ztfdb.arguments import shown
from ztfdb.arrays import Places
from ztfdb.errors import UnknownImageError
from ztfdb.records import StoredPixels
from ztfdb.sky.shapes import SkyShape
from ztfdb.stamps import Cutout, window_of
from ztfdb.store.image_pixels import stored_cards, stored_pixels


def image_pixels(session: Session, image_id: Iterable[int], *, places: Places = None) -> dict[int, StoredPixels]:
    """Return where the pixels of images are, by ``image_id``; unknown ids are left out."""
    return stored_pixels(session, image_id, places=places)


def cutout(
    session: Session,
    shape: SkyShape | None = None,
    *,
    image_id: int,
    mask: bool = False,
    places: Places = None,
) -> Cutout | None:
    """Return the part of an image that contains a shape.

    Parameters
    ----------
    session : Session
    shape : SkyShape, optional
        See `ztfdb.sky.shapes`; by default the whole image.
    image_id : int
        Of an image or a reference.
    mask : bool
        Also cut the image's mask, if it has one.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.

    Returns
    -------
    Cutout or None
        None where no part of the shape lies on the image. Its file is opened in a ``with`` block, which raises
        `ztfdb.errors.ImageReadError` where it is missing or has changed.

    Raises
    ------
    UnknownImageError
        If there is no such image.
    """
    if not isinstance(shape, SkyShape | None):
        raise ValueError(f"shape {shown(shape)}: expected a circle, a range or a polygon of ztfdb.sky.shapes")
    image = stored_pixels(session, [image_id], places=places).get(int(image_id))
    if image is None:
        raise UnknownImageError(f"no image {image_id} in this archive")
    ny, nx = image.shape
    window = (slice(0, ny), slice(0, nx)) if shape is None else window_of(image.wcs, image.shape, shape)
    if window is None:
        return None
    rows, cols = window
    return Cutout(image, rows, cols, stored_cards(session, int(image_id), image.own.role), mask)
