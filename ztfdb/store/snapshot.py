"""One snapshot of the database for several readers, in this process and in others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ztfdb.store.address import Address
from ztfdb.store.backends import reads
from ztfdb.store.connections import Connections, Reading


@contextmanager
def snapshot(connections: Connections, name: str | None = None) -> Iterator[Reading]:
    """One read-only transaction in which nothing changes after its beginning.

    Parameters
    ----------
    connections : Connections
    name : str, optional
        The name from `export_snapshot` of another transaction that is still open (PostgreSQL).
    """
    with connections.reading() as session:
        reads(session).hold_snapshot(name)
        yield session


def export_snapshot(session: Reading) -> str | None:
    """Return the name by which other transactions can read this snapshot; None on SQLite, which has no such names."""
    return reads(session).export_snapshot()


class CommitWatch:
    """Detects commits to a SQLite file by anyone; on PostgreSQL snapshots are shared, and it reports none.

    Parameters
    ----------
    address : Address
        Of the archive.
    """

    def __init__(self, address: Address) -> None:
        self._connections = Connections(address, read_only=True)
        self._before = self._version()

    def committed(self) -> bool:
        """Return whether the database has changed since the last call, or since this was made."""
        before, self._before = self._before, self._version()
        return before != self._before

    def close(self) -> None:
        """Close the connection."""
        self._connections.close()

    def _version(self) -> int:
        with self._connections.reading() as session:  # always the same connection, whose version it is
            return reads(session).commits()
