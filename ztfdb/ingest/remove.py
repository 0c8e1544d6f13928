"""Taking images out of an archive again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Progress
from ztfdb.errors import UnknownImageError
from ztfdb.store.engine import writing
from ztfdb.store.image_choice import possible_ids
from ztfdb.store.image_rows import image_names
from ztfdb.store.images import delete_image
from ztfdb.store.psf_catalogues import psf_catalogues_held


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be.

    Attributes
    ----------
    images : tuple of int
    n_source : int
    """

    images: tuple[int, ...]
    n_source: int


def remove_images(
    sessions: sessionmaker[Session],
    image_id: Iterable[int],
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Removal:
    """Remove images with all that belongs to them, one transaction each; their files stay where they are.

    Parameters
    ----------
    sessions : sessionmaker
    image_id : iterable of int
    dry_run : bool
        Only say what would be removed.
    progress : callable, optional
        Called with the number of images done, and of all.

    Raises
    ------
    UnknownImageError
        If the archive has no such image; nothing is removed then.
    """
    wanted = sorted({int(one) for one in image_id})
    with sessions() as session:
        ids = possible_ids(wanted)
        held = image_names(session, ids)
        n_source = dict.fromkeys(psf_catalogues_held(session, ids.tolist()), 0)  # also references without their image
    n_source |= dict(zip(held["image_id"].tolist(), held["n_source"].tolist(), strict=True))
    unknown = [str(one) for one in wanted if one not in n_source]
    if unknown:
        raise UnknownImageError(f"no image {', '.join(unknown[:5])} in this archive")
    if not dry_run:
        for number, one in enumerate(wanted, start=1):
            with writing(sessions) as session:
                delete_image(session, one)
            if progress is not None:
                progress(number, len(wanted))
    return Removal(tuple(wanted), sum(n_source[one] for one in wanted))
