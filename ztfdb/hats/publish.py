"""Write the small files of a generation, and publish it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ztfdb.arrays import IntArray
from ztfdb.errors import ExportError
from ztfdb.hats import layout
from ztfdb.hats.context import Context
from ztfdb.hats.fields import HEALPIX_COLUMN
from ztfdb.hats.layout import DATASET, File
from ztfdb.hats.objects import Objects
from ztfdb.hats.parquet import write_common_metadata, write_rows
from ztfdb.hats.places import Place
from ztfdb.hats.plan import Generation, Part, write_state
from ztfdb.hats.products import Product
from ztfdb.hats.tiling import Pixel
from ztfdb.surveys.properties import parse_properties

PARTS = "parts.npy"
"""File with the parts of a catalogue of folders, from which an update finds the new ones."""


INDEX = "index/part.0.parquet"
"""The only file of an index catalogue."""


class Files(NamedTuple):
    """The files of a partition, oldest first."""

    pixel: Pixel
    files: tuple[File, ...]


def catalogue_name(product: Product, number: int) -> str:
    """Return the folder of a generation's catalogue."""
    return f"{product.name}_g{number}"


def margin_name(product: Product, arcsec: float, number: int) -> str:
    """Return the folder of a generation's margin."""
    return f"{layout.margin_name(product.name, arcsec)}_g{number}"


def generation_of(product: Product, folder: str) -> int | None:
    """Return the generation of a folder in a product's collection, None if no export made it."""
    index = layout.index_name(product.name, product.id_column)
    found = re.fullmatch(rf"(?:{product.name}(?:_[\w+-]+arcs)?|{index}|work)_g(\d+)", folder)
    return None if found is None else int(found[1])


def read_parts(catalogue: Place) -> IntArray | None:
    """Return the parts of a catalogue, None if they are not recorded."""
    content = catalogue.read(PARTS)
    return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)


def _save(path: Path, parts: IntArray) -> None:
    with path.open("wb") as file:
        np.save(file, parts)


def whole_parts(product: Product, generation: Generation, sizes: Mapping[str, int]) -> dict[Pixel, Part]:
    """Return the partitions of a generation whose files, those of their margins too, are there in full.

    Parameters
    ----------
    product : Product
    generation : Generation
        Published, or of which some partitions are written.
    sizes : mapping of str to int
        Files of the collection, from `ztfdb.hats.places.Place.sizes`.
    """
    catalogue = catalogue_name(product, generation.number)
    margin = margin_name(product, generation.settings.margin, generation.number)

    def held(part: Part, name: str, files: tuple[File, ...]) -> bool:
        paths = [layout.partition_path(part.pixel, generation.settings.layout, file.generation) for file in files]
        return all(sizes.get(f"{name}/{path}") == file.size for path, file in zip(paths, files, strict=True))

    return {
        part.pixel: part
        for part in generation.parts
        if held(part, catalogue, part.files or ()) and held(part, margin, part.margin)
    }


