"""Read whole tables by sky cell for an export: counts, fingerprints and rows, the same on both engines.

A partition is a range of ``hpx29``; nothing here recomputes a cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ztfdb.arrays import Columns, IntArray
from ztfdb.ids import MAX_SOURCES, SOURCE_ID_SHIFT
from ztfdb.sky.cells import HPX_ORDER
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.backends.reads import Reads
from ztfdb.store.columns import MISSING, NO_MASK, shape, stand_ins, table_dtypes
from ztfdb.store.select import rows

N_CELL = 12 << 2 * HPX_ORDER
"""Cells of the sky."""

CELL_SHIFT = 38
"""From order 29 to order 10, the finest partition: 2 bits per order."""

SLICE_SHIFT = 44
"""From order 29 to order 7 (0.2 square degrees): the smallest area whose rows are read at a time, to be counted."""

SLICE_ROWS = 20_000
"""Largest number of rows of a larger area that is counted at once."""

PART_BITS = 50
"""Bits of a part in one integer with the cell inside of a smallest slice."""

ROWS_AT_ONCE = 50_000
"""Rows of a partition that are read at a time, image by image: 15 MB."""

SCANNED_PER_ROW = 24
"""Largest number of rows of the images for each row of a partition, if its images are read as a whole. On SQLite a row
then takes 2 µs, and 0.14 µs if it is passed over, but 5 to 7 µs if it is looked up by position."""

COUNTED_AT_ONCE = 1_000_000
"""Rows whose membership in objects is held at a time, about; a slice of a dense field with many epochs has more."""

LOOKED_UP_AT_ONCE = 200_000
"""Ids of sources whose objects are read at a time."""

SUM_MODULI = ((1_048_573, 65_521), (999_983, 65_519))
"""Primes. A sum of products of residues changes if a source moves to another object, and cannot overflow 64 bits."""


@dataclass(frozen=True)
class Positions:
    """A table whose rows have a position on the sky.

    Attributes
    ----------
    table : str
    part : str
        SQL expression of an integer for the origin of a row's content: an image, or a measurement of it.
    images : str or None
        Table with the ``n_source`` of each part if parts are images; their rows then lie side by side, and the index of
        positions contains ``source_id``.
    """

    table: str
    part: str
    images: str | None = None


SOURCES = Positions("source", "source.source_id >> 18", "image")
PSF_SOURCES = Positions("psf_source", "psf_source.source_id >> 18", "psf_catalogue")
FORCED = Positions("forced_source", "forced_source.image_id * 8 + forced_source.method")


def slices(session: AnySession, columns: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Divide the sky into slices with about as many rows each, as half-open ranges of cells.

    A slice consists of whole cells of order 7. If it has more than one, it has at most `SLICE_ROWS` rows of each table.

    Parameters
    ----------
    session : Session or Reading
    columns : mapping of str to str
        Tables and their columns of cells, each with an index.
    """
    on = reads(session).by_index()
    beyond = [
        f"select {column} from {table} where {column} >= :lo order by {column} limit 1 offset {SLICE_ROWS}"
        for table, column in columns.items()
    ]
    lo = 0
    while lo < N_CELL:
        firsts = [row[0] for statement in beyond for row in on.read_rows(statement, {"lo": lo})]
        hi = max(min(firsts, default=N_CELL) >> SLICE_SHIFT << SLICE_SHIFT, lo + (1 << SLICE_SHIFT))
        yield lo, hi
        lo = hi


