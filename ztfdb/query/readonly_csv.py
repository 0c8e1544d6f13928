"""Rows of SQL as CSV, any number of them, without importing pandas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztfdb.store import readonly

if TYPE_CHECKING:
    from sqlalchemy import URL

    from ztfdb.store.address import Address

TIMEOUT_S = 60.0
"""Default time limit of a statement."""


def read_only_csv(
    url: str | Path | URL | Address,
    statement: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    force: bool = False,
) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of a statement as CSV, in bounded memory.

    Otherwise as `ztfdb.query.readonly.read_only_sql`. Numbers are written as by Python's ``repr``, so that each reads
    back as the same double; NULL is an empty field, an empty text ``""``, a boolean 1 or 0, a blob hexadecimal digits.
    Each value is written by its own type, so no column is needed as a whole. For a statement without parameters,
    PostgreSQL writes the rows itself.

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
    """Raise ValueError for a time limit that is not positive."""
    if not timeout_s > 0:
        raise ValueError(f"a time limit of {timeout_s} s: expected more than 0")
