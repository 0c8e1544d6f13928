"""Values passed to a backend: a read-only statement, an uploaded table, the views set aside for a migration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Statement:
    """A statement with its parameters, for both backends.

    Attributes
    ----------
    text : str
        As written, parameters as ``:name``.
    numbered : str
        The same with ``$1``, ``$2``, … in the order of `values`.
    values : dict
        Python values by name.
    timeout_s : float
    max_rows : int
    body : str
        The text without comments and without a final semicolon, for use inside parentheses.
    """

    text: str
    numbered: str
    values: dict[str, Any]
    timeout_s: float
    max_rows: int
    body: str


@dataclass(frozen=True)
class Rowset:
    """A table that is uploaded with a statement.

    Attributes
    ----------
    name : str
        Of the temporary table on SQLite.
    datatypes : mapping of str to str
        VOTable's datatypes by column.
    columns : sequence of list
        Python values.
    """

    name: str
    datatypes: Mapping[str, str]
    columns: Sequence[list[Any]] = field(repr=False)


@dataclass
class SetAside:
    """State to restore after a migration.

    Attributes
    ----------
    in_use : dict of str to list of str
        Our views that were left in place, with the views of others that use them.
    statements : list of str
        Statements that restore rights and owners (PostgreSQL), or the views of others (SQLite).
    others : list of str
        Views of others that are created again, and must work then (SQLite).
    """

    in_use: dict[str, list[str]] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def by_column(rows: Sequence[Sequence[Any]], n_column: int) -> list[list[Any]]:
    """Return rows as lists by column.

    ``zip(*rows)`` would make an iterator per row, which Python's garbage collector looks through: many times slower.
    """
    return [list(map(itemgetter(number), rows)) for number in range(n_column)]


def quoted(name: str) -> str:
    """Return a name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