class Publisher:
    """Writes the files that describe a product's generation.

    Parameters
    ----------
    place : Place
        The collection.
    product : Product
    context : Context
    """

    def __init__(self, place: Place, product: Product, context: Context) -> None:
        self._place, self._product, self._context = place, product, context
        self._schema = product.schema()

    def is_shown(self, generation: Generation, sizes: Mapping[str, int]) -> bool:
        """Return whether the collection points to a generation, whose small files are among the files in `sizes`."""
        text, catalogue = self._place.read(layout.COLLECTION), catalogue_name(self._product, generation.number)
        small = (layout.PROPERTIES, "partition_info.csv", f"{DATASET}/_common_metadata")
        needed = [f"{catalogue}/{name}" for name in small]
        if generation.settings.layout == layout.DIRECTORIES:
            needed.append(f"{catalogue}/{PARTS}")
        if generation.settings.margin:
            folder = margin_name(self._product, generation.settings.margin, generation.number)
            needed += [f"{folder}/{name}" for name in small]
        if isinstance(self._product, Objects):
            folder = self._index_folder(generation)
            needed += [f"{folder}/{name}" for name in (layout.PROPERTIES, f"{DATASET}/{INDEX}", f"{DATASET}/_metadata")]
        primary = None if text is None else parse_properties(text.decode()).get("hats_primary_table_url")
        return primary == catalogue and sizes.keys() >= set(needed)

    def show(self, new: Generation, parts: IntArray) -> None:
        """Write the small files of a generation with these parts, and make the collection point to it."""
        margin, name = new.settings.margin, self._product.name
        catalogue = catalogue_name(self._product, new.number)
        if new.settings.layout == layout.DIRECTORIES:
            self._place.below(catalogue).make(PARTS, lambda waiting: _save(waiting, parts))
        self._describe(catalogue, name, self._product.kind, [Files(p.pixel, p.files or ()) for p in new.parts], new, {})
        collection: dict[str, object] = {"obs_collection": name, "hats_primary_table_url": catalogue}
        if margin:
            folder = margin_name(self._product, margin, new.number)
            more: dict[str, object] = {"hats_primary_table_url": catalogue, "hats_margin_threshold": f"{margin:g}"}
            of_margin = [Files(p.pixel, p.margin) for p in new.parts]
            self._describe(folder, layout.margin_name(name, margin), "margin", of_margin, new, more)
            collection |= {"all_margins": folder, "default_margin": folder}
        if isinstance(self._product, Objects):
            column, folder = self._product.id_column, self._index_folder(new)
            self._write_index(self._place.below(folder), new)
            collection |= {"all_indexes": f"{column} {folder}", "default_index": column}
        layout.write_properties(self._place, layout.COLLECTION, collection)
        write_state(self._place, new)

    def _index_folder(self, generation: Generation) -> str:
        return f"{layout.index_name(self._product.name, self._product.id_column)}_g{generation.number}"

    def _describe(
        self,
        folder: str,
        name: str,
        kind: str,
        parts: Sequence[Files],
        new: Generation,
        more: dict[str, object],
    ) -> None:
        place, held = self._place.below(folder), [part for part in parts if part.files]
        pixels = [part.pixel for part in held]
        rows = [sum(file.n_row for file in part.files) for part in held]
        size = sum(file.size for part in held for file in part.files)
        write_common_metadata(place, f"{DATASET}/_common_metadata", self._schema, name)
        self._write_metadata(place, held, sum(rows), new.settings.layout)
        layout.write_partition_info(place, pixels)
        facts = {**more, "hats_max_rows": max(rows, default=0), **self._provenance(new)}
        values = layout.catalogue_properties(
            name,
            kind,
            pixels,
            sum(rows),
            size,
            layout=new.settings.layout,
            default=self._product.default,
            more=facts,
        )
        layout.write_properties(place, layout.PROPERTIES, values)

    def _write_metadata(self, place: Place, held: Sequence[Files], n_row: int, kind: str) -> None:
        """Write ``_metadata``, except if a partition has several files, which hats then considers invalid."""
        if any(len(part.files) > 1 for part in held):
            return
        paths = [layout.partition_path(p.pixel, kind, p.files[0].generation) for p in sorted(held)]
        found = layout.write_metadata(place, paths, self._schema)
        if found != n_row:
            raise ExportError(f"{place} holds {found} rows, not the {n_row} that were written")

    def _provenance(self, new: Generation) -> dict[str, object]:
        facts: dict[str, object] = {
            "hats_builder": new.made_by.partition(", columns")[0],
            "hats_cols_sort": " ".join(self._product.order),
            "hats_creator": "ztfdb",
            "obs_title": f"ztfdb {self._product.name}",
            "obs_description": self._product.description,
            "ztfdb_revision": self._context.revision,
            "ztfdb_configurations": " ".join(self._context.configurations),
            "ztfdb_calibration": new.settings.calibration,
            "ztfdb_generation": new.number,
        }
        first, last = self._context.span
        if np.isfinite(first):
            facts |= {"t_min": repr(first), "t_max": repr(last)}
        return facts

    def _write_index(self, place: Place, new: Generation) -> None:
        """Write the partition of each id, ordered by id."""
        column, table = self._product.id_column, self._places(new)
        write_rows(place, f"{DATASET}/{INDEX}", table, [column])
        footer = place.footer(f"{DATASET}/{INDEX}")
        footer.set_file_path(INDEX)
        place.make(f"{DATASET}/_metadata", footer.write_metadata_file)
        place.make(f"{DATASET}/_common_metadata", lambda path: pq.write_metadata(table.schema, path))
        facts = {
            "obs_collection": layout.index_name(self._product.name, column),
            "dataproduct_type": "index",
            "hats_nrows": table.num_rows,
            "hats_index_column": column,
            "hats_primary_table_url": catalogue_name(self._product, new.number),
            "hats_version": "v1.0",
            **self._provenance(new),
        }
        layout.write_properties(place, layout.PROPERTIES, facts)

    def _places(self, new: Generation) -> pa.Table:
        column, pieces = self._product.id_column, []
        catalogue = self._place.below(catalogue_name(self._product, new.number))
        schema = pa.schema([(column, pa.int64()), (HEALPIX_COLUMN, pa.int64()), ("Norder", pa.uint8()),
                            ("Dir", pa.uint64()), ("Npix", pa.uint64())])  # fmt: skip
        for part in new.parts:
            for file in part.files or ():
                path = layout.partition_path(part.pixel, new.settings.layout, file.generation)
                rows = catalogue.table(path, [column, HEALPIX_COLUMN])
                norder, npix = part.pixel
                for name, value in {"Norder": norder, "Dir": npix // 10_000 * 10_000, "Npix": npix}.items():
                    kind = schema.field(name).type
                    rows = rows.append_column(name, pa.array(np.full(rows.num_rows, value), kind))
                pieces.append(rows.cast(schema))
        table = pa.concat_tables(pieces) if pieces else schema.empty_table()
        return table.sort_by([(column, "ascending")])
