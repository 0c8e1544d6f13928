"""Databases for tests: migrated once, then copied for each test that wants one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from itertools import count
from pathlib import Path

from tests.support.memory import place_in_memory
from ztfdb.server import PostgresServer

TEMPLATE = "archive_template"
ENGINES = ("sqlite", "postgresql")
SERVER_BYTES = 2_000_000_000
"""Room for a server's files (it uses 0.2 GB). In memory, because each new database is 330 of them."""


n_started = 0
"""Servers that this process has started."""


def count_starts() -> None:
    """Count the servers that this process starts, whoever does it."""
    start = PostgresServer.start

    def counted(self: PostgresServer, *, timeout_s: float = 60.0) -> None:
        global n_started
        n_started += 1
        start(self, timeout_s=timeout_s)

    PostgresServer.start = counted  # type: ignore[method-assign]


class Databases:
    """Fresh databases on both engines; the server starts when the first test needs it.

    Parameters
    ----------
    folder : Path
        Where the SQLite files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._serial = count(1)
        self._server: PostgresServer | None = None
        self._template_file: Path | None = None
        self._template_made = False

    @property
    def server(self) -> PostgresServer:
        """The running PostgreSQL server."""
        if self._server is None:
            server = PostgresServer(settings={"max_wal_size": "256MB"}, place=place_in_memory(SERVER_BYTES))
            server.start()
            self._server = server
        return self._server

    def empty(self, engine: str) -> str:
        """URL of a database without a single table."""
        name = f"archive_{next(self._serial):04d}"
        if engine == "sqlite":
            return f"sqlite:///{self._folder / name}.sqlite"
        return self.server.create_database(name)

    def migrated(self, engine: str) -> str:
        """URL of a database at the newest schema revision."""
        name = f"archive_{next(self._serial):04d}"
        if engine == "sqlite":
            path = self._folder / f"{name}.sqlite"
            shutil.copyfile(self._sqlite_template(), path)
            return f"sqlite:///{path}"
        return self.server.create_database(name, template=self._postgres_template())

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        if url.startswith("sqlite:///"):
            for suffix in ("", "-wal", "-shm"):
                Path(url.removeprefix("sqlite:///") + suffix).unlink(missing_ok=True)
        else:
            self.server.drop_database(url.partition("?")[0].rpartition("/")[2])

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.close()

    def _sqlite_template(self) -> Path:
        from ztfdb.store.migrate import upgrade

        if self._template_file is None:
            path = self._folder / f"{TEMPLATE}.sqlite"
            upgrade(f"sqlite:///{path}")
            with contextlib.closing(sqlite3.connect(path)) as connection:  # the copy is of one file: empty the WAL
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._template_file = path
        return self._template_file

    def _postgres_template(self) -> str:
        from ztfdb.store.migrate import upgrade

        if not self._template_made:
            self.server.drop_database(TEMPLATE)
            upgrade(self.server.create_database(TEMPLATE))
            self._template_made = True
        return TEMPLATE
