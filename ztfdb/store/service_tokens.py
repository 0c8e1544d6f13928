"""Tokens of a service: a SQLite file of their own beside its jobs, apart from the archive, with hashes alone."""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ztfdb.errors import ConfigError, StoreError
from ztfdb.sky.times import SECONDS_PER_DAY

PREFIX = "ztfdb_"
"""Begins every token, so that one that leaked is recognised."""

BUSY_S = 30.0
_NAME = re.compile(r"[\w.@+-]{1,64}")
_TABLE = """
create table if not exists token (name text primary key, hash text not null unique, created real not null, expires real)
"""


@dataclass(frozen=True)
class Token:
    """What is known of a token: never the token itself.

    Attributes
    ----------
    name : str
        Whose it is.
    created : float
        Seconds since 1970.
    expires : float or None
    """

    name: str
    created: float
    expires: float | None


class TokenStore:
    """The tokens of a service.

    Parameters
    ----------
    folder : Path
        Made where it is not there, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / "tokens.sqlite"
        with self._open() as connection:
            connection.execute(_TABLE)
        self._path.chmod(0o600)

    def add(self, name: str, days: float | None = None) -> str:
        """Make a token and return it: this is the only time that it is seen.

        Raises
        ------
        ConfigError
            If the name is none, or is taken.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a token: expected up to 64 letters, digits and . _ @ + -")
        made, now = PREFIX + secrets.token_urlsafe(32), time.time()
        expires = None if days is None else now + days * SECONDS_PER_DAY
        try:
            with self._open() as connection:
                connection.execute("insert into token values (?, ?, ?, ?)", (name, hash_of(made), now, expires))
        except sqlite3.IntegrityError:
            raise ConfigError(f"there is a token of the name {name} already: remove it first") from None
        return made

    def remove(self, name: str) -> bool:
        """Remove a token; return whether there was one."""
        with self._open() as connection:
            return connection.execute("delete from token where name = ?", (name,)).rowcount > 0

    def tokens(self) -> list[Token]:
        """Return what is known of each token, ordered by name."""
        with self._open() as connection:
            return [Token(*row) for row in connection.execute("select name, created, expires from token order by name")]

    def valid(self) -> dict[str, str]:
        """Return the names of the tokens that count now, by their hashes."""
        with self._open() as connection:
            wanted = "select hash, name from token where expires is null or expires > ?"
            return dict(connection.execute(wanted, (time.time(),)).fetchall())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_S)) as connection, connection:
                yield connection
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as exc:
            raise StoreError(f"the tokens of the service cannot be read: {exc}") from exc


def hash_of(token: str) -> str:
    """Return the sha256 of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
