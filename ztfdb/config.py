"""The operating configuration: defaults, then a TOML file, then ``ZTFDB_*`` variables, then flags.

An entry point (the command line, a daemon) reads it once and passes plain values down. The file is the one named by a
flag or by ``ZTFDB_CONFIG``, else ``ztfdb.toml`` in the current folder, if it exists::

    url = "postgresql://ztf@db.example.org/ztf"
    jobs = 8
    timeout_s = 120.0
    log_format = "json"

    [roots]                 # folders of this host, by the name of their data root
    ztf = "/mnt/ztf"

    [extraction]            # frozen into an archive when it is made
    threshold = 1.5

    [serve]                 # limits of `ztfdb serve`
    max_rows_sync = 100000
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ztfdb.errors import ConfigError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.worker_limits import MEMORY_MB, TIMEOUT_S
from ztfdb.store.address import address_of
from ztfdb.texts import failure

CONFIG_VARIABLE = "ZTFDB_CONFIG"
CONFIG_FILE = "ztfdb.toml"
DEFAULT_URL = "sqlite:///ztfdb.sqlite"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS = ("text", "json")

_OF_SERVICES = ("token", "http_timeout_s")
_KINDS: dict[str, Any] = {"jobs": int, "memory_mb": int, "timeout_s": float, "http_timeout_s": float}
"""Settings that are numbers; all others are texts."""


@dataclass(frozen=True)
class Config:
    """The settings of ztfdb on this host. Its ``repr`` and `describe` hide the password of the URL.

    Attributes
    ----------
    url : str
        The archive (``ZTFDB_URL``).
    jobs : int
        Processors to keep busy with measuring and storing (``ZTFDB_JOBS``).
    timeout_s : float
        Seconds one image may take in a worker process (``ZTFDB_TIMEOUT_S``).
    memory_mb : int
        Megabytes one image may take there (``ZTFDB_MEMORY_MB``).
    log_level : str
        ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR`` (``ZTFDB_LOG_LEVEL``).
    log_format : str
        ``text`` or ``json`` (``ZTFDB_LOG_FORMAT``).
    roots : dict of str
        Folders of this host by the name of their data root (``ZTFDB_ROOTS``: ``name=folder``, separated like PATH).
    token : str
        Sent to a service that is opened by its URL (``ZTFDB_TOKEN``).
    http_timeout_s : float
        Seconds without any data until a request to a service fails (``ZTFDB_HTTP_TIMEOUT_S``).
    extraction : ExtractionSettings
        For archives that are made with it; an existing one keeps its own. Only from the file.
    serve : dict
        The limits of ``ztfdb serve`` as in the file; `ztfdb.serve.limits` reads them.
    """

    url: str = field(default=DEFAULT_URL, repr=False)
    jobs: int = 1
    timeout_s: float = TIMEOUT_S
    memory_mb: int = MEMORY_MB
    log_level: str = "WARNING"
    log_format: str = "text"
    roots: dict[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    http_timeout_s: float = 60.0
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    serve: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        address_of(self.url)
        for name in ("jobs", "timeout_s", "memory_mb", "http_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}, it must be positive")
        for name, known in (("log_level", LOG_LEVELS), ("log_format", LOG_FORMATS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")

    def describe(self) -> dict[str, Any]:
        """Return all values for display: the URL's password and the token are shown as ``***``."""
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        hidden = {"url": address_of(self.url).shown(), "token": "***" if self.token else ""}
        return shown | hidden | {"extraction": self.extraction.to_dict()}


def load_config(
    flags: Mapping[str, Any] | None = None,
    *,
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Read the configuration.

    Parameters
    ----------
    flags : mapping, optional
        Values by the names of `Config`'s attributes; None for a flag that was not given.
    path : str or Path, optional
        The TOML file; it must exist.
    environ : mapping, optional
        The environment, by default the process's.

    Raises
    ------
    ConfigError
        If a name is unknown, a value has the wrong type or is out of range, or the given file cannot be read. The
        message gives the origin of the value and never shows a password.
    """
    environ = os.environ if environ is None else environ
    values = _from_file(path or environ.get(CONFIG_VARIABLE) or None)
    values |= _from_environ(environ)
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    unknown = sorted(values.keys() - {f.name for f in fields(Config)})
    if unknown:
        raise ConfigError(
            f"unknown setting {', '.join(unknown)}; known are {', '.join(f.name for f in fields(Config))}"
        )
    return Config(**values)


def _from_file(path: str | Path | None) -> dict[str, Any]:
    if path is None and not Path(CONFIG_FILE).is_file():
        return {}
    import tomllib

    found = Path(path or CONFIG_FILE)
    try:
        table = tomllib.loads(found.read_text(encoding="utf-8"))
    except UnicodeDecodeError as exc:
        raise ConfigError(f"the configuration {found} cannot be read: it is no text in UTF-8") from exc
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"the configuration {found} cannot be read: {failure(exc)}") from exc
    extraction, serve = table.pop("extraction", None), table.pop("serve", {})
    values = {name: _of_kind(name, value, str(found)) for name, value in table.items()}
    if not isinstance(serve, dict):
        raise ConfigError(f"{found}: serve is a table")
    values["serve"] = serve
    if extraction is not None:
        if not isinstance(extraction, dict):
            raise ConfigError(f"{found}: extraction is a table")
        try:
            values["extraction"] = ExtractionSettings.from_dict(extraction)
        except TypeError as exc:
            raise ConfigError(f"{found}: a value of [extraction] is of the wrong kind: {exc}") from exc
    return values


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in ("url", "jobs", "timeout_s", "memory_mb", "log_level", "log_format", "roots", *_OF_SERVICES):
        variable = f"ZTFDB_{name.upper()}"
        text = environ.get(variable, "")
        if text:
            values[name] = _of_kind(name, _parsed(name, text, variable), variable)
    return values


def _parsed(name: str, text: str, variable: str) -> Any:
    if name == "roots":
        pairs = [item.partition("=") for item in text.split(os.pathsep) if item]
        if any(not mark for _, mark, _ in pairs):
            raise ConfigError(f"{variable} must be name=folder, several separated by {os.pathsep!r}")
        return {root: folder for root, _, folder in pairs}
    try:
        return _KINDS.get(name, str)(text)
    except ValueError as exc:
        raise ConfigError(f"{variable} is {text!r}, expected a number") from exc


def _of_kind(name: str, value: Any, where: str) -> Any:
    """Return a value that fits its setting; unknown names pass, so that one error can list all of them."""
    if name == "roots":
        if not isinstance(value, dict) or not all(isinstance(folder, str) for folder in value.values()):
            raise ConfigError(f"{where}: roots is a table of folders by name")
        if empty := [f"{root}={folder}" for root, folder in value.items() if not (root and folder)]:
            raise ConfigError(f"{where}: roots has {empty[0]!r}, expected a name and a folder")
        return {root: os.path.abspath(os.path.expanduser(folder)) for root, folder in value.items()}  # noqa: PTH100, PTH111
    if _KINDS.get(name) is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = _KINDS.get(name, str)
    if name in {f.name for f in fields(Config)} and (not isinstance(value, kind) or isinstance(value, bool)):
        shown = "" if name in ("url", "token") else f" {value!r}"
        raise ConfigError(f"{where}: {name}{shown} must be {'a text' if kind is str else 'a number'}")
    return value.upper() if name == "log_level" else value
