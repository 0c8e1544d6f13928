"""A real ``ztfdb serve`` for tests: started, asked over HTTP, stopped by SIGTERM."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

import psycopg
from sqlalchemy import make_url

READER = "ztfdb_reader"
START_S = 120.0


class Serving:
    """One service in a process of its own.

    Parameters
    ----------
    url : str
        The archive.
    words : sequence of str
        Further words of the command line.
    environ : mapping, optional
        Further variables.

    Attributes
    ----------
    base : str
        Its address, without a slash at the end.
    log : list of str
        What it wrote to stderr so far.
    """

    def __init__(self, url: str, *words: str, environ: Mapping[str, str] | None = None) -> None:
        self._command: Sequence[str] = [
            sys.executable, "-c", "from ztfdb.cli import main; main()", "serve", "--port", "0", *words, "--db", url,
        ]  # fmt: skip
        self._state = tempfile.TemporaryDirectory(prefix="ztfdb-serve-")
        own = {"PYTHONPATH": os.pathsep.join(sys.path), "XDG_STATE_HOME": self._state.name}
        self._environ = os.environ | own | dict(environ or {})
        self.log: list[str] = []
        self.out: list[str] = []
        self.base = ""

    def __enter__(self) -> Serving:
        try:
            self.start()
        except BaseException:
            self._state.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._state.cleanup()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait for its line; RuntimeError with its words where it ends instead."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environ
        )
        lines: queue.Queue[str] = queue.Queue()
        streams = ((self._process.stdout, self.out), (self._process.stderr, self.log))
        self._threads = [threading.Thread(target=_follow, args=(*one, lines), daemon=True) for one in streams]
        for thread in self._threads:
            thread.start()
        while not self.out:
            if not lines.get(timeout=START_S) and not self.out:
                raise RuntimeError(f"status {self.stop()}: {''.join(self.log)}")
        assert self.out[0].startswith("listening on http://"), self.out
        self.base = self.out[0].split()[-1].rstrip("/")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process by a signal, and return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        status = self._process.wait(timeout=30)
        for thread in self._threads:
            thread.join(timeout=30)
        return status


def reader_url(url: str) -> str:
    """URL of an archive as a role that may only read; SQLite's own URL as it is."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return url
    with connect(url) as connection:
        connection.execute(
            f"do $$ begin create role {READER} login; exception when duplicate_object or unique_violation then null; "
            "end $$"
        )
        connection.execute(f"grant select on all tables in schema public to {READER}")
    return parsed.set(username=READER, password=None).render_as_string(hide_password=False)


def connect(url: str) -> psycopg.Connection:
    """A connection to a PostgreSQL archive, as the role of its URL."""
    parsed = make_url(url)
    return psycopg.connect(
        dbname=parsed.database, user=parsed.username, password=parsed.password, autocommit=True,
        host=parsed.query.get("host", parsed.host), port=parsed.query.get("port", parsed.port),
    )  # fmt: skip


def _follow(stream, found, lines) -> None:
    with stream:
        for line in stream:
            found.append(line)
            lines.put(line)
    lines.put("")
