"""Limits of a service, from the configuration's table ``[serve]`` and ``ZTFDB_SERVE_…``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ztfdb.errors import ConfigError

MAX_THREADS = 15
"""Maximum of an engine's connection pool: 5 connections and 10 overflow."""

_PREFIX = "ZTFDB_SERVE_"


@dataclass(frozen=True)
class Limits:
    """The limits of a service; a response that exceeds one names it.

    Attributes
    ----------
    max_rows : int
        Rows of an answer if the client gives no number.
    max_rows_sync, max_rows_async : int
        Largest number of rows that a client may request.
    sync_s, async_s : float
        Seconds until the statements of a request, or of an asynchronous job, are stopped.
    job_days, max_job_days : float
        Days until a job and its result are removed; the longest that a client may set.
    spool_mb : int
        Megabytes that the results of all jobs may take.
    body_mb : int
        Megabytes of a request's body.
    body_s : float
        Seconds in which it must arrive, and in which a client must read the next chunk of a response.
    upload_rows, upload_files : int
        Rows and files of an upload.
    query_kb : int
        Kilobytes of a statement.
    threads : int
        Requests that use the database at the same time, at most 15.
    client_threads : int
        Of these, for one client address.
    queue, client_queue : int
        Requests that wait for a thread, in total and per client; further ones get 503.
    connections : int
        Requests that are open at the same time.
    cone_deg : float
        Radius of a cone search, deg.
    positions, complete_positions : int
        Positions of one request for light curves, and for complete ones, whose files are read.
    stream_s : float
        Seconds until an answer of many light curves, or a cutout, is stopped.
    stamp_px : int
        Width of a stamp, pixels.
    stamps_mpx : int
        Millions of pixels of the stamps of one answer.
    """

    max_rows: int = 20_000
    max_rows_sync: int = 200_000
    max_rows_async: int = 2_000_000
    sync_s: float = 30.0
    async_s: float = 3600.0
    job_days: float = 7.0
    max_job_days: float = 30.0
    spool_mb: int = 10_000
    body_mb: int = 20
    body_s: float = 30.0
    upload_rows: int = 100_000
    upload_files: int = 10
    query_kb: int = 64
    threads: int = 8
    client_threads: int = 4
    queue: int = 256
    client_queue: int = 64
    connections: int = 1_000
    cone_deg: float = 1.0
    positions: int = 10_000
    complete_positions: int = 1_000
    stream_s: float = 600.0
    stamp_px: int = 1_500
    stamps_mpx: int = 20

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) > 0:  # nan, too
                raise ConfigError(f"[serve] {one.name} is {getattr(self, one.name):g}, expected more than 0")
        if self.threads > MAX_THREADS:
            raise ConfigError(f"[serve] threads is {self.threads}, expected at most {MAX_THREADS}")
        if self.client_threads > self.threads:
            raise ConfigError(f"[serve] client_threads is {self.client_threads}, more than threads, {self.threads}")


def load_limits(table: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Limits:
    """Read the limits.

    Parameters
    ----------
    table : mapping, optional
        The table ``[serve]`` of the configuration file.
    environ : mapping, optional
        The environment, by default the process's: ``ZTFDB_SERVE_MAX_ROWS`` and so on, which override the file.

    Raises
    ------
    ConfigError
        If a name is unknown, or a value is not a number or out of range.
    """
    environ = os.environ if environ is None else environ
    kinds = {one.name: float if one.type == "float" else int for one in fields(Limits)}
    if unknown := sorted((table or {}).keys() - kinds.keys()):
        raise ConfigError(f"[serve] has an unknown setting {', '.join(unknown)}; known are {', '.join(kinds)}")
    given = {name: (f"[serve] {name}", value) for name, value in (table or {}).items()}
    for name in kinds:
        if text := environ.get(variable := _PREFIX + name.upper(), ""):
            given[name] = (variable, text)
    numbers: dict[str, Any] = {name: _number(*given[name], kinds[name]) for name in given}
    return Limits(**numbers)


def _number(where: str, value: Any, kind: type[int] | type[float]) -> int | float:
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError):
        wanted = "a number" if kind is float else "a whole number"
        raise ConfigError(f"{where} is {value!r}, expected {wanted}") from None
