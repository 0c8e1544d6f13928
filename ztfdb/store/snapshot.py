"""One snapshot of the database for several readers, in this process and in others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.orm import Session

from ztfdb.store.backends import backend, engine_class
from ztfdb.store.engine import make_engine


@contextmanager
def reading(engine: Engine, snapshot: str | None = None) -> Iterator[Session]:
    """One read-only transaction in which nothing changes after its beginning.

    Parameters
    ----------
    engine : Engine
    snapshot : str, optional
        The name from `export_snapshot` of another transaction that is still open (PostgreSQL).
    """
    options = engine_class(engine).snapshot_options
    with engine.connect().execution_options(**options) as connection, Session(connection) as session:
        if snapshot is not None:
            name = snapshot.replace("'", "")  # made by a server; parameters are not allowed here
            session.execute(text(f"set transaction snapshot '{name}'"))
        session.execute(text("select count(*) from archive_meta"))  # SQLite's snapshot begins with the first read
        yield session


def export_snapshot(session: Session) -> str | None:
    """Return the name by which other transactions can read this snapshot; None on SQLite, which has no such names."""
    return backend(session).export_snapshot()


class CommitWatch:
    """Detects commits to a SQLite file by anyone; on PostgreSQL snapshots are shared, and it reports none.

    Parameters
    ----------
    url : URL
        Of the archive.
    """

    def __init__(self, url: URL) -> None:
        self._engine = make_engine(url, read_only=True)
        self._connection: Connection | None = None
        if engine_class(self._engine).counts_commits:
            self._connection = self._engine.connect()
        self._before = self._version()

    def committed(self) -> bool:
        """Return whether the database has changed since the last call, or since this was made."""
        before, self._before = self._before, self._version()
        return before != self._before

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def _version(self) -> int:
        if self._connection is None:
            return 0
        return engine_class(self._engine).commits(self._connection)
