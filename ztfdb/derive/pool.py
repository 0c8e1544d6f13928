"""Processes that measure images: one core each; they end with the process that started them."""

from __future__ import annotations

import os
from multiprocessing.resource_tracker import ensure_running
from typing import Any

import loky

from ztfdb.derive.threads import ONE_THREAD
from ztfdb.extract.process import enter_worker, without_signals

WORKER_MEMORY_MB = 2048
"""Default memory limit of a process."""


class Measurers(loky.ProcessPoolExecutor):  # type: ignore[misc]  # loky has no types
    """Processes that measure images; the signals of a terminal or a service manager are left to this process."""

    def submit(self, *arguments: Any, **options: Any) -> Any:
        """Start a call, and the processes if there are none yet."""
        ensure_running()  # by itself, that would let the signals in again
        with without_signals():
            try:
                return super().submit(*arguments, **options)
            except UnboundLocalError as exc:  # loky's own, where the system refuses a pipe
                raise exc.__context__ or exc from None


def new_executor(jobs: int, memory_mb: int = WORKER_MEMORY_MB) -> Measurers:
    """Return processes that measure images, with this memory limit; they end with this process."""
    return Measurers(max_workers=jobs, env=ONE_THREAD, initializer=enter_worker, initargs=(memory_mb, os.getpid()))
