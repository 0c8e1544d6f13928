"""One number for what an archive knows of an image beside its rows: its own row, headers, files and cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ztfdb.schema import Image, ImageCell, ImageFile, ImageHeader

CHANGING = ("seeing", "maglimit", "infobits", "infobits_source", "config_id", "facts_checksum")
"""Columns of ``image`` that are filled later, or are a number of this archive alone."""

PLACE = ("data_root_id", "path", "mtime_ns")
"""Columns of ``image_file`` that change with the file's place."""


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
    for table, left_out in ((Image, CHANGING), (ImageHeader, ()), (ImageFile, PLACE), (ImageCell, ())):
        columns = [column for column in table.__table__.columns if column.name not in left_out]
        keys = [column for column in columns if column.primary_key]
        statement = select(*columns).where(table.image_id.in_(image_id)).order_by(table.image_id, *keys)
        at = [column.name for column in columns].index("image_id")
        for row in session.execute(statement):
            facts.setdefault(int(row[at]), []).append(list(row))
    return {one: _digest(rows) for one, rows in facts.items()}


def seal_facts(session: Session, image_id: int) -> None:
    """Write the checksum of the facts of an image that was just stored."""
    (checksum,) = facts_checksums(session, [image_id]).values()
    session.execute(update(Image).where(Image.image_id == image_id).values(facts_checksum=checksum))


def changed_facts(session: Session, image_id: Sequence[int]) -> list[int]:
    """Return the images whose facts are not those that were written; those that are older than the checksum are not."""
    statement = select(Image.image_id, Image.facts_checksum).where(
        Image.image_id.in_(image_id), Image.facts_checksum.is_not(None)
    )
    kept = {int(row.image_id): row.facts_checksum for row in session.execute(statement)}
    now = facts_checksums(session, list(kept))
    return sorted(one for one in kept if now.get(one) != kept[one])


def _plain(value: Any) -> Any:
    """Return a value with its numbers as both engines keep them.

    SQLite has no -0.0 in a column, and JSONB none at all; JSONB writes 1e20 as a whole number.
    """
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and float(value) == value):
        return float(value) + 0.0
    return value


def _digest(rows: list[list[Any]]) -> int:
    text = json.dumps(_plain(rows), sort_keys=True, default=bytes.hex)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
