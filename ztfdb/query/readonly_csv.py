"""Rows of SQL as CSV, however many they are; no pandas is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztfdb.store import readonly

if TYPE_CHECKING:
    from sqlalchemy import URL

TIMEOUT_S = 60.0
"""Default time limit of a statement."""


def read_only_csv(
    url: str | Path | URL,
    statement: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    force: bool = False,
) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV, in bounded memory.

    Otherwise as `ztfdb.query.readonly.read_only_sql`. Numbers are as Python's ``repr`` writes them, so that each is
    read back as the same double; NULL is an empty field, an empty text ``""``, a truth value 1 or 0, a blob hexadecimal
    digits. Each value is written by its own type: no column has to be looked at as a whole. PostgreSQL writes the rows
    of a statement without parameters itself.

    Yields
    ------
    content : bytes
        First the line of names, then whole lines.
    n_row : int
        Rows in it.
    """
    check_limit(timeout_s)
    return readonly.read_only_csv(url, statement, dict(params or {}), timeout_s=timeout_s, force=force)


def check_limit(timeout_s: float) -> None:
    """Raise ValueError for a time limit that is none."""
    if not timeout_s > 0:
        raise ValueError(f"a time limit of {timeout_s} s: expected more than 0")
