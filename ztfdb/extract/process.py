"""The life of a worker process: how much memory it may take, and that it ends with the process that started it.

It lives here and not in ``ingest/`` because a worker imports the pixel half only.
"""

from __future__ import annotations

import os
import sys
import threading
import time

PARENT_CHECK_S = 1.0
"""How often a worker looks whether its parent still lives."""


def enter_worker(memory_mb: int, parent: int) -> None:
    """Begin a worker's life; called once in the worker, before its first image.

    Parameters
    ----------
    memory_mb : int
        Private memory it may take (where the system can limit it); beyond, allocating raises MemoryError.
    parent : int
        Process id of the parent. When that is killed nobody tells the worker, which would wait for its next image for
        ever.
    """
    if sys.platform != "win32":
        import resource

        limit = memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)
