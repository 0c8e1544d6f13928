"""Read a HATS catalogue in place: only the row groups that may contain rows of some ranges of cells.

Only the positions are relied on. A file may be sorted or not, its spatial index may have another name and order or be
missing, and libraries place about one position in a million into a neighbouring cell. Therefore the partitions and the
statistics of the index only select what is read, with a border around it; cells computed by `ztfdb.surveys.rowgroups`
decide which rows lie in the ranges.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.errors import CatalogueFileError
from ztfdb.sky.cells import HPX_ORDER, cell_area
from ztfdb.surveys.blocks import Block, numbers
from ztfdb.surveys.files import Folder
from ztfdb.surveys.properties import parse_properties
from ztfdb.surveys.rowgroups import Cap, Group, arrow_values, cap_around, overlap, statistics, with_border

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

CACHE_BYTES = 256 * 1024 * 1024
"""Cache size of decoded columns: images of the same field need the same row groups."""

FOOTERS = 2_000
"""Number of cached footers."""

BATCH = 1_000
"""Rows with nested columns per decoded batch."""

READERS = 8
"""Footers read concurrently if all of a catalogue's are needed."""

COUNT_DIGITS = 18
"""Most digits of a count."""

Value = TypeVar("Value")

NO_TABLES = {
    "index": "without rows of positions",
    "map": "without rows of positions",
    "association": "without rows of positions",
    "margin": "only the rows beside partitions: name the catalogue that it belongs to",
}
"""Kinds of catalogues that are no tables of positions."""

SCHEMA_FILES = ("dataset/_common_metadata", "dataset/_metadata", "_common_metadata", "_metadata")


@dataclass(frozen=True)
class Footer:
    """The footer of a file.

    Attributes
    ----------
    metadata : FileMetaData
    lo, hi : ndarray of int64, shape (n_group,)
        First and last cell of order 29 that each row group may contain.
    """

    metadata: parquet.FileMetaData
    lo: IntArray
    hi: IntArray


