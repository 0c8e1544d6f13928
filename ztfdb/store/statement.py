"""What store hands to a backend: a read-only statement, a table brought along, views that were set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Statement:
    """A statement with its parameters, as both backends take it.

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
        The text without comments and without a semicolon at its end, to be put into parentheses.
    """

    text: str
    numbered: str
    values: dict[str, Any]
    timeout_s: float
    max_rows: int
    body: str


@dataclass(frozen=True)
class Rowset:
    """A table that a statement brings.

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
    """What a migration has to put back.

    Attributes
    ----------
    in_use : dict of str to list of str
        Views of ours that were left in place, by the views of others on them.
    statements : list of str
        What restores rights and owners (PostgreSQL), or the views of others (SQLite).
    others : list of str
        Views of others that are made again and must work then (SQLite).
    """

    in_use: dict[str, list[str]] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def quoted(name: str) -> str:
    """Return a name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'