def cell_counts(session: AnySession, where: Positions, lo: int, hi: int) -> Columns:
    """Return the number of rows of each image in each order-10 cell of a slice.

    Where they fit, both are read as one integer, which takes three quarters of the time of two.

    Parameters
    ----------
    session : Session or Reading
    where : Positions
    lo, hi : int
        From `slices`.

    Returns
    -------
    dict of ndarray
        ``cell``, ``part`` and the number of rows, ``n``.
    """
    inside = f"({where.table}.hpx29 - :lo) >> {CELL_SHIFT}"
    selected = {"cell": inside, "part": where.part}
    if packed := hi - lo <= 1 << SLICE_SHIFT:
        selected = {"both": f"(({inside}) << {PART_BITS}) | ({where.part})"}
    statement = f"""
        select {", ".join(f"{sql} as {name}" for name, sql in selected.items())}
        from {where.table} where {where.table}.hpx29 >= :lo and {where.table}.hpx29 < :hi"""
    found = reads(session).by_index().read_bulk(statement, {"lo": lo, "hi": hi}, dict.fromkeys(selected, "i8"))
    if packed:
        both = np.sort(found["both"])
        cell, part = both >> PART_BITS, both & ((1 << PART_BITS) - 1)
    else:
        order = np.lexsort((found["part"], found["cell"]))
        cell, part = found["cell"][order], found["part"][order]
    first = _first_of_each(cell, part)
    counts = np.diff(first, append=len(cell))
    return {"cell": (lo >> CELL_SHIFT) + cell[first], "part": part[first], "n": counts}


def _first_of_each(cell: IntArray, part: IntArray) -> IntArray:
    """Return where the pairs of sorted columns begin."""
    return np.flatnonzero((np.diff(cell, prepend=-1) != 0) | (np.diff(part, prepend=-1) != 0))


