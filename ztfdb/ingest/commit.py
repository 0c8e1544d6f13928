"""A measured image into the archive: one image, one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.derive.crossmatch import match_new_image
from ztfdb.errors import StoreError
from ztfdb.records import MeasuredImage
from ztfdb.store.engine import writing
from ztfdb.store.images import Stored, store_image


def commit_image(
    sessions: sessionmaker[Session],
    measured: MeasuredImage,
    *,
    places: Mapping[str, str | Path] | None = None,
    given: str | Path | None = None,
    force: bool = False,
) -> Stored:
    """Store a measured image in a transaction of its own, and match it with the reference catalogues that are held.

    See `ztfdb.store.images.store_image` for what is stored when.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached any more, or is locked for too long.
    StoreError
        If the archive refuses the image; nothing of it is stored then.
    """
    try:
        with writing(sessions) as session:
            outcome = store_image(session, measured, places=places, given=given, force=force)
            if outcome in (Stored.STORED, Stored.REPLACED):
                match_new_image(session, measured.info.image_id)
            return outcome
    except (SQLAlchemyError, ValueError, OverflowError) as exc:
        # A value that no column takes: the image's own fault (a damaged header), never the end of a night.
        cause = exc.__cause__ if isinstance(exc, SQLAlchemyError) and exc.__cause__ else exc
        raise StoreError(f"image {measured.info.image_id} was refused: {' '.join(str(cause).split())}") from exc
