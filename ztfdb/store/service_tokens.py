"""Tokens of a service: hashes in a SQLite file of their own next to its jobs, separate from the archive."""

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
"""Prefix of every token, so that a leaked one is recognised."""

BUSY_S = 30.0
_NAME = re.compile(r"[\w.@+-]{1,64}")
_TABLE = """
create table if not exists token (name text primary key, hash text not null unique, created real not null, expires real)
"""


@dataclass(frozen=True)
class Token:
    """Facts of a token, without the token itself.

    Attributes
    ----------
    name : str
        Its owner.
    created : float
        Seconds since 1970.
    expires : float or None
        Seconds since 1970, None for a token without an end.
    """

    name: str
    created: float
    expires: float | None

    @property
    def is_valid(self) -> bool:
        """Whether it has not expired."""
        return self.expires is None or self.expires > time.time()


@contextmanager
def state_made(folder: Path) -> Iterator[None]:
    """Make the folder of a service's state if it does not exist, for the files that the block makes in it.

    Raises
    ------
    ConfigError
        If one of them cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except (OSError, sqlite3.Error, StoreError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ConfigError(f"the folder of the service's state, {folder}, cannot be used: {reason}") from exc


class TokenStore:
    """The tokens of a service.

    Parameters
    ----------
    folder : Path
        Created if it does not exist, with access for its owner only.

    Raises
    ------
    ConfigError
        If the folder or its file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tokens.sqlite"
        with state_made(folder), closing(sqlite3.connect(self._path, timeout=BUSY_S)) as connection, connection:
            connection.execute("begin immediate")  # also finds that the file cannot be written
            connection.execute(_TABLE)
            self._path.chmod(0o600)

    def add(self, name: str, days: float | None = None) -> str:
        """Make a token and return it; it cannot be read again later.

        Raises
        ------
        ConfigError
            If the name is invalid, or in use.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is not a name of a token: expected up to 64 letters, digits and . _ @ + -")
        made, now = PREFIX + secrets.token_urlsafe(32), time.time()
        expires = None if days is None else now + days * SECONDS_PER_DAY
        try:
            with self._open() as connection:
                connection.execute("insert into token values (?, ?, ?, ?)", (name, hash_of(made), now, expires))
        except sqlite3.IntegrityError:
            raise ConfigError(f"there is a token of the name {name} already: remove it first") from None
        return made

    def remove(self, name: str) -> bool:
        """Remove a token; return whether it existed."""
        with self._open() as connection:
            return connection.execute("delete from token where name = ?", (name,)).rowcount > 0

    def tokens(self) -> list[Token]:
        """Return the facts of each token, ordered by name."""
        with self._open() as connection:
            return [Token(*row) for row in connection.execute("select name, created, expires from token order by name")]

    def by_hash(self) -> dict[str, Token]:
        """Return the facts of each token, also of expired ones, by its hash."""
        with self._open() as connection:
            rows = connection.execute("select hash, name, created, expires from token").fetchall()
        return {row[0]: Token(*row[1:]) for row in rows}

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
