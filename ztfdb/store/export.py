"""Read whole tables by sky cell for an export: counts, fingerprints and rows, the same on both engines.

A partition is a range of ``hpx29``; nothing here recomputes a cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, IntArray
from ztfdb.schema import Base, Config, Image, ImageFile, PsfCatalogue
from ztfdb.store.backends import backend
from ztfdb.store.columns import MISSING, NO_MASK, stand_ins, table_dtypes
from ztfdb.store.select import rows

CELL_SHIFT = 38
"""From order 29 to order 10, the finest partition: 2 bits per order."""

SLICE_SHIFT = 50
"""From order 29 to order 4 (13 square degrees): the area counted at a time, to keep results small."""

PART_DTYPES: dict[str, Any] = {"cell": "i8", "part": "i8", "n": "i8"}

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
    is_keyed : bool
        The index of positions contains the part, and rows are found by ``source_id``: a few of many parts can then be
        read without the others.
    """

    table: str
    part: str
    is_keyed: bool = False


SOURCES = Positions("source", "source.source_id >> 18", is_keyed=True)
PSF_SOURCES = Positions("psf_source", "psf_source.source_id >> 18")
FORCED = Positions("forced_source", "forced_source.image_id * 8 + forced_source.method")


def cell_counts(session: Session, where: Positions) -> Iterator[Columns]:
    """Yield the number of rows of each image in each order-10 cell (`PART_DTYPES`), a slice of the sky at a time.

    Parameters
    ----------
    session : Session
    where : Positions
    """
    statement = f"""
        select {where.table}.hpx29 >> {CELL_SHIFT} as cell, {where.part} as part, count(*) as n
        from {where.table} where {where.table}.hpx29 >= :lo and {where.table}.hpx29 < :hi
        group by 1, 2"""
    for lo, hi in _slices(session, where.table):
        yield backend(session).read_bulk(statement, {"lo": lo, "hi": hi}, PART_DTYPES)


def member_counts(session: Session, *, by_part: bool = False) -> Iterator[Columns]:
    """Yield the number of members of objects in each order-10 cell, ``n``, and two sums of ids, ``sum0`` and ``sum1``.

    One slice of the sky at a time. A cell is that of the member, not of its object. With `by_part` the members of each
    image, ``part``, are counted separately; otherwise ``part`` is 0.
    """
    sums = ", ".join(
        f"sum((o.object_id % {p}) * (source.source_id % {q})) as sum{k}" for k, (p, q) in enumerate(SUM_MODULI)
    )
    statement = f"""
        select source.hpx29 >> {CELL_SHIFT} as cell, {SOURCES.part if by_part else 0} as part, count(*) as n, {sums}
        from source join object_source as o on o.source_id = source.source_id
        where source.hpx29 >= :lo and source.hpx29 < :hi
        group by {"1, 2" if by_part else "1"}"""
    dtypes = {"cell": "i8", "part": "i8", "n": "i8", "sum0": "i8", "sum1": "i8"}
    for lo, hi in _slices(session, "source"):
        yield backend(session).read_bulk(statement, {"lo": lo, "hi": hi}, dtypes)


def _slices(session: Session, table: str) -> Iterator[tuple[int, int]]:
    """Yield the slices of the sky with rows, by skipping from one to the next."""
    backend(session).prefer_index_only()
    find = text(f"select min(hpx29) from {table} where hpx29 >= :lo")
    lo = 0
    while (found := session.scalar(find, {"lo": lo})) is not None:
        first = int(found) >> SLICE_SHIFT << SLICE_SHIFT
        lo = first + (1 << SLICE_SHIFT)
        yield first, lo


def object_cells(session: Session) -> Iterator[Columns]:
    """Yield ``object_id`` and the columns of objects other than members, in slices of ``object_id``, itself a cell."""
    statement = """
        select object_id, ra, dec, best_source_id, crowded, coalesce(ps1_id, -1) as ps1_id,
               coalesce(ps1_separation, -1.0) as ps1_separation
        from object where object_id >= :lo and object_id < :hi"""
    dtypes = {"object_id": "i8", "ra": "f8", "dec": "f8", "best_source_id": "i8", "crowded": "i8", "ps1_id": "i8",
              "ps1_separation": "f8"}  # fmt: skip
    find = text("select min(object_id) from object where object_id >= :lo")
    lo = 0
    while (found := session.scalar(find, {"lo": lo})) is not None:
        first = int(found) >> SLICE_SHIFT << SLICE_SHIFT
        lo = first + (1 << SLICE_SHIFT)
        yield backend(session).read_bulk(statement, {"lo": first, "hi": lo}, dtypes)