def member_counts(session: AnySession, lo: int, hi: int, n_row: int, *, by_part: bool = False) -> Columns:
    """Return the number of members of objects in each order-10 cell, ``n``, and two sums of ids, ``sum0`` and ``sum1``.

    `lo` and `hi` are a slice's, which has `n_row` rows. A cell is that of the member, not of its object. With `by_part`
    the members of each image, ``part``, are counted separately; otherwise ``part`` is 0.

    Objects are looked up in the order of ``source_id``: the members of an image lie side by side, and both engines find
    the next one near the last. In the order of cells, or to group them in SQL, takes twice as long.
    """
    n_cell = (hi - lo) >> CELL_SHIFT
    step = max(1, n_cell * COUNTED_AT_ONCE // max(n_row, COUNTED_AT_ONCE)) << CELL_SHIFT
    some = [_member_counts(session, start, min(start + step, hi), by_part) for start in range(lo, hi, step)]
    return {name: np.concatenate([one[name] for one in some]) for name in some[0]}


def _member_counts(session: AnySession, lo: int, hi: int, by_part: bool) -> Columns:
    keys = _keys(session, "source", "source.hpx29 >= :lo and source.hpx29 < :hi", {"lo": lo, "hi": hi}, None)
    order = np.argsort(keys["source_id"])
    source_id, cell = keys["source_id"][order], keys["hpx29"][order] >> CELL_SHIFT
    pieces = [
        rows(
            session, "object_source", {"source_id": "i8", "object_id": "i8"}, ids=source_id[at : at + LOOKED_UP_AT_ONCE]
        )
        for at in range(0, max(len(source_id), 1), LOOKED_UP_AT_ONCE)
    ]
    member, owner = (np.concatenate([one[name] for one in pieces]) for name in ("source_id", "object_id"))
    cell = cell[np.searchsorted(source_id, member)]
    part = member >> SOURCE_ID_SHIFT if by_part else np.zeros(len(member), np.int64)
    order = np.lexsort((part, cell))
    cell, part, member, owner = (values[order] for values in (cell, part, member, owner))
    first = _first_of_each(cell, part)
    sums = {
        f"sum{k}": np.add.reduceat((owner % p) * (member % q), first) if len(first) else np.empty(0, np.int64)
        for k, (p, q) in enumerate(SUM_MODULI)
    }
    return {"cell": cell[first], "part": part[first], "n": np.diff(first, append=len(cell)), **sums}


def objects_in_slice(session: AnySession, lo: int, hi: int) -> tuple[Columns, Columns]:
    """Return the rows of ``object`` and of ``object_filter`` of objects in a slice; ``object_id`` is itself a cell."""
    first, second = (
        rows(session, table, lo=np.array([lo]), hi=np.array([hi]), key="object_id", ordered=False)
        for table in ("object", "object_filter")
    )
    return first, second


def rows_in_range(
    session: AnySession, where: Positions, lo: int, hi: int, *, only: IntArray | None = None, objects: bool = False
) -> Columns:
    """Return all columns of the rows of a table in one range of ``hpx29``, in no particular order.

    Parameters
    ----------
    session : Session or Reading
    where : Positions
    lo, hi : int
        Half-open range.
    only : ndarray of int64, shape (n_part,), optional
        Rows of these parts only, by default all.
    objects : bool
        Add ``object_id``, `MISSING` for a source without an object.

    Returns
    -------
    dict of ndarray
        In the table's dtypes; NULL is NaN in floats and `NO_MASK` in ``mask_bits``.
    """
    wanted, params = _wanted(where, objects), {"lo": lo, "hi": hi}
    inside = f"{where.table}.hpx29 >= :lo and {where.table}.hpx29 < :hi"
    in_order = reads(session).cheap_scans
    if where.images is None or (only is None and not in_order):
        return wanted.read_parts(reads(session).in_table_order(), inside, params, only)
    on = reads(session).by_index()
    keys = _keys(session, where.table, inside, params, only)
    pieces = _in_images(session, where.images, keys["source_id"]) if in_order else None
    if pieces is not None:
        found = []
        for first in pieces:
            given, ranges = reads(session).range_rows(lo=first, hi=first + (MAX_SOURCES - 1))
            of_image = f"{where.table}.source_id >= r.lo and {where.table}.source_id <= r.hi"
            found.append(wanted.read(on, f"{of_image} and {inside}", params | ranges, given))
        return {name: np.concatenate([one[name] for one in found]) for name in wanted.dtypes}
    if only is None:
        return wanted.read(on, inside, params)
    given, values = reads(session).range_rows(**keys)
    key = " and ".join(f"{where.table}.{name} = r.{name}" for name in keys)  # `psf_source` of PostgreSQL needs both
    return wanted.read(on, key, values, given)


@dataclass(frozen=True)
class _Wanted:
    """All columns of the rows of a table.

    Attributes
    ----------
    where : Positions
    joins : str
        What follows the table in FROM.
    fields : str
    dtypes, nulls : dict
        See `ztfdb.store.backends.reads.Reads.read_bulk`.
    """

    where: Positions
    joins: str
    fields: str
    dtypes: dict[str, Any]
    nulls: dict[str, int]

    def read(self, on: Reads, condition: str, params: dict[str, Any], given: str = "") -> Columns:
        """Return the rows that fulfil a condition; `given` is the FROM item of rows that it refers to."""
        origin = f"{given} cross join {self.where.table}" if given else self.where.table
        statement = f"select {self.fields} from {origin}{self.joins} where {condition}"
        return on.read_bulk(statement, params, self.dtypes, nulls=self.nulls)

    def read_parts(self, on: Reads, condition: str, params: dict[str, Any], only: IntArray | None) -> Columns:
        """Return the rows that fulfil a condition, of all parts or some."""
        if only is None:
            return self.read(on, condition, params)
        more = replace(self, fields=f"{self.fields}, {self.where.part} as part", dtypes=self.dtypes | {"part": "i8"})
        found = more.read(on, condition, params)
        chosen = np.isin(found.pop("part"), only)
        return {name: values[chosen] for name, values in found.items()}


def _wanted(where: Positions, objects: bool) -> _Wanted:
    table = where.table
    dtypes: dict[str, Any] = {name: dtype.str for name, dtype in table_dtypes(table).items()}
    fields = ", ".join(f"{table}.{name}" for name in dtypes)
    nulls = {"mask_bits": NO_MASK} if "mask_bits" in dtypes else {}
    if not objects:
        return _Wanted(where, "", fields, dtypes, nulls)
    joins = f" left join object_source as o on o.source_id = {table}.source_id"
    return _Wanted(where, joins, f"{fields}, o.object_id", dtypes | {"object_id": "i8"}, nulls | {"object_id": MISSING})


def _keys(session: AnySession, table: str, inside: str, params: dict[str, Any], only: IntArray | None) -> Columns:
    """Return ``source_id`` and ``hpx29`` of the rows in a range, from the index of positions."""
    dtypes = {"source_id": "i8", "hpx29": "i8"}
    keys = reads(session).by_index().read_bulk(f"select source_id, hpx29 from {table} where {inside}", params, dtypes)
    if only is None:
        return keys
    chosen = np.isin(keys["source_id"] >> SOURCE_ID_SHIFT, only)
    return {name: values[chosen] for name, values in keys.items()}


def _in_images(session: AnySession, images: str, source_id: IntArray) -> list[IntArray] | None:
    """Return the first ``source_id`` of each image of some rows, in pieces with up to `ROWS_AT_ONCE` of the rows.

    None if too many other rows of these images would be passed over.
    """
    image_id = np.sort(source_id >> SOURCE_ID_SHIFT)
    first = np.flatnonzero(np.diff(image_id, prepend=-1))
    n_row, image_id = np.diff(first, append=len(image_id)), image_id[first]
    n_source = rows(session, images, {"n_source": "i8"}, ids=image_id)["n_source"]
    if n_source.sum() > SCANNED_PER_ROW * n_row.sum():
        return None
    piece = np.cumsum(n_row) // ROWS_AT_ONCE
    return np.split(image_id << SOURCE_ID_SHIFT, np.flatnonzero(np.diff(piece)) + 1)


def members_in_ranges(session: AnySession, lo: IntArray, hi: IntArray, *, places: bool = False) -> Columns:
    """Return the detections inside ranges of ``hpx29`` that belong to objects, from indexes alone, in no order.

    `places` adds their ``x`` and ``y``, pixels, which are in no index.

    Returns
    -------
    dict of ndarray
        ``object_id``, ``hpx29`` and the columns of a light curve; ``mask_bits`` is `NO_MASK` where NULL.
    """
    dtypes: dict[str, Any] = {
        "object_id": "i8", "hpx29": "i8", "source_id": "i8", "ra": "f8", "dec": "f8", "flux_aper4": "f4",
        "flux_aper4_err": "f4", "flags": "i4", "mask_bits": "i4", "counted": "i4",
    }  # fmt: skip
    if places:
        dtypes |= {"x": "f8", "y": "f8"}
    given, params = reads(session).range_rows(lo=lo, hi=hi)
    fields = ", ".join(f"{'o' if name in ('object_id', 'counted') else 'source'}.{name}" for name in dtypes)
    statement = f"""
        select {fields} from {given} cross join source join object_source as o on o.source_id = source.source_id
        where source.hpx29 >= r.lo and source.hpx29 < r.hi"""
    return reads(session).by_index().read_bulk(statement, params, dtypes, nulls={"mask_bits": NO_MASK})


def objects_by_id(session: AnySession, object_id: IntArray) -> tuple[Columns, Columns]:
    """Return the rows of ``object`` and of ``object_filter`` of some objects, ordered by their keys."""
    return rows(session, "object", ids=object_id), rows(session, "object_filter", ids=object_id)


NOT_EXPORTED = ("config_id", "row_checksum", "caveats", "facts_checksum")
"""Columns of ``image`` that are meaningless outside of this archive."""


def image_columns() -> dict[str, np.dtype[Any] | None]:
    """Return the columns of ``image`` except `NOT_EXPORTED`, with their dtypes; None for columns without numbers."""
    dtypes = table_dtypes("image")
    return {name: dtypes.get(name) for name in shape("image").types if name not in NOT_EXPORTED}


def all_images(session: AnySession) -> Columns:
    """Return all columns of all images except `NOT_EXPORTED`, with configuration and file, by ``image_id``.

    Returns
    -------
    dict of ndarray
        In the table's dtypes, then ``config_hash``, ``data_root``, ``path`` and ``sha256``. Texts are object arrays,
        booleans too; NULL is NaN in floats, None in objects, `MISSING` or `MISSING_INT16` in integers.
    """
    dtypes: dict[str, Any] = {name: "O" if dtype is None else dtype.str for name, dtype in image_columns().items()}
    fields = ", ".join(f"image.{name}" for name in dtypes)
    statement = f"""
        select {fields}, config.config_hash, data_root.name, image_file.path, image_file.sha256
        from image
        join config on config.config_id = image.config_id
        left join image_file on image_file.image_id = image.image_id and image_file.role in ('sci', 'ref')
        left join data_root on data_root.data_root_id = image_file.data_root_id
        order by image.image_id"""
    texts = dict.fromkeys(("config_hash", "data_root", "path", "sha256"), "O")
    return reads(session).read_columns(statement, {}, dtypes | texts, nulls=stand_ins(dtypes))


def content_prints(session: AnySession) -> dict[int, int]:
    """Return a number per image that changes whenever the content of its exported rows may change.

    It hashes the checksums of the image's files, its configuration and all columns of ``image``, and those of its PSF
    catalogue. The catalogue may be that of a reference that is not in the archive.
    """
    facts: dict[int, list[Any]] = {}
    on, names = reads(session), list(image_columns())
    columns = ", ".join(f"image.{name}" for name in names)
    images = f"""
        select image.image_id, config.config_hash, {columns} from image
        join config on config.config_id = image.config_id order by image.image_id"""
    for image_id, *values in on.read_rows(images):
        facts[image_id] = [_plain(value) for value in values]
    files = "select image_id, role, sha256 from image_file order by image_id, role"
    for image_id, role, sha256 in on.read_rows(files):
        facts[image_id] += [role, sha256]
    catalogues = "select image_id, sha256, magzp, infobits from psf_catalogue order by image_id"
    for image_id, sha256, magzp, infobits in on.read_rows(catalogues):
        facts.setdefault(image_id, []).extend(("psfcat", sha256, magzp, infobits))
    return {image_id: fact_print(values) for image_id, values in facts.items()}


def stamp(session: AnySession, prints: Mapping[int, int]) -> str:
    """Return a text that changes whenever exported rows of images and objects may have changed, from small tables.

    Objects are a function of the images that are in them. Forced measurements are not part of it.

    Parameters
    ----------
    session : Session or Reading
    prints : mapping of int to int
        From `content_prints`.
    """
    tables = {"image": "image_id, row_checksum", "object_image": "image_id, fingerprint", "object_state": "key, value"}
    found = [
        [tuple(row) for row in reads(session).read_rows(f"select {names} from {table} order by 1")]
        for table, names in tables.items()
    ]
    return hashlib.blake2b(repr([sorted(prints.items()), *found]).encode(), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value in the form of both engines: booleans are integers on SQLite."""
    return int(value) if isinstance(value, bool) else value


def fact_print(facts: list[Any]) -> int:
    """Return 64 bits that change with some facts."""
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest())


def member_totals(session: AnySession, object_id: IntArray) -> Columns:
    """Return ``object_id`` and ``n``, the number of members of each object that still exist, ordered by id.

    Objects follow the images only when they are updated: a member's image may have been removed since.
    """
    given, params = reads(session).range_rows(id=object_id)
    statement = f"""
        select o.object_id, count(*) as n from {given} cross join object_source as o
        join source on source.source_id = o.source_id
        where o.object_id = r.id group by o.object_id"""
    found = reads(session).by_index().read_bulk(statement, params, {"object_id": "i8", "n": "i8"})
    order = np.argsort(found["object_id"])
    return {name: values[order] for name, values in found.items()}


def has_rows(session: AnySession, table: str) -> bool:
    """Return whether a table has any row."""
    return bool(reads(session).read_rows(f"select 1 from {table} limit 1"))
