"""The checks of images against their PSF catalogues, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.store.psf_checks import read_psf_checks


def psf_checks(session: Session, image_ids: Sequence[int] | None = None, *, warned: bool = False) -> pd.DataFrame:
    """Return the checks of images against ZTF's PSF catalogues of them, the worst first.

    Parameters
    ----------
    session : Session
    image_ids : sequence of int, optional
        Images to return; by default all.
    warned : bool
        Only those with a warning.

    Returns
    -------
    DataFrame
        One row per checked image: the offset of our magnitudes from ZTF's (``median``, ``scatter``), its trend with
        magnitude (``slope``) and over the image (``x_gradient``, ``y_gradient``), and the ``warning``.
    """
    return pd.DataFrame(read_psf_checks(session, image_ids, warning=int(warned)))
