"""The URL of an archive, parsed without SQLAlchemy."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from ztfdb.arguments import shown
from ztfdb.errors import ConfigError
from ztfdb.texts import HIDDEN, is_secret_key, printable

if TYPE_CHECKING:
    from sqlalchemy import URL

ENGINES = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}
"""Engines by the scheme of a URL."""

_ACCOUNT = re.compile(r"(?P<username>[^:/]*)(?::(?P<password>[^@]*(?:@[^@/?]*)*))?@")
"""The last @ before the path ends the account: no host has one, but an unquoted password may."""

_SERVER = re.compile(r"(?:\[(?P<six>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_KEYWORDS = re.compile(r"(^|\s)(host|hostaddr|port|dbname|user|password|service)\s*=")
_PLAIN = " +"
"""Characters that need no quoting in a name, besides letters and digits."""


@dataclass(frozen=True)
class Address:
    """The parts of an archive's URL; its ``repr`` shows no secret.

    Attributes
    ----------
    engine : str
        ``sqlite`` or ``postgresql``.
    database : str or None
        The file of SQLite, or the database's name.
    username, password, host : str or None
    port : int or None
    query : mapping of str to str or tuple of str
        The part after the question mark.
    """

    engine: str
    database: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    query: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def is_file(self) -> bool:
        """Whether the archive is a SQLite file."""
        return self.engine == "sqlite"

    def absolute(self) -> Address:
        """Return the address with the absolute path of the file: a change of the current folder does not change it."""
        if not self.is_file or not self.database or self.database.startswith("file:"):
            return self
        return replace(self, database=str(Path(self.database).absolute()))

    def shown(self) -> str:
        """Return the URL for printing or logging: secrets are shown as ``***``, the driver is left out."""
        database, query = self.database, self.query
        if self.is_file and (database or "").startswith("file:"):  # opened read-only
            database, query = unquote(str(database).removeprefix("file://")), {}
        account = ""
        if self.username is not None:
            secret = "" if self.password is None else f":{HIDDEN}"
            account = f"{quote(self.username, safe=_PLAIN)}{secret}@"
        host = f"[{self.host}]" if ":" in (self.host or "") else quote(self.host or "", safe=",")
        port = "" if self.port is None else f":{self.port}"
        place = "" if database is None else "/" + _quoted(database, f"{_PLAIN}/")
        return f"{self.engine}://{account}{host}{port}{place}{_shown_query(query)}"


def _quoted(text: str, safe: str) -> str:
    """Quote what a URL reserves; letters beyond ASCII stay readable."""
    return "".join(one if ord(one) > 127 else quote(one, safe=safe) for one in text)


def address_of(url: str | Path | URL | Address) -> Address:
    """Return the parts of the URL of an archive.

    Parameters
    ----------
    url : str, Path, URL of SQLAlchemy, or Address
        ``sqlite:///night.db``, ``postgresql://…`` (with or without a driver), or the plain path of a SQLite file.

    Raises
    ------
    ConfigError
        If it is not a valid URL, or names another kind of database. The message never shows a password.
    """
    if isinstance(url, Address):
        return url
    if isinstance(url, Path) or (isinstance(url, str) and "://" not in url):
        return Address("sqlite", _file_name(str(url)))
    found = _parsed(url) if isinstance(url, str) else _parts(url)
    name = found.engine.split("+")[0]
    if name not in ENGINES:
        raise ConfigError(f"{name!r} is not an engine of ztfdb: expected sqlite or postgresql")
    account = found.username, found.password
    address = Address(ENGINES[name], found.database, *account, found.host, found.port, found.query)
    if address.is_file:
        _check_file(address)
    return address


def mask_password(url: str | Path | URL | Address) -> str:
    """Return the URL for printing or logging; see `Address.shown`."""
    return address_of(url).shown()


def _parts(url: Any) -> Address:
    """Return the parts of a URL of SQLAlchemy."""
    if not isinstance(getattr(url, "drivername", None), str):
        raise ConfigError(f"url {shown(url)}: expected the address of an archive, as sqlite:///night.db, or a path")
    return Address(url.drivername, url.database, url.username, url.password, url.host, url.port, dict(url.query))


def _parsed(text: str) -> Address:
    """Return the parts of a URL, with the engine as spelled there."""
    name, _, rest = text.partition("://")
    account = _ACCOUNT.match(rest)
    rest = rest[account.end() :] if account else rest
    server = _SERVER.match(rest)
    assert server is not None  # it may be empty
    place, mark, query = rest[server.end() :].partition("?")
    try:
        port = int(server["port"]) if server["port"] else None
    except ValueError:
        port = -1
    if not re.fullmatch(r"[\w+]+", name) or port == -1:
        # without the text, which may contain a password
        raise ConfigError("the archive's URL cannot be read: expected sqlite:///file or postgresql://…") from None
    return Address(
        name,
        unquote(place[1:]) if place else None,
        _unquoted(account and account["username"]),
        _unquoted(account and account["password"]),
        server["six"] or _unquoted(server["host"]),
        port,
        _query(query) if mark else {},
    )


def _unquoted(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def _query(text: str) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    for key, value in parse_qsl(text):
        before = found.get(key)
        more = () if before is None else (before,) if isinstance(before, str) else before
        found[key] = (*more, value) if more else value
    return found


def _shown_query(query: Mapping[str, str | tuple[str, ...]]) -> str:
    pairs = []
    for key in sorted(query):
        values = query[key]
        for value in (values,) if isinstance(values, str) else values:
            pairs.append(f"{quote_plus(key)}={HIDDEN if is_secret_key(key) else quote_plus(value)}")
    return "?" + "&".join(pairs) if pairs else ""


def _check_file(url: Address) -> None:
    """Refuse a SQLite URL without a file: the part after two slashes is a host, which SQLite does not have."""
    if url.host or url.port or url.username:
        name = f"{url.host or ''}/{url.database}" if url.database else url.host or "file"
        raise ConfigError(f"a SQLite archive is named with three slashes: sqlite:///{name}")
    if not url.database or url.database == ":memory:":
        raise ConfigError("an archive in memory would be empty for every connection: name a file, sqlite:///night.db")
    _file_name(url.database)


def _file_name(name: str) -> str:
    """Return the name of a SQLite file; raise ConfigError if it looks like something else."""
    if "\0" in name:
        raise ConfigError(f"the file of an archive cannot be called {printable(name)}")
    if _KEYWORDS.search(name):  # without the text, which may contain a password
        raise ConfigError("libpq's name=value words are not an archive's URL: expected postgresql://user@host/database")
    if os.name != "nt" and _WINDOWS_PATH.match(name):
        raise ConfigError(f"{name} is a Windows path; this system is not Windows")
    scheme = name.partition(":")[0].lower() if ":" in name else ""
    if scheme.split("+")[0] in ENGINES:
        raise ConfigError(f"{name} lacks the slashes of a URL: expected sqlite:///file or postgresql://…")
    if not name:
        raise ConfigError("the archive has no name: expected sqlite:///file or postgresql://…")
    return name