def rows_in_range(
    session: Session, where: Positions, lo: int, hi: int, *, only: IntArray | None = None, objects: bool = False
) -> Columns:
    """Return all columns of the rows of a table in one range of ``hpx29``, in no particular order.

    Parameters
    ----------
    session : Session
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
    table = where.table
    dtypes: dict[str, Any] = {name: dtype.str for name, dtype in table_dtypes(Base.metadata.tables[table]).items()}
    fields = ", ".join(f"{table}.{name}" for name in dtypes)
    origin, nulls = table, {"mask_bits": NO_MASK} if "mask_bits" in dtypes else {}
    if objects:
        fields += ", o.object_id"
        origin += f" left join object_source as o on o.source_id = {table}.source_id"
        dtypes["object_id"], nulls["object_id"] = "i8", MISSING
    inside, params = f"from {origin} where {table}.hpx29 >= :lo and {table}.hpx29 < :hi", {"lo": lo, "hi": hi}
    backend(session).prefer_index_only()
    if only is None:
        return backend(session).read_bulk(f"select {fields} {inside}", params, dtypes, nulls=nulls)
    if where.is_keyed:
        statement = f"select source_id, {where.part} as part from {table} where hpx29 >= :lo and hpx29 < :hi"
        ids = backend(session).read_bulk(statement, params, {"source_id": "i8", "part": "i8"})
        given, params = backend(session).range_rows(id=ids["source_id"][np.isin(ids["part"], only)])
        statement = f"select {fields} from {given} cross join {origin} where {table}.source_id = r.id"
        return backend(session).read_bulk(statement, params, dtypes, nulls=nulls)
    found = backend(session).read_bulk(
        f"select {fields}, {where.part} as part {inside}", params, dtypes | {"part": "i8"}, nulls=nulls
    )
    chosen = np.isin(found.pop("part"), only)
    return {name: values[chosen] for name, values in found.items()}


def members_in_ranges(session: Session, lo: IntArray, hi: IntArray, *, places: bool = False) -> Columns:
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
    given, params = backend(session).range_rows(lo=lo, hi=hi)
    fields = ", ".join(f"{'o' if name in ('object_id', 'counted') else 'source'}.{name}" for name in dtypes)
    statement = f"""
        select {fields} from {given} cross join source join object_source as o on o.source_id = source.source_id
        where source.hpx29 >= r.lo and source.hpx29 < r.hi"""
    backend(session).prefer_index_only()
    return backend(session).read_bulk(statement, params, dtypes, nulls={"mask_bits": NO_MASK})


def objects_by_id(session: Session, object_id: IntArray) -> tuple[Columns, Columns]:
    """Return the rows of ``object`` and of ``object_filter`` of some objects, ordered by their keys."""
    return rows(session, "object", ids=object_id), rows(session, "object_filter", ids=object_id)


NOT_EXPORTED = ("config_id", "row_checksum", "caveats", "facts_checksum")
"""Columns of ``image`` that are meaningless outside of this archive."""


def image_columns() -> dict[str, np.dtype[Any] | None]:
    """Return the columns of ``image`` except `NOT_EXPORTED`, with their dtypes; None for columns without numbers."""
    dtypes, names = table_dtypes("image"), Image.__table__.columns.keys()
    return {name: dtypes.get(name) for name in names if name not in NOT_EXPORTED}


def all_images(session: Session) -> Columns:
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
    return backend(session).read_columns(statement, {}, dtypes | texts, nulls=stand_ins(dtypes))


def content_prints(session: Session) -> dict[int, int]:
    """Return a number per image that changes whenever the content of its exported rows may change.

    It hashes the checksums of the image's files, its configuration and all columns of ``image``, and those of its PSF
    catalogue. The catalogue may be that of a reference that is not in the archive.
    """
    facts: dict[int, list[Any]] = {}
    hashes = {row[0]: row[1] for row in session.execute(select(Config.config_id, Config.config_hash))}
    for row in session.execute(select(Image.__table__).order_by(Image.image_id)):
        values = [value for name, value in row._mapping.items() if name not in NOT_EXPORTED]
        facts[row.image_id] = [hashes[row.config_id], *(_plain(value) for value in values)]
    files = select(ImageFile.image_id, ImageFile.role, ImageFile.sha256)
    for image_id, role, sha256 in session.execute(files.order_by(ImageFile.image_id, ImageFile.role)):
        facts[image_id] += [role, sha256]
    catalogues = select(PsfCatalogue.image_id, PsfCatalogue.sha256, PsfCatalogue.magzp, PsfCatalogue.infobits)
    for row in session.execute(catalogues.order_by(PsfCatalogue.image_id)):
        facts.setdefault(row.image_id, []).extend(("psfcat", row.sha256, _plain(row.magzp), row.infobits))
    return {image_id: _print(values) for image_id, values in facts.items()}


def _plain(value: Any) -> Any:
    """Return a value in the form of both engines: booleans are integers on SQLite."""
    return int(value) if isinstance(value, bool) else value


def _print(facts: list[Any]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest())


def member_totals(session: Session, object_id: IntArray) -> Columns:
    """Return ``object_id`` and ``n``, the number of members of each object that still exist, ordered by id.

    Objects follow the images only when they are updated: a member's image may have been removed since.
    """
    given, params = backend(session).range_rows(id=object_id)
    statement = f"""
        select o.object_id, count(*) as n from {given} cross join object_source as o
        join source on source.source_id = o.source_id
        where o.object_id = r.id group by o.object_id"""
    found = backend(session).read_bulk(statement, params, {"object_id": "i8", "n": "i8"})
    order = np.argsort(found["object_id"])
    return {name: values[order] for name, values in found.items()}


def has_rows(session: Session, table: str) -> bool:
    """Return whether a table has any row."""
    return session.scalar(text(f"select 1 from {table} limit 1")) is not None
