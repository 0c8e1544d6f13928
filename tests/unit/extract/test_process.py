"""Worker processes take the limit of memory that they are given, unless the session has a lower one."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
