"""File-system events, where the system has them: a faster way to hear of files than the next scan."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from ztfdb.errors import MissingExtraError

logger = logging.getLogger(__name__)


class Events:
    """Calls back, in threads of its own, for every file that was closed after writing, made, or moved in.

    Parameters
    ----------
    folders : sequence of str
    on_change : callable
        Called with the path of a file, or of a folder that came with files in it.

    Raises
    ------
    MissingExtraError
        If the package ``watchdog`` is not installed.
    """

    def __init__(self, folders: Sequence[str], on_change: Callable[[str], None]) -> None:
        try:
            from watchdog.events import FileSystemEvent, FileSystemEventHandler
            from watchdog.observers import Observer
        except ImportError as exc:
            raise MissingExtraError("watching by file-system events", "daemon") from exc

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type in ("created", "closed", "moved"):
                    on_change(os.fsdecode(event.dest_path or event.src_path))

        self._observer = Observer()
        for folder in folders:
            try:
                self._observer.schedule(Handler(), folder, recursive=True)
            except OSError as exc:  # too many folders for the system's limit, or a file system without events
                logger.warning(
                    "no events from a folder: it is only scanned", extra={"path": folder, "reason": str(exc)}
                )
        self._observer.start()

    def stop(self) -> None:
        """End the threads."""
        self._observer.stop()
        self._observer.join()
