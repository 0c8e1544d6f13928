"""Which cone is asked for: of our sources, or of ZTF's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ztfdb.query.cone import cone

if TYPE_CHECKING:
    import pandas as pd


def cone_of(phot: str) -> Callable[..., pd.DataFrame]:
    """Return the function for a cone of our sources (``aperture``), or of ZTF's own (``psfcat``)."""
    if phot != "psfcat":
        return cone
    from ztfdb.query.psfcat import psf_cone

    return psf_cone
