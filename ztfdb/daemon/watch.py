"""Which files of the watched folders are ready: found by events and by scans, complete and at rest."""

from __future__ import annotations

import logging
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ztfdb.daemon.events import Events
from ztfdb.errors import ImageError
from ztfdb.frame.length import missing_bytes
from ztfdb.ingest.discover import FileStamp, FoundImage, image_of, look_at, search_folder
from ztfdb.ingest.folders import Headers, left_out_words

logger = logging.getLogger(__name__)


class Watcher:
    """Watches folders. It never blocks for long: each call of `look` does a little of the scan.

    Parameters
    ----------
    folders : sequence of str
        Searched below.
    settle_s : float
        A file is at rest when two looks this far apart see the same size and time.
    patience_s : float
        A file at rest that is shorter than its headers claim is handed over as one that waits; after this time it is
        taken all the same, so that the archive says what is wrong.
    grace_s : float
        How long after the image was written its mask may arrive.
    scan_s : float
        From the end of one scan to the next: events get lost, and network file systems have none.
    events : bool
        Listen to the file system, too.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        *,
        settle_s: float = 2.0,
        patience_s: float = 600.0,
        grace_s: float = 600.0,
        scan_s: float = 60.0,
        events: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settle_s, self.patience_s, self.grace_s, self.scan_s = settle_s, patience_s, grace_s, scan_s
        self._folders = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100 (links are kept)
        self._clock = clock
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._watched: dict[str, FoundImage] = {}
        self._since: dict[str, float] = {}
        self._unasked: list[str] = []
        self._problems: dict[str, str] = {}
        self._handed_over: dict[str, FileStamp | None] = {}
        self._headers = Headers()
        self._left_out: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._scan: Iterator[FoundImage | ImageError] | None = self._search()
        self._next_scan = 0.0
        self._scanned_once = not self._folders
        self._events = Events(self._folders, self._changed.put) if events and self._folders else None

    @property
    def n_problem(self) -> int:
        """Paths below the folders, and folders, that were left out with an error."""
        return len(self._problems)

    @property
    def idle(self) -> bool:
        """True once everything that a first scan found has been handed over."""
        return self._scanned_once and not self._watched and self._changed.empty()

    def stop(self) -> None:
        """Listen no more."""
        if self._events is not None:
            self._events.stop()

    def look(
        self, budget_s: float = 0.2, *, known: Callable[[Sequence[FoundImage]], Collection[str]] | None = None
    ) -> list[FoundImage]:
        """Return the files that have become ready, after at most about `budget_s` of looking.

        Parameters
        ----------
        budget_s : float
        known : callable, optional
            Returns the paths of those images that were handed over before this process started, with their present
            stamps. They are not returned, and their headers are not read.
        """
        end = time.perf_counter() + budget_s
        while time.perf_counter() < end and self._take_event():
            pass
        while time.perf_counter() < end and self._scan_on():
            pass
        if known is not None and self._unasked:
            new = [self._watched[path] for path in dict.fromkeys(self._unasked) if path in self._watched]
            for path in known(new):
                self._hand_over(path)
        self._unasked.clear()
        return [image for path in list(self._watched) if (image := self._ready(path)) is not None]

    def _take_event(self) -> bool:
        try:
            path = self._changed.get_nowait()
        except queue.Empty:
            return False
        folder = next((one for one in self._folders if path.startswith(one + os.sep)), None)
        if folder is not None and os.path.isdir(path):  # noqa: PTH112
            for found in search_folder(path, headers=self._headers):  # it may have come with files in it
                if isinstance(found, FoundImage):
                    self._consider(replace(found, folder=folder))
        elif folder is not None and (image := image_of(path, folder, self._headers)) is not None:
            self._consider(image)
        return True

    def _search(self) -> Iterator[FoundImage | ImageError]:
        for folder in self._folders:
            yield from search_folder(folder, headers=self._headers, left_out=self._left_out)

    def _scan_on(self) -> bool:
        """Take the next file of the scan; False while none is going on."""
        if self._scan is None:
            if self._clock() < self._next_scan or not self._folders:
                return False
            self._scan = self._search()
        found = next(self._scan, None)
        if found is None:
            self._scan, self._scanned_once = None, True
            self._say_left_out()
            self._next_scan = self._clock() + self.scan_s
            return False
        if isinstance(found, ImageError):
            self._complain(found)
        else:
            self._consider(found)
        return True

    def _complain(self, problem: ImageError) -> None:
        """Log what is left out, once."""
        if self._problems.get(problem.path) != problem.reason:
            self._problems[problem.path] = problem.reason
            logger.warning("left out", extra={"path": problem.path, "reason": problem.reason})

    def _say_left_out(self) -> None:
        """Log what a scan left out, once for each change."""
        if self._left_out and self._left_out != self._said:
            logger.info("files left out", extra={"files": left_out_words(self._left_out)})
        self._said, self._left_out = self._left_out, Counter()

    def _consider(self, found: FoundImage) -> None:
        image = look_at(found)
        if image is None or self._handed_over.get(image.path) == image.stamp:
            return
        before = self._watched.get(image.path)
        if before is None or before.stamp != image.stamp:
            self._keep_watching(image)

    def _keep_watching(self, image: FoundImage) -> None:
        """Look at an image again when it may be at rest; it was first seen like this now."""
        self._watched[image.path] = image
        self._since[image.path] = self._clock()
        self._unasked.append(image.path)

    def _hand_over(self, path: str) -> None:
        self._handed_over[path] = self._watched[path].stamp
        self._forget(path)

    def _forget(self, path: str) -> None:
        del self._watched[path], self._since[path]

    def _ready(self, path: str) -> FoundImage | None:
        watched, since = self._watched[path], self._since[path]
        if self._clock() < since + self.settle_s:
            return None
        found = image_of(path, watched.folder, self._headers)  # with the mask that may have come
        image = None if found is None else look_at(found)
        if image is None:
            self._forget(path)  # gone again
        elif image.stamp != watched.stamp:
            self._keep_watching(image)
        else:
            self._hand_over(path)
            return self._waiting(image, since)
        return None

    def _waiting(self, image: FoundImage, since: float) -> FoundImage:
        """Return a file at rest with how long it is to wait, and for what; a file that changes is found again."""
        now = self._clock()
        if reason := _what_is_missing(image):
            wait = since + self.patience_s - now
        elif image.mask is None and image.stamp is not None and "sciimg" in Path(image.path).name:
            wait, reason = image.stamp[1] / 1e9 + self.grace_s - now, "its mask is not there yet"
        else:
            return image
        return replace(image, wait_s=wait, reason=reason) if wait > 0 else image


def _what_is_missing(image: FoundImage) -> str:
    """Return what an image or its mask lacks of the length that its headers claim; empty where nothing."""
    for what, path in (("the image", image.path), ("the mask", image.mask)):
        try:
            missing = 0 if path is None else missing_bytes(path)
        except OSError as exc:
            return f"{what} cannot be read: {exc.strerror or exc}"
        if missing:
            return f"{what} is cut short: {missing:,} bytes are not there yet"
    return ""
