"""Processes that measure images: one core each; they end with the process that started them."""

from __future__ import annotations

import os

import loky

from ztfdb.derive.threads import ONE_THREAD
from ztfdb.extract.process import enter_worker

WORKER_MEMORY_MB = 2048
"""Default memory limit of a process."""


def new_executor(jobs: int, memory_mb: int = WORKER_MEMORY_MB) -> loky.ProcessPoolExecutor:
    """Return processes that measure images, with this memory limit; they end with this process."""
    return loky.ProcessPoolExecutor(
        max_workers=jobs, env=ONE_THREAD, initializer=enter_worker, initargs=(memory_mb, os.getpid())
    )
