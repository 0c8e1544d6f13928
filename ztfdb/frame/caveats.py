"""Caveats of measurable images: no GAIN, another unit, no mask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ztfdb.bits import NO_CAVEAT, Caveat
from ztfdb.frame.cards import AnyHeader, text
from ztfdb.frame.filename import mask_paths_for
from ztfdb.records import ImageInfo

DN_UNITS = frozenset(("data value", "data values", "data number", "dn", "adu", "count", "counts", "ct"))
"""Values of BUNIT, in lower case, that mean DN; ZTF writes ``Data Value``."""


def image_caveats(header: AnyHeader, info: ImageInfo, path: str | Path, *, has_mask: bool) -> Caveat:
    """Return the caveats of an image.

    Parameters
    ----------
    header : astropy.io.fits.Header or mapping
    info : ImageInfo
        Values read from it.
    path : str or Path
        The file; the mask is expected beside it.
    has_mask : bool
        Whether it is measured with a mask. References have no mask.

    Returns
    -------
    Caveat
        Without BUNIT the unit is assumed to be DN.
    """
    found = NO_CAVEAT
    if info.gain is None:
        found |= Caveat.NO_GAIN
    if (text(header, "BUNIT") or "dn").lower() not in DN_UNITS:
        found |= Caveat.OTHER_UNIT
    if not has_mask and info.kind != "ref":
        found |= Caveat.NO_MASK
        if any(map(_is_no_file, mask_paths_for(path))):
            found |= Caveat.MASK_NO_FILE
    return found


def _is_no_file(path: Path) -> bool:
    """Return whether a path is something other than a file, for example a broken link."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return os.path.lexists(path)
