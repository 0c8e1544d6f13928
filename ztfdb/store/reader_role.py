"""Check the database role of a service, which runs the statements of its clients."""

from __future__ import annotations

from contextlib import closing

from ztfdb.store.address import address_of
from ztfdb.store.connections import Connections


def check_reader(url: str) -> None:
    """Refuse to serve an archive as a PostgreSQL role that a READ ONLY transaction does not restrict.

    Raises
    ------
    QueryError
        If the role is a superuser, or may write files or run programs on the server.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    address = address_of(url)
    if address.is_file:
        return
    from ztfdb.store.backends.connect_postgresql import check_powers  # needs psycopg

    with closing(Connections(address, read_only=True)) as connections, connections.reading() as session:
        check_powers(session.driver)
