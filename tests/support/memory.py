"""A place for files that lie in memory."""

from __future__ import annotations

import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")

_is_wanted = False


def want_memory() -> None:
    """Let files lie in memory: those of the suite are small, those of benchmarks are not."""
    global _is_wanted
    _is_wanted = True


def place_in_memory(n_byte: int) -> Path | None:
    """Return a folder of files in memory with room for `n_byte`; None where there is none, or it is not wanted."""
    if not _is_wanted:
        return None
    try:
        with Path("/proc/meminfo").open() as lines:
            available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        return MEMORY if min(available, shutil.disk_usage(MEMORY).free) >= n_byte else None
    except (OSError, StopIteration):
        return None
