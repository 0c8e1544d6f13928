"""Which cone is asked for: of our sources, or of ZTF's own."""

from __future__ import annotations

from typing import Any

from ztfdb.query.answer import Answer
from ztfdb.query.cone import cone_answer
from ztfdb.store.backends import AnySession


def cone_of(phot: str, session: AnySession, *place: float, **options: Any) -> Answer:
    """Return a cone (deg, deg, arcsec) of our sources (``aperture``), or of ZTF's own (``psfcat``)."""
    if phot != "psfcat":
        return cone_answer(session, *place, **options)
    from ztfdb.query.psf_catalogues import psf_cone_answer

    return psf_cone_answer(session, *place, **options)
