"""A daemon that is killed again and again, and what its archive holds afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, make_url, select, text

from tests.support.children import children_of
from tests.support.waiting import DEADLINE_S, wait_until
from ztfdb.errors import DatabaseUnavailableError
from ztfdb.schema import Base, Image, Source
from ztfdb.server import PostgresServer
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.queue_reports import count_jobs

SCRIPT = """
import logging, socket, sys
from tests.support.pretend import pretend_to_measure
from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.service import executor_maker
from ztfdb.daemon.signals import Signals
from ztfdb.daemon.watch import Watcher
from ztfdb.extract.measure import measure_image
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.run import frozen_settings
from ztfdb.logs import set_up_logs
from ztfdb.store.engine import make_engine, sessions
url, folder, measure, jobs, log, host, lease_s = sys.argv[1:]
if host:
    socket.gethostname = lambda: host
set_up_logs("INFO", "json", open(log, "a"))
maker = sessions(make_engine(url))
watcher = Watcher([folder], settle_s=0.1, scan_s=0.3, grace_s=0.0, events=False)
operating = Operating(
    jobs=int(jobs), lease_s=float(lease_s), retry_s=0.2, longest_retry_s=0.5, attempts=1000, idle_s=0.05
)
measure = {"pretend": pretend_to_measure, "real": measure_image}[measure]
with Signals() as signals:
    loop = Loop(maker, Inbox(maker, watcher), operating, executor_maker(frozen_settings(maker, None), measure))
    logging.getLogger("ztfdb").info("up")
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


def end_all(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill what still runs."""
    for process in processes:
        process.kill()  # does nothing where it has ended
        process.wait()


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
    pause_s : tuple of float
        Shortest and longest time between two kills.
    host : str
        Pretend to run on this one.
    lease_s : float
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
        host: str = "",
        lease_s: float = 20.0,
    ) -> None:
        self.url, self.folder, self.measure, self.jobs = url, folder, measure, jobs
        self.server, self.pause_s, self.host, self.lease_s = server, pause_s, host, lease_s
        self.kills = {"watcher": 0, "worker": 0, "server": 0}
        self.log = folder.with_name(f"{folder.name}-{make_url(url).database.rpartition('/')[2]}{host}.log")
        self._random = random.Random(seed)
        self._done = 0
        self._started: list[subprocess.Popen[bytes]] = []
        engine = make_engine(url)
        self._maker = sessions(engine)
        # also where a test ends early, or does without `finish`
        weakref.finalize(self, engine.dispose)
        weakref.finalize(self, end_all, self._started)

    def start(self) -> None:
        """Start the daemon."""
        arguments = (self.url, self.folder, self.measure, self.jobs, self.log, self.host, self.lease_s)
        self._started.append(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, *map(str, arguments)],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        )

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        """The daemon that was started last."""
        return self._started[-1] if self._started else None

    def wait_until_up(self) -> None:
        """Wait until the daemon that was started first looks at its folder."""
        wait_until(lambda: self.log.exists() and '"up"' in self.log.read_text())

    def send(self, how: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(how)

    def end(self, how: int) -> int:
        """Send a signal and return the exit status."""
        self.send(how)
        assert self._process is not None
        return self._process.wait(timeout=DEADLINE_S)

    def kill_often(self, n: int, arrive: Callable[[], None] = lambda: None) -> None:
        """Kill something `n` times at random moments, and start again what does not start by itself.

        Parameters
        ----------
        n : int
        arrive : callable
            Brings new files, before each kill.
        """
        of_ten = ["worker"] * 6 + ["watcher"] * 2 + ["server" if self.server else "worker"] * 2
        deck = [of_ten[k % 10] for k in range(n)]
        self._random.shuffle(deck)
        for what in deck:
            arrive()
            if self._process is None or self._process.poll() is not None:
                self.start()
            if self._random.random() < 0.8:  # the others may be killed before they have begun
                self._wait_for_progress()
            time.sleep(self._random.uniform(*self.pause_s))
            self._kill(what)
        arrive()
        if self._process is None or self._process.poll() is not None:
            self.start()

    def _kill(self, what: str) -> None:
        assert self._process is not None
        if what == "server" and self.server is not None:
            self.server.stop(immediate=True)
            self.server.start()
            self.check_reported()
        elif what == "watcher":
            self.end(signal.SIGKILL)
            self.check_reported()
        else:
            while not (workers := self._wait_for_workers()):
                # a daemon that begins while its server is away ends at once; systemd would start it again
                assert self._process.poll() == 1, "no worker was started though there is work"
                self.start()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._random.choice(workers), signal.SIGKILL)
        self.kills[what] += 1

    def _wait_for_progress(self) -> None:
        """Wait until something has been stored since the last kill, so that most kills meet the daemon at work."""
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            done, self._done = self._done, self.states().get("done", 0)
            if self._done > done:
                return
            time.sleep(0.05)

    def _wait_for_workers(self) -> list[int]:
        assert self._process is not None
        workers: list[int] = []
        deadline = time.monotonic() + DEADLINE_S
        while not workers and self._process.poll() is None and time.monotonic() < deadline:
            workers = workers_of(self._process.pid)
            time.sleep(0.02)
        return workers

    def reported(self) -> Counter[int]:
        """Return how often each image was reported to be stored; nothing may be reported as replaced."""
        if not self.log.exists():
            return Counter()
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        assert {line["outcome"] for line in lines if "outcome" in line} <= {"stored", "unchanged", "failed"}
        return Counter(line["image_id"] for line in lines if line.get("outcome") == "stored")

    def check_reported(self) -> None:
        """Check that what was reported stored is there, whole."""
        told = self.reported()
        with self._maker() as session:
            images = dict(session.execute(select(Image.image_id, Image.n_source)).all())
            counted = dict(session.execute(select(Source.image_id, func.count()).group_by(Source.image_id)).all())
        assert set(told) <= set(images)
        assert set(told.values()) <= {1}
        assert all(counted.get(image_id, 0) == images[image_id] for image_id in told)

    def finish(self, n_image: int) -> None:
        """Let the daemon finish, end it, and check that every image is there exactly once and whole."""
        wait_until(lambda: self.states().get("done", 0) == n_image)
        assert self.end(signal.SIGTERM) == 0
        assert self.states() == {"done": n_image}
        with self._maker() as session:
            assert count_orphans(session, OURS) == 0
            images = dict(session.execute(select(Image.image_id, Image.n_source)).all())
            counted = select(Source.image_id, func.count()).group_by(Source.image_id)
            assert dict(session.execute(counted).all()) == {key: n for key, n in images.items() if n}
        assert len(images) == n_image
        self.check_reported()

    def states(self) -> dict[str, int]:
        """Return the number of jobs in each state; none while the database is away."""
        try:
            with self._maker() as session:
                return {state: n for state, n in count_jobs(session).items() if n}
        except DatabaseUnavailableError:
            return {}


def workers_of(pid: int) -> list[int]:
    """Return the worker processes of a daemon, without multiprocessing's own helper."""
    try:
        commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children_of(pid)}
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
