"""Codes that stand in rows: filters, states of jobs, kinds of measurements and of members, PS1's photometry."""

from __future__ import annotations

from enum import IntEnum, StrEnum

FILTERS = {1: "zg", 2: "zr", 3: "zi"}
"""``filtercode`` of each ``fid``."""

FILTER_IDS = {code: fid for fid, code in FILTERS.items()}
"""``fid`` of each ``filtercode``."""

PS1_BANDS = ("g", "r", "i", "z", "y")
MEAN_PHOTOMETRY, STACK_PHOTOMETRY = 1, 2
"""``ps1.photometry``: magnitudes averaged over single exposures (the calibrators), or measured on the stack."""


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    """Waits to be taken."""
    LEASED = "leased"
    """Taken by a process that must keep showing that it lives."""
    FAILED = "failed"
    """Went wrong in a way that may pass; is tried again at ``due``."""
    DONE = "done"
    """Its image is in the archive."""
    QUARANTINED = "quarantined"
    """Set aside with the reason; waits for a person, or for the file to change."""


class ForcedMethod(IntEnum):
    """How a forced measurement was made."""

    APERTURE = 1
    """Sums in the six apertures."""
    PSF = 2
    """The exposure's own PSF fitted at the position."""


class MemberKind(IntEnum):
    """How a source came to its object."""

    LINKED = 1
    """A clean detection linked with others."""
    ABSORBED = 2
    """A clean detection of several stars that the image did not resolve; it counts in no statistics."""
    ATTACHED = 3
    """A faint or flagged detection; this is the nearest object."""
