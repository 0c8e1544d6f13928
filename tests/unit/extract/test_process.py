"""Worker processes take the limit of memory that they are given, unless the session has a lower one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ztfdb.derive.threads import ONE_THREAD
from ztfdb.simulate import make_science_image

pytest.importorskip("resource")

ENTER = """
import os, resource, sys
hard, memory_mb = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
from ztfdb.extract.process import enter_worker
enter_worker(memory_mb, os.getppid())
print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20)
"""
UNLIMITED = -1
LARGEST = sys.maxsize >> 20


@pytest.mark.parametrize(
    ("hard", "memory_mb", "expected"),
    [
        (UNLIMITED, 1024, 1024),
        (1500 << 20, 1024, 1024),
        (1500 << 20, 2048, 1500),  # `ulimit -d`, or LimitDATA of a service
        (UNLIMITED, 10**15, LARGEST),
    ],
)
def test_a_lower_limit_of_the_session_stays(hard, memory_mb, expected):
    told = subprocess.run(
        [sys.executable, "-c", ENTER, str(hard), str(memory_mb)], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) == expected


MEASURE = """
import os, sys
from ztfdb.extract.measure import measure_image
from ztfdb.extract.process import enter_worker
enter_worker(160, os.getppid())
try:
    measure_image(sys.argv[1])
except MemoryError as exc:
    print("MemoryError", exc)
"""


def test_too_little_memory_for_scipy_is_an_error(tmp_path):
    """Without room for its buffers, scipy's OpenBLAS tries again for ever."""
    image = make_science_image(tmp_path, n_star=20, shape=(100, 100))
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, image.sci],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | ONE_THREAD,
    )
    assert told.stdout == "MemoryError 128 MB\n"
