"""How much more two processes get done than one on this machine: shared processors rarely give twice as much."""

from __future__ import annotations

import subprocess
import sys
import time

BUSY = "for _ in range(20_000_000): pass"


def two_at_once() -> float:
    """Work of two processes that only compute by what one does in the same time: 2 on a machine of one's own."""
    took = []
    for number in (1, 2):
        start = time.perf_counter()
        running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(number)]
        assert not any(one.wait() for one in running)
        took.append(time.perf_counter() - start)
    return 2 * took[0] / took[1]
