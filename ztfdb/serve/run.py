"""The processes of a service: one socket, one or more processes that accept on it, shutdown by SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from ztfdb.adql.installed import check_parser
from ztfdb.archive import open_archive
from ztfdb.errors import ConfigError, ZtfdbError
from ztfdb.logs import set_up_logs, warnings_logged
from ztfdb.serve.app import Settings, make_app
from ztfdb.serve.connections import allow_connections, protocol_of
from ztfdb.serve.metrics import MULTIPROCESS
from ztfdb.store.readonly import check_reader
from ztfdb.store.tap_jobs import JobStore

GRACE_S = 10
"""Seconds for open requests to finish when the service ends."""

BACKLOG = 1024
OWN_SOCKETS = sys.platform == "linux"
"""Whether the kernel distributes connections among sockets of several processes. With one shared socket, the first
process to wake takes all waiting connections."""

RESTART_S = 1.0
"""Pause before a process that died is replaced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listening:
    """Where and how a service listens.

    Attributes
    ----------
    host : str
    port : int
        0 for any that is free.
    workers : int
        Processes.
    public : bool
        Whether addresses that other machines can reach are allowed.
    proxies : str
        Addresses of proxies whose ``X-Forwarded-…`` headers are trusted, separated by commas.
    log_level, log_format : str
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    public: bool = False
    proxies: str = ""
    log_level: str = "INFO"
    log_format: str = "text"


def serve(settings: Settings, listening: Listening) -> None:
    """Serve an archive until SIGTERM or Ctrl-C; prints ``listening on http://HOST:PORT/`` when it is ready.

    Raises
    ------
    ConfigError
        If sqlglot or the folder of the state cannot be used, if too few files may be open, if listening on the address
        fails, or if other machines can reach the address and neither `Listening.public` nor tokens were given.
    SchemaVersionError
        If there is no archive, or it is at another revision.
    QueryError
        If PostgreSQL's role could write even in a read-only transaction.
    """
    check_parser()
    allow_connections()
    open_archive(settings.url, read_only=True).close()
    check_reader(settings.url)
    JobStore(settings.state)  # before there are processes, whose errors the framework would show
    with contextlib.closing(_bound(listening, settings.tokens)) as bound:
        if listening.workers == 1:
            _serve_here(settings, listening, bound, lambda: _announce(bound))
            return
        shared, metrics = _shared(bound), tempfile.TemporaryDirectory(prefix="ztfdb-metrics-")
        with contextlib.closing(shared), metrics as folder:
            os.environ[MULTIPROCESS] = folder  # every child process reads it
            _Family(settings, listening, shared, Path(folder)).run()


def _bound(listening: Listening, tokens: bool) -> socket.socket:
    """Return a socket that is bound, not listening yet."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        loopback = str(address[0]).startswith("127.") or address[0] == "::1"
        if not (loopback or listening.public or tokens):
            raise ConfigError(
                f"--host {listening.host} opens the archive to other machines: add --public if all may ask, or --tokens"
            )
        made = socket.socket(family, kind)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except OSError:
            made.close()
            raise
    except OSError as exc:
        raise _cannot_listen(listening.host, listening.port, exc) from exc
    made.set_inheritable(True)
    return made


def _shared(bound: socket.socket) -> socket.socket:
    """Replace the socket by one that allows each process its own socket at the same address.

    The first socket, without sharing, was needed to detect that the address is in use.
    """
    if not OWN_SOCKETS:
        return bound
    address = bound.getsockname()
    bound.close()
    return _sharing(bound.family, address)


def _sharing(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError as exc:
        made.close()
        raise _cannot_listen(address[0], address[1], exc) from exc
    made.set_inheritable(True)
    return made


def _cannot_listen(host: str, port: int, exc: OSError) -> ConfigError:
    return ConfigError(f"cannot listen on {host}, port {port}: {exc.strerror or exc}")


def _announce(bound: socket.socket) -> None:
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"listening on http://{shown}:{port}/\n")
    sys.stdout.flush()


class _Server(uvicorn.Server):
    """A server that reports when it is ready, and for which a signal is an ordinary end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _serve_here(settings: Settings, listening: Listening, bound: socket.socket, ready: Callable[[], None]) -> None:
    config = uvicorn.Config(
        make_app(settings),
        http=protocol_of(settings.limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        root_path=settings.root_path,
        proxy_headers=bool(listening.proxies),
        forwarded_allow_ips=listening.proxies or None,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_S,
    )
    with warnings_logged():
        _Server(config, ready).run([bound])


def _child(settings: Settings, listening: Listening, bound: socket.socket, ready: Connection) -> None:
    """Serve in a process of its own; it ends with its parent."""
    set_up_logs(listening.log_level, listening.log_format)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        own = _sharing(bound.family, bound.getsockname()) if OWN_SOCKETS else bound
        _serve_here(settings, listening, own, lambda: ready.send("ready"))
    except ZtfdbError as exc:
        ready.send(str(exc))
        sys.exit(1)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


class _Family:
    """The processes of a service; one that dies is replaced."""

    def __init__(self, settings: Settings, listening: Listening, bound: socket.socket, metrics: Path) -> None:
        self._what = (settings, listening, bound)
        self._metrics = metrics
        self._bound = bound
        self._wanted = listening.workers
        self._context = multiprocessing.get_context("spawn")
        self._children: dict[BaseProcess, Connection] = {}  # what each reports of its start
        self._ending = False

    def run(self) -> None:
        """Start the processes, announce when all are ready, and wait until a signal ends them."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for _ in range(self._wanted):
                self._start()
            for process, pipe in self._children.items():
                self._await_ready(process, pipe)
            if not self._ending:
                _announce(self._bound)
            while not self._ending:
                self._replace_dead()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._end()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_child, args=(*self._what, theirs), name="ztfdb serve")
        process.start()
        theirs.close()
        self._children[process] = ours

    def _await_ready(self, process: BaseProcess, pipe: Connection) -> None:
        try:
            while not self._ending and not pipe.poll(0.2):
                pass
            said = "ready" if self._ending else pipe.recv()
        except EOFError:
            said = f"a process of the service ended with status {process.exitcode}"
        if said != "ready":
            raise ConfigError(said)

    def _replace_dead(self) -> None:
        wait([one.sentinel for one in self._children], timeout=0.5)
        for process in [one for one in self._children if not one.is_alive()]:
            self._children.pop(process).close()
            for left in self._metrics.glob(f"gauge_live*_{process.pid}.db"):
                left.unlink()
            if not self._ending:
                log.warning("a process of the service ended and is replaced", extra={"status": process.exitcode})
                time.sleep(RESTART_S)
                self._start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._ending = True

    def _end(self) -> None:
        for process in self._children:
            process.terminate()
        for process in self._children:
            process.join(GRACE_S + 5)
            if process.is_alive():
                process.kill()
                process.join()
