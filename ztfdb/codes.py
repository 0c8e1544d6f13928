"""Codes stored in rows: filters, apertures, states of jobs, kinds of measurements and of members, PS1's photometry."""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum, StrEnum
from typing import Any

FILTERS = {1: "zg", 2: "zr", 3: "zi"}
"""``filtercode`` of each ``fid``."""

FILTER_IDS = {code: fid for fid, code in FILTERS.items()}
"""``fid`` of each ``filtercode``."""

_FIDS: dict[Any, int] = {
    name: fid for fid, code in FILTERS.items() for name in (code, code[1], str(fid), f"ztf_{code[1]}", f"ztf {code[1]}")
} | {f: f for f in FILTERS}
"""``fid`` by every name of a filter, in lower case."""


def fid_of(name: Any) -> int:
    """Return the ``fid`` of a filter by any of its names: ``zg``, ``g``, ``ZTF_g``, 1.

    Raises
    ------
    ValueError
        If ZTF has no such filter.
    """
    known = name.strip().lower() if isinstance(name, str) else name
    fid = _FIDS.get(known) if isinstance(known, Hashable) and not isinstance(known, bool) else None
    if fid is None:
        raise ValueError(f"filter {name!r}: expected zg, zr or zi (or g, r, i; ZTF_g, ZTF_r, ZTF_i; 1, 2, 3)")
    return fid


PS1_BANDS = ("g", "r", "i", "z", "y")
MEAN_PHOTOMETRY, STACK_PHOTOMETRY = 1, 2
"""``ps1.photometry``: magnitudes averaged over single exposures (the calibrators), or measured on the stack."""


MATCH_MODES = ("nearest", "mutual", "all")
"""Ways to match a source: with the nearest row, with the row whose nearest source it is in turn, with all rows."""

APERTURE_DIAMETERS = (2.0, 3.0, 4.0, 6.0, 10.0, 14.0)
"""ZTF's fixed aperture diameters (header FIXAPERS), pixels; ``aperture`` of a row counts them from 1."""

N_APERTURE = len(APERTURE_DIAMETERS)


class JobState(StrEnum):
    """State of a job."""

    PENDING = "pending"
    """Waits to be claimed."""
    LEASED = "leased"
    """Claimed by a process, which must renew its lease."""
    FAILED = "failed"
    """Failed in a way that may pass; retried at ``due``."""
    DONE = "done"
    """Its image is in the archive."""
    QUARANTINED = "quarantined"
    """Set aside with the reason, until a user releases it or the file changes."""


class ForcedMethod(IntEnum):
    """Method of a forced measurement."""

    APERTURE = 1
    """Sums in the six apertures."""
    PSF = 2
    """The exposure's own PSF fitted at the position."""


class MemberKind(IntEnum):
    """How a source became a member of its object."""

    LINKED = 1
    """A clean detection linked with others."""
    ABSORBED = 2
    """A clean detection of several stars that the image did not resolve; it is in no statistics."""
    ATTACHED = 3
    """A faint or flagged detection, attached to the nearest object."""
