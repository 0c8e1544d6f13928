"""Sources; all rows of an image are written and deleted together, by their range of ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns
from ztfdb.codes import N_APERTURE
from ztfdb.errors import TooManySourcesError
from ztfdb.ids import MAX_SOURCES, SOURCE_ID_SHIFT
from ztfdb.records import SourceTable
from ztfdb.schema import Base
from ztfdb.store import detection_rows
from ztfdb.store.detections import OURS
from ztfdb.store.row_checksums import rows_checksum

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
    """Append an image's sources, and return their number.

    Parameters
    ----------
    session : Session
    image_id : int
        Its range of ``source_id`` must be empty: see `ztfdb.store.detection_rows.delete_rows`.
    sources : SourceTable
        Their running numbers must be unique.

    Raises
    ------
    TooManySourcesError
        If there are more than 2^18, or a number is outside 0 … 2^18 - 1.
    StoreError
        If a source with one of the ids is stored already.
    """
    columns, nulls = _columns(image_id, sources)
    detection_rows.append_rows(session, OURS, columns, nulls)
    return len(sources)


def source_checksum(image_id: int, sources: SourceTable) -> int:
    """Return the checksum of the rows of `store_sources`; see `ztfdb.store.row_checksums.rows_checksum`."""
    columns, nulls = _columns(image_id, sources)
    return rows_checksum(_TABLE, columns, nulls)


def _columns(image_id: int, sources: SourceTable) -> tuple[Columns, dict[str, NDArray[np.bool_]]]:
    """Return the columns of an image's rows, and their masks of NULL; see `store_sources`."""
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


def _aperture_columns(sources: SourceTable) -> Columns:
    columns: Columns = {}
    for k in range(N_APERTURE):
        columns[f"flux_aper{k + 1}"] = sources.flux_aper[k]
        columns[f"flux_aper{k + 1}_err"] = sources.flux_aper_err[k]
    return columns
