"""Checksum of the rows of an image: written with them, and compared by ``ztfdb verify --deep``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.schema import Base, Image, PsfCatalogue
from ztfdb.store.backends import backend
from ztfdb.store.columns import sql_columns, table_dtypes

NO_VALUE = -(1 << 62)
"""Value for NULL in an integer column."""


def rows_checksum(
    table: Table, columns: Mapping[str, NDArray[Any]], nulls: Mapping[str, NDArray[np.bool_]] | None = None
) -> int:
    """Return the checksum of rows before they are stored.

    Parameters
    ----------
    table : Table
        The rows are rounded to its types.
    columns : mapping of str to ndarray, each of shape (n_row,)
        All columns of the table.
    nulls : mapping of str to ndarray of bool, optional
        Rows that are NULL in an integer column.

    Returns
    -------
    int
        64 bits, signed. The order of the rows does not matter.
    """
    stored = {}
    for column in sql_columns(table, columns, nulls):
        values = column.values.astype("<i8" if column.values.dtype.kind == "i" else "<f8")
        if column.null is not None:
            values[column.null] = NO_VALUE if values.dtype.kind == "i" else np.nan
        stored[column.name] = values
    return _digest({name: stored[name] for name in table_dtypes(table)})


def stored_checksum(session: Session, table_name: str, image_id: int) -> int:
    """Return the checksum of an image's rows in ``source`` or ``psf_source``, with every stored bit.

    SQLite stores single precision in 8 bytes, and all 8 are compared.
    """
    table = Base.metadata.tables[table_name]
    wide = {name: "<i8" if dtype.kind == "i" else "<f8" for name, dtype in table_dtypes(table).items()}
    nulls = {name: NO_VALUE for name, dtype in wide.items() if dtype == "<i8" and table.c[name].nullable}
    first = int(image_id) << SOURCE_ID_SHIFT
    last = first + (1 << SOURCE_ID_SHIFT) - 1
    statement = f"select {', '.join(wide)} from {table_name} where source_id between :first and :last"
    return _digest(backend(session).read_bulk(statement, {"first": first, "last": last}, wide, nulls=nulls))


def kept_checksums(session: Session, image_id: Sequence[int]) -> dict[str, dict[int, int | None]]:
    """Return the checksums written with the rows of images, by table and image; None for rows older than checksums."""
    tables: tuple[tuple[str, type[Image] | type[PsfCatalogue]], ...] = (("source", Image), ("psf_source", PsfCatalogue))
    found: dict[str, dict[int, int | None]] = {}
    for name, one in tables:
        statement = select(one.image_id, one.row_checksum).where(one.image_id.in_(image_id)).order_by(one.image_id)
        found[name] = {int(row[0]): row[1] for row in session.execute(statement)}
    return found


def _digest(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return a hash of columns of doubles and 8-byte integers, ordered by ``source_id``.

    All NaN count as one, and -0.0 as 0.0, because not every engine preserves the difference.
    """
    order = np.argsort(columns["source_id"], kind="stable")
    digest = blake2b(digest_size=8)
    for values in columns.values():
        ordered = values[order]
        if ordered.dtype.kind == "f":
            ordered += 0.0
            ordered[np.isnan(ordered)] = np.nan
        digest.update(ordered.tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)
