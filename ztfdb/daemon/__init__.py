"""The ingest daemon: it watches folders, takes jobs from the archive's queue, and loses none."""

from ztfdb.daemon.loop import Loop, Operating
from ztfdb.daemon.watch import Watcher

__all__ = ["Loop", "Operating", "Watcher"]
