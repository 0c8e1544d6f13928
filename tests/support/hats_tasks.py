"""Tasks for the processes of an export; light, because the processes import this module."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from ztfdb.errors import ExportError
from ztfdb.store.backends import reads


@dataclass(frozen=True)
class Look:
    """The process, whether it has a context, and what it reads."""

    statement: str

    def run(self, session, context):
        time.sleep(0.02)
        return os.getpid(), context.n_image, reads(session).read_rows(self.statement)


class Modules:
    """The process, and the packages that it has imported."""

    def run(self, session, context):
        time.sleep(0.02)
        return os.getpid(), {name for name in sys.modules if "." not in name}


@dataclass(frozen=True)
class Fail:
    """Raise in every process but one."""

    spared: int

    def run(self, session, context):
        time.sleep(0.02)
        if os.getpid() != self.spared:
            raise ExportError("no room", "here")


@dataclass(frozen=True)
class Die:
    """End every process but one."""

    spared: int

    def run(self, session, context):
        time.sleep(0.02)
        if os.getpid() != self.spared:
            os._exit(3)


def make_array():
    """Let pyarrow look for pandas."""
    import pyarrow as pa

    pa.array([1, 2])
    return "pandas" in sys.modules
