"""Worker processes: limit their memory, and end them with the process that started them.

This is here and not in ``ingest/``, because a worker imports only the pixel half.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PARENT_CHECK_S = 1.0
"""Seconds between checks whether the parent is still alive."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


@contextmanager
def without_signals() -> Iterator[None]:
    """Let processes that are started in this block not see the signals that end a command, from their first moment on.

    A terminal's Ctrl-C reaches them too. Only the process that started them decides what is done then; it kills them.
    """
    if threading.current_thread() is not threading.main_thread():  # another thread would get the signal meanwhile
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)
