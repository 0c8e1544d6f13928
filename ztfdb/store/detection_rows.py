"""Append, delete and count the rows of detections, ours and those of ZTF's PSF catalogues."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sqlalchemy import Table, delete, func, or_, select
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns
from ztfdb.ids import MAX_SOURCES, source_id_range
from ztfdb.schema import Base
from ztfdb.store.backends import backend
from ztfdb.store.detections import SourceKind


def append_rows(
    session: Session, kind: SourceKind, columns: Columns, nulls: Mapping[str, BoolArray] | None = None
) -> None:
    """Append an image's detections, in the order that the engine's table is best filled in."""
    engine = backend(session)
    order = np.argsort(columns[engine.detections_by], kind="stable")
    ordered = {name: columns[name][order] for name in kind.dtypes}
    engine.copy_rows(_table(kind), ordered, {name: null[order] for name, null in (nulls or {}).items()})


def delete_rows(session: Session, kind: SourceKind, image_id: int) -> int:
    """Delete an image's detections, by their range of ids, and return their number."""
    table = _table(kind)
    first, last = source_id_range(image_id)
    result = session.execute(delete(table).where(table.c.source_id.between(first, last)))
    return int(result.rowcount)  # type: ignore[attr-defined]


def count_orphans(session: Session, kind: SourceKind) -> int:
    """Return how many detections belong to no image, or have an id outside their image's range; it should be 0.

    This reads the whole table; it is for tests and for ``ztfdb verify``.
    """
    table, owner = _table(kind), Base.metadata.tables[kind.owner]
    start = table.c.image_id * MAX_SOURCES
    outside = or_(table.c.source_id < start, table.c.source_id >= start + MAX_SOURCES)
    statement = select(func.count()).select_from(table).outerjoin(owner, owner.c.image_id == table.c.image_id)
    return session.execute(statement.where(or_(owner.c.image_id.is_(None), outside))).scalar_one()


def _table(kind: SourceKind) -> Table:
    return Base.metadata.tables[kind.name]