class HatsTable:
    """A HATS catalogue, or the primary table of a collection.

    Parameters
    ----------
    location : str
        Folder or URL of the catalogue or of the collection.
    ra, dec : str, optional
        Columns of the positions, deg; by default those in the properties.

    Attributes
    ----------
    properties : dict of str
    schema : pyarrow.Schema
    lo, hi : ndarray of int64, shape (n_partition,)
        Half-open ranges of order-29 cells of the partitions, ascending.
    index : (str, int) or None
        Column of cells, the spatial index, and their order; None if there is none.

    Raises
    ------
    CatalogueFileError
        If there is no HATS catalogue, or its metadata are invalid.
    """

    def __init__(self, location: str, *, ra: str | None = None, dec: str | None = None) -> None:
        self.location = location
        self._top = Folder(location)
        self._folder, self.properties, self._texts = self._find()
        self._stamp = self._changed()
        self._order, self._npix, self.lo, self.hi = self._partitions()
        self.schema = self._read_schema()
        self.ra = ra or self.properties.get("hats_col_ra", "ra")
        self.dec = dec or self.properties.get("hats_col_dec", "dec")
        for name in (self.ra, self.dec):
            if name not in self.schema.names:
                raise self._wrong(f"has no column {name}; there are: {', '.join(self.schema.names)}")
        self.index = self._spatial_index()
        self._footers: OrderedDict[str, Footer] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int], Group] = OrderedDict()
        self._held = 0
        self._lock = threading.RLock()

    @property
    def names(self) -> list[str]:
        """Names of the columns that are not lists or structures."""
        import pyarrow as pa

        return [one.name for one in self.schema if not pa.types.is_nested(one.type)]

    @property
    def area(self) -> float:
        """Area of the partitions, deg²."""
        return float(np.sum(cell_area(self._order)))

    @property
    def digest(self) -> str:
        """Digest that changes with the properties, the partitions and, in a local folder, with the files of rows."""
        return hashlib.sha256("\0".join([*self._texts, *self._folder.stats("dataset")]).encode()).hexdigest()

    def is_stale(self) -> bool:
        """Return whether the properties or the list of partitions have changed since they were read."""
        try:
            return bool(self._changed() != self._stamp)
        except OSError:
            return True

    def _changed(self) -> Any:
        return self._top.changed(), self._folder.changed()

    def n_row(self) -> int:
        """Return the number of rows; from the footers if the properties do not have it."""
        known = count_of(self.properties.get("hats_nrows"))
        if known is not None:
            return known
        return sum(self._of_files(lambda path, k: int(self.footer(path, k).metadata.num_rows)))

    def blocks(self, lo: IntArray, hi: IntArray, wanted: Mapping[str, str]) -> Iterator[Block]:
        """Yield the rows whose positions lie in ranges of cells, in the order of the files.

        Parameters
        ----------
        lo, hi : ndarray of int64, shape (n_range,)
            Half-open disjoint ranges of order-29 cells, ascending.
        wanted : mapping of str to str
            Columns to read with their kinds, see `ztfdb.surveys.blocks.Wanted`.
        """
        for _, _, block in self.pieces(lo, hi, wanted):
            yield block

    def pieces(self, lo: IntArray, hi: IntArray, wanted: Mapping[str, str]) -> Iterator[tuple[str, int, Block]]:
        """Yield the same with the file and row group of each block; ``line`` is the row's number in the group."""
        cap = cap_around(lo, hi) if len(lo) else None
        for path, number in self._touched(lo, hi):
            block = self._block(path, number, lo, hi, cap, wanted)
            if len(block):
                yield path, number, block

    def _touched(self, lo: IntArray, hi: IntArray) -> Iterator[tuple[str, int]]:
        """Yield the row groups that may contain rows of ranges: the file and the number in it."""
        if not len(lo):
            return
        lo, hi = with_border(lo, hi)
        for k in np.flatnonzero(overlap(self.lo, self.hi - 1, lo, hi)).tolist():
            for path in self._files(k):
                footer = self.footer(path, k)
                for number in np.flatnonzero(overlap(footer.lo, footer.hi, lo, hi)).tolist():
                    yield path, number

    def touches(self, lo: IntArray, hi: IntArray) -> BoolArray:
        """Return which ranges of cells touch a partition."""
        return overlap(lo, hi - 1, self.lo, self.hi) if len(self.lo) else np.zeros(len(lo), bool)

    def read(self, path: str, number: int, columns: Sequence[str]) -> pa.Table:
        """Read columns of a row group, of any type."""
        with self._lock:
            footer = self._footers.get(path)
        with self._folder.open(path, None if footer is None else footer.metadata) as file:
            return self._whole(file.read_row_group(number, columns=list(columns)), path, columns)

    def pick(self, path: str, number: int, columns: Sequence[str], rows: IntArray) -> pa.Table:
        """Read columns of some rows (ascending) of a row group in batches, because nested columns make rows long."""
        import pyarrow as pa

        with self._lock:
            footer = self._footers.get(path)
        found, start = [], 0
        with self._folder.open(path, None if footer is None else footer.metadata) as file:
            for batch in file.iter_batches(BATCH, row_groups=[number], columns=list(columns)):
                first, last = np.searchsorted(rows, [start, start + batch.num_rows])
                if first < last:
                    table = self._whole(pa.Table.from_batches([batch]), path, columns)
                    found.append(table.take(pa.array(rows[first:last] - start)))
                start += batch.num_rows
                if start > rows[-1]:
                    break
        return pa.concat_tables(found)

    def _whole(self, table: pa.Table, path: str, columns: Sequence[str]) -> pa.Table:
        """Return a table, which lacks the columns that its file does not have."""
        lacking = [name for name in columns if name not in table.column_names]
        if lacking:
            raise CatalogueFileError(
                f"{self._folder.location}/{path}",
                f"has no column {', '.join(lacking)}, which is in the schema of the catalogue",
            )
        return table

    def footer(self, path: str, partition: int) -> Footer:
        """Return the footer of a file of a partition, from the cache if possible."""
        with self._lock:
            if path in self._footers:
                self._footers.move_to_end(path)
                return self._footers[path]
        with self._folder.open(path) as file:
            metadata = file.metadata
        found = Footer(metadata, *self._ranges_of_groups(metadata, partition))
        with self._lock:
            self._footers[path] = found
            while len(self._footers) > FOOTERS:
                self._footers.popitem(last=False)
        return found

    def _of_files(self, function: Callable[[str, int], Value]) -> Iterator[Value]:
        """Yield a function of each file and the number of its partition."""
        with ThreadPoolExecutor(READERS, thread_name_prefix="hats-footers") as pool:
            for found in pool.map(lambda k: [function(path, k) for path in self._files(k)], range(len(self.lo))):
                yield from found

    def extremes(self, names: Sequence[str]) -> list[tuple[float, float]]:
        """Return a lower and an upper bound of each of some numeric columns; NaN if it has no values."""
        bounds = np.array([*self._of_files(lambda path, k: self._bounds(path, k, names))])
        if not len(bounds):
            return [(np.nan, np.nan)] * len(names)
        low, high = np.fmin.reduce(bounds[..., 0]), np.fmax.reduce(bounds[..., 1])
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def _bounds(self, path: str, partition: int, names: Sequence[str]) -> FloatArray:
        """Return the bounds of columns in a file, shape (n_name, 2): from statistics, else by reading."""
        metadata, found = self.footer(path, partition).metadata, np.full((len(names), 2), np.nan)
        for name, bounds in zip(names, found, strict=True):
            for number, known in enumerate(statistics(metadata, name)):
                of_numbers = known is not None and all(isinstance(one, int | float) for one in known)
                low, high = known if known is not None and of_numbers else self._read_extremes(path, number, name)
                bounds[:] = np.fmin(bounds[0], low), np.fmax(bounds[1], high)
        return found

    def _read_extremes(self, path: str, number: int, name: str) -> tuple[float, float]:
        values = numbers(*arrow_values(self.read(path, number, [name])[name]))
        values = values[np.isfinite(values)]
        return (float(values.min()), float(values.max())) if len(values) else (np.nan, np.nan)

    # What a catalogue says of itself --------------------------------------------------------------------------------

    def _find(self) -> tuple[Folder, dict[str, str], list[str]]:
        """Return the folder of the table, its properties, and the texts that determine its digest."""
        folder, texts = self._top, []
        collection = self._top.text("collection.properties")
        if collection is not None:
            texts.append(collection)
            primary = parse_properties(collection).get("hats_primary_table_url")
            if not primary:
                raise self._wrong("its collection.properties name no hats_primary_table_url")
            folder = self._top.below(primary)
        text = folder.text("hats.properties") or folder.text("properties")
        if text is None:
            raise self._no_catalogue(folder)
        found = parse_properties(text)
        kind = found.get("dataproduct_type", "object")
        if kind in NO_TABLES:
            raise self._wrong(f"is a HATS catalogue of dataproduct_type {kind}, {NO_TABLES[kind]}")
        return folder, found, [*texts, text]

    def _no_catalogue(self, folder: Folder) -> CatalogueFileError:
        if folder.denied:
            return CatalogueFileError(
                folder.location, f"is no HATS catalogue, or reading it is denied: {folder.denied}"
            )
        if folder.text("catalog_info.json") is not None:
            return self._wrong("is a HiPSCat catalogue, the format before HATS: import its rows with hats-import")
        return self._wrong("is no HATS catalogue: it has neither hats.properties nor collection.properties")

    def _partitions(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        text = self._folder.text("partition_info.csv")
        pixels = self._listed() if text is None else self._of_csv(text)
        self._texts.append(repr(pixels))
        if any(not 0 <= order <= HPX_ORDER or not 0 <= npix < 12 << 2 * order for order, npix in pixels):
            raise self._wrong("its partitions are no HEALPix pixels")
        order, npix = np.array(list(dict.fromkeys(pixels)), np.int64).reshape(-1, 2).T
        shift = 2 * (HPX_ORDER - order)
        by = np.argsort(npix << shift, kind="stable")
        order, npix, shift = order[by], npix[by], shift[by]
        lo, hi = npix << shift, (npix + 1) << shift
        (twice,) = np.nonzero(lo[1:] < hi[:-1])
        if len(twice):
            first, second = ((int(order[k]), int(npix[k])) for k in (twice[0], twice[0] + 1))
            raise self._wrong(f"its partitions (Norder, Npix) {first} and {second} overlap")
        return order, npix, lo, hi

    def _of_csv(self, text: str) -> list[tuple[int, int]]:
        lines = [line.split(",") for line in text.split()]
        try:
            order, npix = lines[0].index("Norder"), lines[0].index("Npix")
            return [(int(line[order]), int(line[npix])) for line in lines[1:]]
        except (ValueError, IndexError) as exc:
            raise self._wrong(f"its partition_info.csv has no numbers Norder and Npix: {exc}") from exc

    def _listed(self) -> list[tuple[int, int]]:
        """Return the pixels with files."""
        found, suffix = set(), self._suffix
        for path in self._folder.names("dataset", "" if suffix == "/" else suffix):
            words = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
            npix = words.get("Npix", "").partition(".")[0]
            if words.get("Norder", "").isdecimal() and npix.isdecimal():
                found.add((int(words["Norder"]), int(npix)))
        if not found:
            raise self._wrong("has neither partition_info.csv nor partitions")
        return sorted(found)

    def _files(self, partition: int) -> list[str]:
        order, npix = int(self._order[partition]), int(self._npix[partition])
        path = f"dataset/Norder={order}/Dir={npix // 10_000 * 10_000}/Npix={npix}"
        if self._suffix != "/":
            return [path + self._suffix]
        found = self._folder.names(path, "")
        if not found:
            raise CatalogueFileError(f"{self._folder.location}/{path}", "is a partition without files")
        return found

    @property
    def _suffix(self) -> str:
        """What follows the number of a partition: an ending, or a slash if it is a folder of files."""
        return self.properties.get("hats_npix_suffix", ".parquet")

    def _read_schema(self) -> pa.Schema:
        for name in SCHEMA_FILES:
            try:
                with self._folder.open(name) as file:
                    return file.schema_arrow
            except CatalogueFileError:
                continue
        for path in self._files(0) if len(self.lo) else ():
            with self._folder.open(path) as file:
                return file.schema_arrow
        raise self._wrong("has no rows and no _common_metadata")

    def _spatial_index(self) -> tuple[str, int] | None:
        """Return the column of cells and their order, by default from its name, None if there is none."""
        name = self.properties.get("hats_col_healpix", "_healpix_29")
        order = count_of(self.properties.get("hats_col_healpix_order", name.rpartition("_")[2]))
        return (name, order) if name in self.schema.names and order is not None and order <= HPX_ORDER else None

    def _wrong(self, reason: str) -> CatalogueFileError:
        return CatalogueFileError(self.location, reason)

    # Row groups -----------------------------------------------------------------------------------------------------

    def _ranges_of_groups(self, metadata: parquet.FileMetaData, partition: int) -> tuple[IntArray, IntArray]:
        """Return the range of cells of each row group, from the statistics of the index, else the whole partition.

        An index outside the partition is not what the properties say, and is not used.
        """
        lo = np.full(metadata.num_row_groups, self.lo[partition])
        hi = np.full(metadata.num_row_groups, self.hi[partition] - 1)
        if self.index is not None:
            name, order = self.index
            shift = 2 * (HPX_ORDER - order)
            for number, known in enumerate(statistics(metadata, name)):
                if known is not None and isinstance(known[0], int) and isinstance(known[1], int):
                    first, last = known[0] << shift, ((known[1] + 1) << shift) - 1
                    if self.lo[partition] <= first and last < self.hi[partition]:
                        lo[number], hi[number] = first, last
        return lo, hi

    def _block(
        self, path: str, number: int, lo: IntArray, hi: IntArray, cap: Cap | None, wanted: Mapping[str, str]
    ) -> Block:
        """Return the rows of a row group in ranges, which all lie in a cap; no columns without rows."""
        group = self._group(path, number)
        with self._lock:
            before = group.nbytes
            rows = group.rows(lo, hi, cap)
            lacking = [name for name in wanted if name not in group.columns] if len(rows) else []
            if lacking:
                group.columns |= _columns(self.read(path, number, lacking))
            self._count((path, number), group, group.nbytes - before)
            return group.block(rows, wanted if len(rows) else {})

    def _group(self, path: str, number: int) -> Group:
        """Return a row group with its positions, from the cache if possible."""
        with self._lock:
            key = (path, number)
            if key in self._groups:
                self._groups.move_to_end(key)
                return self._groups[key]
            columns = _columns(self.read(path, number, list(dict.fromkeys((self.ra, self.dec)))))
            ra, dec = (numbers(*arrow_values(columns[name])) for name in (self.ra, self.dec))
            group = self._groups[key] = Group(ra, dec, columns)
            self._count(key, group, group.nbytes)
            return group

    def _count(self, key: tuple[str, int], group: Group, grown: int) -> None:
        """Account for the growth of a cached row group, and drop others while the cache is too large."""
        if self._groups.get(key) is not group:
            return  # dropped meanwhile
        self._held += grown
        while self._held > CACHE_BYTES and len(self._groups) > 1:
            self._held -= self._groups.popitem(last=False)[1].nbytes


def count_of(text: str | None) -> int | None:
    """Return the count that a property states, None if it states none."""
    return int(text) if text is not None and text.isdecimal() and len(text) <= COUNT_DIGITS else None


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns by name; views of texts, from which pyarrow takes no rows, become texts."""
    import pyarrow as pa

    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    names, columns = table.column_names, table.columns
    return {name: one.cast(plain.get(one.type, one.type)) for name, one in zip(names, columns, strict=True)}
