"""A daemon that is killed again and again, and what its archive holds afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from ztfdb.errors import DatabaseUnavailableError
from ztfdb.schema import Base, Image, Source
from ztfdb.server import PostgresServer
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.queue import count_jobs
from ztfdb.store.sources import count_orphans

SCRIPT = """
import logging, sys
from tests.support.pretend import pretend_to_measure
from ztfdb.daemon.loop import Loop, Operating
from ztfdb.daemon.signals import Signals
from ztfdb.daemon.watch import Watcher
from ztfdb.extract.measure import measure_image
from ztfdb.ingest.run import frozen_settings
from ztfdb.store.engine import make_engine, sessions
url, folder, measure, jobs = sys.argv[1:]
logging.basicConfig(level="WARNING", format="%(message)s")
maker = sessions(make_engine(url))
watcher = Watcher([folder], settle_s=0.1, scan_s=2.0, grace_s=0.0, events=False)
operating = Operating(jobs=int(jobs), lease_s=20.0, retry_s=0.2, longest_retry_s=0.5, attempts=1000, idle_s=0.05)
measure = {"pretend": pretend_to_measure, "real": measure_image}[measure]
with Signals() as signals:
    loop = Loop(maker, frozen_settings(maker, None), operating, watcher=watcher, measure=measure)
    loop.run(lambda: signals.stop)
"""


def pretend_files(folder: Path, words: list[str]) -> list[Path]:
    """Write files that `tests.support.pretend` measures, under ZTF's names."""
    paths = []
    for k, word in enumerate(words):
        path = folder / f"ztf_20200924{k:06d}_000655_zr_c13_o_q3_sciimg.fits"
        path.write_text(f"{word} {k}".ljust(16))  # shorter than a FITS keyword would look unfinished
        paths.append(path)
    return paths


class CrashRun:
    """A daemon process, its workers and its server, and someone who kills them.

    Parameters
    ----------
    url : str
    folder : Path
    measure : str
        ``pretend`` or ``real``.
    jobs : int
    server : PostgresServer, optional
        Killed, too.
    seed : int
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        measure: str,
        jobs: int,
        server: PostgresServer | None = None,
        seed: int = 0,
        pause_s: tuple[float, float] = (0.05, 0.8),
    ) -> None:
        self.url, self.folder, self.measure, self.jobs = url, folder, measure, jobs
        self.server, self.pause_s = server, pause_s
        self.kills = {"watcher": 0, "worker": 0, "server": 0}
        self._random = random.Random(seed)
        self._process: subprocess.Popen[bytes] | None = None
        self._engine = make_engine(url)
        self._maker = sessions(self._engine)

    def start(self) -> None:
        """Start the daemon."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, self.url, str(self.folder), self.measure, str(self.jobs)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def end(self, how: int) -> int:
        """Send a signal and return the exit status."""
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(timeout=60)

    def kill_often(self, n: int) -> None:
        """Kill something `n` times at random moments, and start again what does not start by itself."""
        for _ in range(n):
            if self._process is None or self._process.poll() is not None:
                self.start()
            time.sleep(self._random.uniform(*self.pause_s))
            self._kill(self._random.choices(["worker", "watcher", "server"], [6, 3, 1 if self.server else 0])[0])
        if self._process is None or self._process.poll() is not None:
            self.start()

    def _kill(self, what: str) -> None:
        assert self._process is not None
        if what == "server" and self.server is not None:
            self.server.stop(immediate=True)
            self.server.start()
        elif what == "watcher":
            self.end(signal.SIGKILL)
        else:
            workers: list[int] = []
            while not workers and self._process.poll() is None:
                workers = children_of(self._process.pid)
                time.sleep(0.02)
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._random.choice(workers), signal.SIGKILL)
        self.kills[what] += 1

    def wait_until(self, claim: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + timeout_s
        while not claim():
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.1)

    def finish(self, n_image: int, *, timeout_s: float) -> None:
        """Let the daemon finish, end it, and check that every image is there exactly once and whole."""
        self.wait_until(lambda: self._states().get("done", 0) == n_image, timeout_s)
        assert self.end(signal.SIGTERM) == 0
        assert self._states() == {"done": n_image}
        with self._maker() as session:
            assert count_orphans(session) == 0
            images = dict(session.execute(select(Image.image_id, Image.n_source)).all())
            counted = select(Source.image_id, func.count()).group_by(Source.image_id)
            assert dict(session.execute(counted).all()) == {key: n for key, n in images.items() if n}
        assert len(images) == n_image
        self._engine.dispose()

    def _states(self) -> dict[str, int]:
        try:
            with self._maker() as session:
                return {state: n for state, n in count_jobs(session).items() if n}
        except DatabaseUnavailableError:
            return {}


def children_of(pid: int) -> list[int]:
    """Return the worker processes of a daemon, without multiprocessing's own helper."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = {int(child) for task in tasks for child in task.read_text().split()}
        commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children}
    except OSError:
        return []
    return sorted(child for child, command in commands.items() if "popen_loky" in command)


def content_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that an archive holds of its images, to compare two archives."""
    engine = make_engine(url)
    held: dict[str, list[tuple[Any, ...]]] = {}
    try:
        with engine.connect() as connection:
            for name in ("image", "source", "image_cell", "image_file", "image_header"):
                table = Base.metadata.tables[name]
                keys = ", ".join(column.name for column in table.primary_key)
                held[name] = [tuple(row) for row in connection.execute(text(f"select * from {name} order by {keys}"))]
    finally:
        engine.dispose()
    return held
