"""Worker processes: limit their memory, and end them with the process that started them.

This is here and not in ``ingest/``, because a worker imports only the pixel half.
"""

from __future__ import annotations

import os
import sys
import threading
import time

PARENT_CHECK_S = 1.0
"""Seconds between checks whether the parent is still alive."""


def enter_worker(memory_mb: int, parent: int) -> None:
    """Initialise a worker; called once in the worker, before its first image.

    Parameters
    ----------
    memory_mb : int
        Limit of its private memory (if the system supports it); larger allocations raise MemoryError. A lower limit of
        the session or service (``ulimit -d``, ``LimitDATA``) stays.
    parent : int
        Process id of the parent. Without this check, a worker whose parent is killed would wait forever for its next
        image.
    """
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = min(memory_mb * 2**20, sys.maxsize if most == resource.RLIM_INFINITY else most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)
