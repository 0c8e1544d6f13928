"""Codes stored in rows: filters, apertures, states of jobs, kinds of measurements and of members, PS1's photometry."""

from __future__ import annotations

from enum import IntEnum, StrEnum

FILTERS = {1: "zg", 2: "zr", 3: "zi"}
"""``filtercode`` of each ``fid``."""

FILTER_IDS = {code: fid for fid, code in FILTERS.items()}
"""``fid`` of each ``filtercode``."""

PS1_BANDS = ("g", "r", "i", "z", "y")
MEAN_PHOTOMETRY, STACK_PHOTOMETRY = 1, 2
"""``ps1.photometry``: magnitudes averaged over single exposures (the calibrators), or measured on the stack."""


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
