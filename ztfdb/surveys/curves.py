"""Light curves nested in a HATS catalogue, as IRSA publishes ZTF's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, FloatArray, IntArray
from ztfdb.errors import CatalogueFileError
from ztfdb.sky.match import match_all
from ztfdb.surveys.registered import RegisteredCatalogue

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH_FIELDS = ("hmjd", "mag", "magerr", "clrcoeff", "catflags")
"""Fields of the light curves of ZTF's data releases."""


@dataclass(frozen=True)
class Near:
    """Objects near positions, each pair once.

    Attributes
    ----------
    k : ndarray of int64, shape (n,)
        Index of the position.
    objectid : ndarray of int64, shape (n,)
    ra, dec : ndarray, shape (n,)
        Position of the object, deg.
    separation : ndarray, shape (n,)
        arcsec.
    group, row : ndarray of int64, shape (n,)
        Index of the object's row group in `groups`, and its row there.
    groups : list of (str, int)
        File and number of row groups.
    """

    k: IntArray
    objectid: IntArray
    ra: FloatArray
    dec: FloatArray
    separation: FloatArray
    group: IntArray
    row: IntArray
    groups: list[tuple[str, int]]

    def chosen(self, which: IntArray) -> Near:
        """Return some of the pairs."""
        names = ("k", "objectid", "ra", "dec", "separation", "group", "row")
        return Near(**{name: getattr(self, name)[which] for name in names}, groups=self.groups)


def objects_near(
    catalogue: RegisteredCatalogue, ra: FloatArray, dec: FloatArray, radius: float, lo: IntArray, hi: IntArray
) -> Near:
    """Find the objects within a radius of positions.

    Parameters
    ----------
    catalogue : RegisteredCatalogue
        Of kind ``irsa``.
    ra, dec : ndarray, shape (n,)
        deg.
    radius : float
        arcsec.
    lo, hi : ndarray of int64
        Ranges of order-29 cells that contain all of these cones; ascending, disjoint.
    """
    table, sources = catalogue.table, catalogue.plan.sources
    wanted = {sources["ra"]: "f", sources["dec"]: "f", sources["reference_id"]: "i"}
    groups: list[tuple[str, int]] = []
    parts: list[tuple[NDArray[Any], ...]] = []
    for path, number, block in table.pieces(lo, hi, wanted):
        of = np.full(len(block), len(groups))
        parts.append((of, block.line - 1, *(block.columns[name] for name in wanted)))
        groups.append((path, number))
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64))
    of, row, their_ra, their_dec, ids = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    pairs = match_all(ra, dec, np.mod(their_ra, 360.0), their_dec, radius)
    j = pairs.index2
    return Near(pairs.index1, ids[j], their_ra[j], their_dec[j], pairs.separation, of[j], row[j], groups)


def epochs_of(catalogue: RegisteredCatalogue, near: Near) -> tuple[IntArray, Columns]:
    """Read the light curves of objects.

    Returns
    -------
    pair : ndarray of int64, shape (n_epoch,)
        Index in `near` of each epoch.
    columns : dict of ndarray, shape (n_epoch,)
        `EPOCH_FIELDS`; NaN if missing, -1 in ``catflags``.

    Raises
    ------
    CatalogueFileError
        If the catalogue has no such light curves.
    """
    nested = nested_columns(catalogue)
    pairs: list[IntArray] = [np.empty(0, np.int64)]
    parts: dict[str, list[NDArray[Any]]] = {name: [np.empty(0)] for name in EPOCH_FIELDS}
    for place in np.unique(near.group).tolist():
        mine = np.flatnonzero(near.group == place)
        rows, at = np.unique(near.row[mine], return_inverse=True)
        path, number = near.groups[place]
        n_epoch, columns = _exploded(catalogue, catalogue.table.pick(path, number, nested, rows), path)
        start = np.cumsum(n_epoch) - n_epoch
        for pair, row in zip(mine.tolist(), at.tolist(), strict=True):
            pairs.append(np.full(n_epoch[row], pair))
            for name in EPOCH_FIELDS:
                parts[name].append(columns[name][start[row] : start[row] + n_epoch[row]])
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return np.concatenate(pairs), joined


def nested_columns(catalogue: RegisteredCatalogue) -> list[str]:
    """Return the columns of the light curves: one with all fields inside, or one list per field.

    Raises
    ------
    CatalogueFileError
        If there are none.
    """
    import pyarrow as pa

    schema = catalogue.table.schema
    if all(name in schema.names and pa.types.is_nested(schema.field(name).type) for name in EPOCH_FIELDS):
        return list(EPOCH_FIELDS)
    for field in schema:
        inner = field.type.value_type if _is_list(field.type) else field.type
        if pa.types.is_struct(inner) and {inner.field(k).name for k in range(inner.num_fields)} >= set(EPOCH_FIELDS):
            return [field.name]
    words = ", ".join(EPOCH_FIELDS)
    raise CatalogueFileError(catalogue.table.location, f"has no light curves: no nested column with {words}")


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _exploded(
    catalogue: RegisteredCatalogue, table: pa.Table, path: str
) -> tuple[IntArray, dict[str, NDArray[np.float64]]]:
    """Return the number of epochs of each row, and the concatenated fields of all epochs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns: dict[str, NDArray[np.float64]] = {}
    counts: IntArray | None = None
    for name in EPOCH_FIELDS:
        whole = table.column(0 if table.num_columns == 1 else table.column_names.index(name)).combine_chunks()
        if table.num_columns == 1 and pa.types.is_struct(whole.type):
            whole = pc.struct_field(whole, name)
        n_epoch = np.asarray(pc.list_value_length(whole).fill_null(0)).astype(np.int64)
        if counts is not None and not np.array_equal(counts, n_epoch):
            raise CatalogueFileError(f"{catalogue.table.location}/{path}", f"{name} has other lengths than the rest")
        counts = n_epoch
        values = pc.list_flatten(whole)
        if pa.types.is_struct(values.type):
            values = pc.struct_field(values, name)
        missing = -1 if name == "catflags" else np.nan
        columns[name] = np.asarray(values.cast(pa.float64()).fill_null(missing))
    assert counts is not None
    return counts, columns
