"""Which files of the watched folders are ready: heard of by events, found by scans, complete and at rest."""

from __future__ import annotations

import logging
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ztfdb.daemon.events import Events
from ztfdb.errors import ImageError
from ztfdb.frame.length import missing_bytes
from ztfdb.ingest.discover import Candidate, Facts, Sighting, image_of, look_at, search_folder
from ztfdb.ingest.folders import Headers, left_out_words

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Watched:
    candidate: Candidate
    facts: Facts
    since: float
    """When it was first seen like this."""
    look_again: float


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
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._watched: dict[str, _Watched] = {}
        self._told: dict[str, str] = {}
        self._handed_over: dict[str, Facts] = {}
        self._headers = Headers()
        self._left_out: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._scan: Iterator[Candidate | ImageError] | None = self._search()
        self._next_scan = 0.0
        self._scanned_once = not self._folders
        self._events = Events(self._folders, self._heard.put) if events and self._folders else None

    @property
    def n_problem(self) -> int:
        """Paths below the folders, and folders, that were left out with an error."""
        return len(self._told)

    @property
    def idle(self) -> bool:
        """True once everything that a first scan found has been handed over."""
        return self._scanned_once and not self._watched and self._heard.empty()

    def stop(self) -> None:
        """Listen no more."""
        if self._events is not None:
            self._events.stop()

    def look(self, budget_s: float = 0.2) -> list[Sighting]:
        """Return the files that have become ready, after at most about `budget_s` of looking."""
        end = time.perf_counter() + budget_s
        while time.perf_counter() < end and self._hear():
            pass
        while time.perf_counter() < end and self._scan_on():
            pass
        return [sighting for path in list(self._watched) if (sighting := self._ready(path)) is not None]

    def _hear(self) -> bool:
        try:
            path = self._heard.get_nowait()
        except queue.Empty:
            return False
        folder = next((one for one in self._folders if path.startswith(one + os.sep)), None)
        if folder is not None and os.path.isdir(path):  # noqa: PTH112
            for found in search_folder(path, headers=self._headers):  # it may have come with files in it
                if isinstance(found, Candidate):
                    self._consider(replace(found, given=folder))
        elif folder is not None and (candidate := image_of(path, folder, self._headers)) is not None:
            self._consider(candidate)
        return True

    def _search(self) -> Iterator[Candidate | ImageError]:
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
        if self._told.get(problem.path) != problem.reason:
            self._told[problem.path] = problem.reason
            logger.warning("left out", extra={"path": problem.path, "reason": problem.reason})

    def _say_left_out(self) -> None:
        """Log what a scan left out, once for each change."""
        if self._left_out and self._left_out != self._said:
            logger.info("files left out", extra={"files": left_out_words(self._left_out)})
        self._said, self._left_out = self._left_out, Counter()

    def _consider(self, candidate: Candidate) -> None:
        facts = look_at(candidate)
        if facts is None or self._handed_over.get(candidate.path) == facts:
            return
        before = self._watched.get(candidate.path)
        if before is None or before.facts != facts:
            now = self._clock()
            self._watched[candidate.path] = _Watched(candidate, facts, now, now + self.settle_s)

    def _ready(self, path: str) -> Sighting | None:
        watched, now = self._watched[path], self._clock()
        if now < watched.look_again:
            return None
        candidate = image_of(path, watched.candidate.given, self._headers)  # with the mask that may have come
        facts = None if candidate is None else look_at(candidate)
        if candidate is None or facts is None:
            del self._watched[path]  # gone again
        elif facts != watched.facts:
            self._watched[path] = _Watched(candidate, facts, now, now + self.settle_s)
        else:
            del self._watched[path]
            self._handed_over[path] = facts
            return Sighting(candidate, facts, *self._waits(candidate, facts, watched.since))
        return None

    def _waits(self, candidate: Candidate, facts: Facts, since: float) -> tuple[float, str]:
        """Return how long a file at rest is to wait, seconds, and for what; a file that changes is sighted again."""
        now = self._clock()
        if reason := _what_is_missing(candidate):
            wait = since + self.patience_s - now
        elif candidate.mask is None and "sciimg" in Path(candidate.path).name:
            wait, reason = facts.mtime_ns / 1e9 + self.grace_s - now, "its mask is not there yet"
        else:
            return 0.0, ""
        return (wait, reason) if wait > 0 else (0.0, "")


def _what_is_missing(candidate: Candidate) -> str:
    """Return what an image or its mask lacks of the length that its headers claim; empty where nothing."""
    for what, path in (("the image", candidate.path), ("the mask", candidate.mask)):
        try:
            missing = 0 if path is None else missing_bytes(path)
        except OSError as exc:
            return f"{what} cannot be read: {exc.strerror or exc}"
        if missing:
            return f"{what} is cut short: {missing:,} bytes are not there yet"
    return ""
