"""Measurements that behave as the file's text says: for tests of the workers, without pixels.

A file whose text is ``star`` is measured; ``slow`` and ``gate`` are measured later, the latter when `gate_of` its path
is there. The other words bring its worker into trouble.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.measured import EXPID, make_measured
from tests.support.waiting import DEADLINE_S, wait_until
from ztfdb.errors import HeaderError
from ztfdb.records import MeasuredImage


def pretend_to_measure(
    path: str, mask: str | None = None, settings: Any = None, *, find_mask: bool = True
) -> MeasuredImage:
    """Do what the file says."""
    word, _, number = Path(path).read_text().partition(" ")
    if word == "die" or (word == "die-once" and _first_time(path)):
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "hang":
        time.sleep(DEADLINE_S)
    if word == "gate":
        wait_until(gate_of(path).exists)
    if word == "hog":
        np.ones(2**40, np.uint8)
    if word == "bug":
        raise ZeroDivisionError("no such luck")
    if word == "header":
        raise HeaderError(path, "no MAGZP", "MAGZP")
    if word == "modules":
        loaded = sorted({"sqlalchemy", "pandas", "ztfdb.store", "ztfdb.ingest"} & set(sys.modules))
        raise HeaderError(path, f"loaded: {loaded}")
    if word == "slow":
        time.sleep(0.2)
    return make_measured(path, content=f"{word} {number}", mask=None, expid=EXPID + int(number or 0))


def gate_of(path: str | Path) -> Path:
    """Return the file, beside the folder of these files, that lets all that wait at the gate be measured."""
    return Path(path).parent.with_suffix(".open")


def _first_time(path: str) -> bool:
    marker = Path(path).with_suffix(".tried")
    if marker.exists():
        return False
    marker.touch()
    return True
