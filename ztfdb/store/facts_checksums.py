"""Checksum of the facts about an image other than its sources: its own row, headers, files and cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ztfdb.schema import Base, Image, ImageCell, ImageFile, ImageHeader

CHANGING = ("seeing", "maglimit", "infobits", "infobits_source", "config_id", "facts_checksum")
"""Columns of ``image`` that are filled later, or have a meaning only in this archive."""

PLACE = ("data_root_id", "path", "mtime_ns")
"""Columns of ``image_file`` that change when the file is moved."""


Row = Mapping[str, Any]

_TABLES = ((Image, CHANGING), (ImageHeader, ()), (ImageFile, PLACE), (ImageCell, ()))


def facts_checksum(image: Row, headers: Sequence[Row], files: Sequence[Row], cells: Sequence[Row]) -> int:
    """Return the checksum of the facts of one image before they are stored.

    Parameters
    ----------
    image : mapping
        The row of ``image``: Python values by column; an absent column is NULL.
    headers, files, cells : sequence of mapping
        The rows of ``image_header``, ``image_file`` and ``image_cell``, in any order.

    Returns
    -------
    int
        64 bits, signed; equal to that of `facts_checksums` after storing.
    """
    facts = []
    for (table, left_out), rows in zip(_TABLES, ([image], headers, files, cells), strict=True):
        names, keys = _names(table, left_out)
        facts += [[row.get(name) for name in names] for row in sorted(rows, key=lambda row: [row[key] for key in keys])]
    return _digest(facts)


def facts_checksums(session: Session, image_id: Sequence[int]) -> dict[int, int]:
    """Return the checksum of the stored facts of images.

    Parameters
    ----------
    session : Session
    image_id : sequence of int

    Returns
    -------
    dict
        64 bits, signed, by image; unknown images are left out.
    """
    facts: dict[int, list[list[Any]]] = {}
    for table, left_out in _TABLES:
        names, keys = _names(table, left_out)
        columns = table.__table__.columns
        statement = select(*(columns[name] for name in names)).where(table.image_id.in_(image_id))
        at = names.index("image_id")
        for row in session.execute(statement.order_by(table.image_id, *(columns[key] for key in keys))):
            facts.setdefault(int(row[at]), []).append(list(row))
    return {one: _digest(rows) for one, rows in facts.items()}


def changed_facts(session: Session, image_id: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the images whose facts differ from those written, and those without a checksum, older than it."""
    statement = select(Image.image_id, Image.facts_checksum).where(Image.image_id.in_(image_id))
    kept = {int(row.image_id): row.facts_checksum for row in session.execute(statement.order_by(Image.image_id))}
    unknown = [one for one, checksum in kept.items() if checksum is None]
    now = facts_checksums(session, [one for one in kept if kept[one] is not None])
    return [one for one, checksum in kept.items() if checksum is not None and now.get(one) != checksum], unknown


@cache
def _names(table: type[Base], left_out: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the columns of a table in the checksum, and those of its primary key."""
    columns = table.__table__.columns
    return [one.name for one in columns if one.name not in left_out], [one.name for one in columns if one.primary_key]


def _plain(value: Any) -> Any:
    """Return a value with its numbers in the form of both engines.

    A column of SQLite cannot hold -0.0, nor can JSONB; JSONB writes 1e20 as an integer.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is bytes:
        return value
    if kind is float or (kind is int and float(value) == value):
        return float(value) + 0.0
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _digest(rows: list[list[Any]]) -> int:
    text = json.dumps(_plain(rows), sort_keys=True, default=bytes.hex)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
