"""Sources: an image's rows go in together and out together, by their range of ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns
from ztfdb.errors import TooManySourcesError
from ztfdb.ids import MAX_SOURCES, SOURCE_ID_SHIFT, source_id_range
from ztfdb.records import N_APERTURE, SourceTable
from ztfdb.schema import Base, Image, Source
from ztfdb.store.backends import backend
from ztfdb.store.checksums import rows_checksum
from ztfdb.store.columns import NO_MASK, table_dtypes

_TABLE = Base.metadata.tables["source"]
_PLAIN = (
    "hpx29",
    "ra",
    "dec",
    "x",
    "y",
    "a",
    "b",
    "theta",
    "npix",
    "peak",
    "flux_auto",
    "flux_auto_err",
    "kron_radius",
    "flux_radius",
    "flags",
    "background",
    "background_rms",
)


def store_sources(session: Session, image_id: int, sources: SourceTable) -> int:
    """Append an image's sources and return how many they are.

    Parameters
    ----------
    session : Session
    image_id : int
        Its range of ``source_id`` must be empty: see `delete_sources`.
    sources : SourceTable
        Their running numbers must be different.

    Raises
    ------
    TooManySourcesError
        If there are more than 2^18, or a number is outside 0 … 2^18 - 1.
    StoreError
        If a source of this id is stored already.
    """
    columns, nulls = _columns(image_id, sources)
    # In the order of the light-curve index, whose pages then are touched once each: a fifth to a third less time.
    order = np.argsort(sources.hpx29, kind="stable")
    ordered = {name: columns[name][order] for name in table_dtypes(_TABLE)}
    backend(session).copy_rows(_TABLE, ordered, {name: null[order] for name, null in nulls.items()})
    return len(sources)


def source_checksum(image_id: int, sources: SourceTable) -> int:
    """Return the checksum of the rows that `store_sources` makes; see `ztfdb.store.checksums.rows_checksum`."""
    columns, nulls = _columns(image_id, sources)
    return rows_checksum(_TABLE, columns, nulls)


def _columns(image_id: int, sources: SourceTable) -> tuple[Columns, dict[str, NDArray[np.bool_]]]:
    """Return the columns of an image's rows, and where they are NULL; see `store_sources`."""
    n_source = len(sources)
    numbers = sources.number.astype(np.int64)
    if n_source > MAX_SOURCES or (n_source and (numbers.min() < 0 or numbers.max() >= MAX_SOURCES)):
        raise TooManySourcesError(f"image {image_id} has {n_source} sources; ids number at most {MAX_SOURCES}")
    columns: Columns = {
        "source_id": (image_id << SOURCE_ID_SHIFT) + numbers,
        "image_id": np.full(n_source, image_id, np.int64),
        **{name: getattr(sources, name) for name in _PLAIN},
        **_aperture_columns(sources),
    }
    if sources.mask_bits is None:
        nulls = {"mask_bits": np.ones(n_source, bool)}
        columns["mask_bits"] = np.zeros(n_source, np.int32)
    else:
        nulls = {}
        columns["mask_bits"] = sources.mask_bits
    return columns, nulls


def delete_sources(session: Session, image_id: int) -> int:
    """Delete an image's sources, by their range of ids, and return how many they were."""
    first, last = source_id_range(image_id)
    result = session.execute(delete(Source).where(Source.source_id.between(first, last)))
    return int(result.rowcount)  # type: ignore[attr-defined]


def sources_of_image(session: Session, image_id: int) -> Columns:
    """Return all columns of an image's sources, ordered by ``source_id``.

    Returns
    -------
    dict of ndarray
        In the table's order and types; NULL is NaN, in ``mask_bits`` -1.
    """
    dtypes = table_dtypes(_TABLE)
    first, last = source_id_range(image_id)
    statement = f"select {', '.join(dtypes)} from source where source_id between :first and :last order by source_id"
    return backend(session).read_columns(
        statement, {"first": first, "last": last}, dtypes, nulls={"mask_bits": NO_MASK}
    )


def count_orphans(session: Session) -> int:
    """Return how many sources belong to no stored image, or have an id outside their image's range; 0 is right.

    This reads the whole table: it is for tests and for ``ztfdb verify``.
    """
    start = Source.image_id * MAX_SOURCES
    statement = (
        select(func.count())
        .select_from(Source)
        .outerjoin(Image, Image.image_id == Source.image_id)
        .where(or_(Image.image_id.is_(None), Source.source_id < start, Source.source_id >= start + MAX_SOURCES))
    )
    return session.execute(statement).scalar_one()


def _aperture_columns(sources: SourceTable) -> Columns:
    columns: Columns = {}
    for k in range(N_APERTURE):
        columns[f"flux_aper{k + 1}"] = sources.flux_aper[k]
        columns[f"flux_aper{k + 1}_err"] = sources.flux_aper_err[k]
    return columns
