"""Processes that measure images: one core each; they end with the process that started them."""

from __future__ import annotations

import os

import loky

from ztfdb.extract.process import enter_worker

WORKER_MEMORY_MB = 2048
"""Default memory limit of a process."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a process that uses one core: otherwise threads of libraries in several processes compete for
cores."""


def new_executor(jobs: int, memory_mb: int = WORKER_MEMORY_MB) -> loky.ProcessPoolExecutor:
    """Return processes that measure images, with this memory limit; they end with this process."""
    return loky.ProcessPoolExecutor(
        max_workers=jobs, env=ONE_THREAD, initializer=enter_worker, initargs=(memory_mb, os.getpid())
    )
