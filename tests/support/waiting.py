"""Waiting for what another thread or process does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

DEADLINE_S = 600.0
"""Only a fault reaches it: how long something takes is the machine's matter, not the test's."""


def wait_until(claim: Callable[[], bool], timeout_s: float = DEADLINE_S, *, every_s: float = 0.05) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(every_s)


def seconds_of_children() -> float:
    """Return the processor time of child processes that have ended: what else the machine does leaves it as it is."""
    spent = os.times()
    return spent.children_user + spent.children_system


def let_children_be_interrupted() -> None:
    """Give child processes the default SIGINT where this process was started with SIGINT ignored.

    A shell without job control, ``nohup … &`` and some runners start programs so, and what is ignored is inherited:
    tests that interrupt a child would wait for ever. A signal that has a handler is back at its default in a child,
    and a handler that does nothing ignores it here as before.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)
