"""Objects with the light curve of each nested in its row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ztfdb.arrays import Columns, IntArray
from ztfdb.bits import APERTURE_BROKEN
from ztfdb.codes import FILTERS
from ztfdb.errors import StoreError
from ztfdb.hats.contents import NOTHING, Contents, counted, merged, mix
from ztfdb.hats.context import Context, aperture_photometry, quality
from ztfdb.hats.fields import HEALPIX_COLUMN, arrow_array, arrow_type, field, take
from ztfdb.hats.products import Product
from ztfdb.hats.rounding import NOTES, rounded
from ztfdb.hats.tiling import GAP, Pixel, cells_around
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.sky.angles import ARCSEC_PER_RADIAN
from ztfdb.sky.cells import HPX_ORDER, sky_to_cell
from ztfdb.store import export as store
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import MISSING, MISSING_INT32, table_dtypes

REACH_ORDER = 14
"""Order of the cells around a partition that are searched for members of its objects: at least 8.2 arcsec."""

REACH = GAP / (1 << REACH_ORDER) * ARCSEC_PER_RADIAN

EPOCH_FIELDS = {
    "source_id": "i8", "mjd": "f8", "fid": "i2", "mag": "f4", "magerr": "f4", "flux_ujy": "f4", "flux_ujy_err": "f4",
    "catflags": "i4", "good": "b1", "counted": "b1",
}  # fmt: skip
"""An epoch of a nested light curve."""

UNKNOWN_CATFLAGS = -1
"""Value for NULL: nested-pandas turns integers of a list with NULLs into doubles when it makes a frame of a row."""


class Objects(Product):
    """Every object with stored detections; all its members, clean or not, are its nested ``lightcurve``."""

    name = "objects"
    description = "Detections joined to objects, with the light curve of each"
    kind = "object"
    id_column = "object_id"
    order = (HEALPIX_COLUMN, "object_id")
    default = (HEALPIX_COLUMN, "object_id", "ra", "dec", "nepochs", "lightcurve")

    def schema(self) -> pa.Schema:
        """Return the columns of ``object``, those of ``object_filter`` for each filter, and the light curve."""
        own, by_filter = _dtypes("object"), _statistics()
        fields = [field("source", "hpx29", pa.int64(), name=HEALPIX_COLUMN)]
        fields += [field("object", name, arrow_type(dtype)) for name, dtype in own.items()]
        fields.append(
            pa.field("nepochs", pa.int32(), metadata={"description": "Epochs in lightcurve", "ucd": "meta.number"})
        )
        for code in FILTERS.values():
            fields += [
                field("object_filter", name, arrow_type(dtype), name=f"{code}_{name}")
                for name, dtype in by_filter.items()
            ]
        fields.append(pa.field("lightcurve", pa.struct([pa.field(one.name, pa.list_(one)) for one in _epoch_fields()])))
        return pa.schema(fields)

    def slices(self, session: AnySession) -> Iterable[tuple[int, int]]:
        """Divide the sky by the number of objects."""
        return store.slices(session, {"object": "object_id"})

    def count(self, session: AnySession, context: Context, lo: int, hi: int, known: IntArray | None = None) -> Contents:
        """Return the digests of the rows about objects."""
        return merged(map(_contents_of, store.objects_in_slice(session, lo, hi)))

    def whole(self, contents: Contents, detections: Callable[[], Contents]) -> Contents:
        """Return the cells with members; the digest also includes all their detections, and the neighbouring cells."""
        rows = detections()
        members = replace(rows, weight=rows.n_member, new_weight=rows.n_member, parts=NOTHING.parts)
        found = merged([members, contents]).with_surroundings()
        return found.where(found.weight > 0)

    def rows(self, session: AnySession, context: Context, pixel: Pixel, only: IntArray | None = None) -> pa.Table:
        """Return the objects whose position lies in a partition; members may lie across its edge."""
        members = store.members_in_ranges(session, *_ranges_with_edge(pixel), places=context.has_surface)
        found, statistics = store.objects_by_id(session, np.unique(members["object_id"]))
        found[HEALPIX_COLUMN] = _cells_of(members, found)
        inside = (found[HEALPIX_COLUMN] >= pixel.lo) & (found[HEALPIX_COLUMN] < pixel.hi)
        found = take(found, np.flatnonzero(inside))
        found = take(found, np.lexsort((found["object_id"], found[HEALPIX_COLUMN])))
        members = _of_objects(session, members, found["object_id"])
        return self._table(context, found, statistics, members)

    def _table(self, context: Context, found: Columns, statistics: Columns, members: Columns) -> pa.Table:
        schema, n = self.schema(), len(found["object_id"])
        epochs = _epochs(context, members)
        counts = np.bincount(epochs.pop("place"), minlength=n)
        found["nepochs"] = counts.astype(np.int32)
        found |= _by_filter(statistics, found["object_id"])
        nulls = {"ps1_id": MISSING} | {f"{code}_n": 0 for code in FILTERS.values()}
        arrays = [arrow_array(found[one.name], one, nulls.get(one.name)) for one in schema if one.name != "lightcurve"]
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
        inner = _epoch_fields()
        lists = [pa.ListArray.from_arrays(offsets, arrow_array(epochs[one.name], one), pa.list_(one)) for one in inner]
        arrays.append(pa.StructArray.from_arrays(lists, fields=list(schema.field("lightcurve").type)))
        return pa.Table.from_arrays(arrays, schema=schema)


def _contents_of(found: Columns) -> Contents:
    """Return the digests of rows about objects: `ztfdb objects update` changes them without any image or member."""
    bits = [values.view(np.int64) if values.dtype.kind == "f" else values for values in found.values()]
    cell = found["object_id"] >> store.CELL_SHIFT
    return counted(cell, np.zeros_like(cell), mix(*bits))


def _dtypes(table: str) -> dict[str, np.dtype[np.generic]]:
    return dict(table_dtypes(table))


def _statistics() -> dict[str, np.dtype[np.generic]]:
    return {name: dtype for name, dtype in _dtypes("object_filter").items() if name not in ("object_id", "fid")}


def _epoch_fields() -> list[pa.Field]:
    return [field("light_curve", name, arrow_type(dtype), note=NOTES.get(name)) for name, dtype in EPOCH_FIELDS.items()]


def _ranges_with_edge(pixel: Pixel) -> tuple[IntArray, IntArray]:
    """Return the ranges of ``hpx29`` of a partition and of the cells around it."""
    edge = cells_around(pixel, REACH_ORDER)
    shift = 2 * (HPX_ORDER - REACH_ORDER)
    first = np.flatnonzero(np.diff(edge, prepend=-2) != 1)
    last = np.append(first[1:], len(edge)) - 1
    lo, hi = edge[first] << shift, (edge[last] + 1) << shift
    return np.concatenate([[pixel.lo], lo]), np.concatenate([[pixel.hi], hi])


def _cells_of(members: Columns, objects: Columns) -> IntArray:
    """Return the stored cell of each object's position, that of its best detection.

    If the best detection was removed since the last update, the cell is computed from the object's position.
    """
    order = np.argsort(members["source_id"])
    ids, best = members["source_id"][order], objects["best_source_id"]
    at = np.minimum(np.searchsorted(ids, best), max(0, len(ids) - 1))
    cell: IntArray = members["hpx29"][order][at] if len(ids) else np.empty(0, np.int64)
    gone = ids[at] != best if len(ids) else np.empty(0, bool)
    cell[gone] = sky_to_cell(objects["ra"][gone], objects["dec"][gone])
    return cell


def _of_objects(session: AnySession, members: Columns, object_id: IntArray) -> Columns:
    """Return all members of objects with the index (``place``) of their object.

    Raises
    ------
    StoreError
        If a member lies outside the cells that were read around its partition.
    """
    order = np.argsort(object_id)
    ids = object_id[order]
    at = np.minimum(np.searchsorted(ids, members["object_id"]), max(0, len(ids) - 1))
    mine = np.flatnonzero(ids[at] == members["object_id"]) if len(ids) else np.empty(0, np.int64)
    found = take(members, mine) | {"place": order[at[mine]] if len(ids) else mine}
    totals = store.member_totals(session, ids)
    counts = np.bincount(found["place"], minlength=len(ids))[order]
    if not np.array_equal(counts, totals["n"]):
        far = ids[counts != totals["n"]][:1]
        raise StoreError(f"object {far[0]} has members farther than {REACH:.1f} arcsec from its partition")
    return found


def _epochs(context: Context, members: Columns) -> Columns:
    """Return the epochs of nested light curves, by object, time and id, with the index (``place``) of their object."""
    at = context.places(members["source_id"] >> SOURCE_ID_SHIFT)
    members["mjd"] = context.images["obsmjd"][at]
    order = np.lexsort((members["source_id"], members["mjd"], members["place"]))
    members, at = take(members, order), at[order]
    columns: Columns = {name: members[name] for name in ("place", "source_id", "mjd")}
    columns["fid"] = context.images["fid"][at]
    columns["counted"] = members["counted"] != 0
    columns |= rounded(aperture_photometry(context, at, members))
    columns |= quality(context, at, members["mask_bits"], members["flags"] & int(APERTURE_BROKEN) != 0)
    columns["catflags"] = np.where(columns["catflags"] == MISSING_INT32, UNKNOWN_CATFLAGS, columns["catflags"])
    return columns


def _by_filter(statistics: Columns, object_id: IntArray) -> Columns:
    """Return the statistics of all filters as separate columns; ``n`` is 0 for filters without detections."""
    columns: Columns = {}
    for fid, code in FILTERS.items():
        rows = take(statistics, np.flatnonzero(statistics["fid"] == fid))
        at = np.minimum(np.searchsorted(rows["object_id"], object_id), max(0, len(rows["object_id"]) - 1))
        known = rows["object_id"][at] == object_id if len(rows["object_id"]) else np.zeros(len(object_id), bool)
        for name in _statistics():
            empty = 0 if rows[name].dtype.kind == "i" else np.nan
            values = rows[name][at] if len(rows[name]) else np.zeros(len(object_id), rows[name].dtype)
            columns[f"{code}_{name}"] = np.where(known, values, np.asarray(empty, rows[name].dtype))
    return columns
