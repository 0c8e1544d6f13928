"""What one image may take in a worker process."""

from __future__ import annotations

from dataclasses import dataclass

TIMEOUT_S = 300.0
MEMORY_MB = 2048


@dataclass(frozen=True)
class Limits:
    """What one image may take in a worker process; measured in the caller's own there is no limit.

    Attributes
    ----------
    timeout_s : float
        Wall time.
    memory_mb : int
        Private memory of the process (where the system can limit it).
    """

    timeout_s: float = TIMEOUT_S
    memory_mb: int = MEMORY_MB
