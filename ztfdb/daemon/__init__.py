"""The ingest daemon: it watches folders, takes jobs from the archive's queue, and loses none."""

from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.watch import Watcher

__all__ = ["Inbox", "Watcher"]
