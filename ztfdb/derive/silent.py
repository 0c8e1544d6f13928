"""One log line for all images that could not be checked: a line for each would hide other messages."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.store.matches import matched_in_vain
from ztfdb.store.psf_checks import failed_checks
from ztfdb.texts import one_line

log = logging.getLogger(__name__)


def warn_of_silent(sessions: sessionmaker[Session], image_ids: Sequence[int]) -> None:
    """Log the number of images without matches per catalogue, and of PSF catalogues that could not be compared.

    Parameters
    ----------
    sessions : sessionmaker
    image_ids : sequence of int
        Images that were just matched and checked.
    """
    if not image_ids:
        return
    with sessions() as session:
        for catalogue, images in matched_in_vain(session, image_ids).items():
            facts = {"n_image": len(images), "of": len(image_ids), "first_image_id": images[0]}
            log.warning("no source of some images has a match", extra={"catalogue": catalogue, **facts})
        failed = failed_checks(session, image_ids)
        if failed:
            first = min(failed)
            facts = {"n_image": len(failed), "of": len(image_ids), "first_image_id": first}
            why = one_line(failed[first])
            log.warning("some images could not be compared with their PSF catalogue", extra={**facts, "failure": why})
