"""Names and small files of a HATS catalogue and of the collection around it.

The format as the hats libraries read it (v1.0): https://hats.readthedocs.io, and the IVOA note on HATS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ztfdb.hats.places import Place
from ztfdb.hats.tiling import Pixel
from ztfdb.sky.cells import HPX_ORDER

PROPERTIES = "hats.properties"
COLLECTION = "collection.properties"
DATASET = "dataset"


FILES, DIRECTORIES = "file", "directory"
"""Layouts: a partition is a file, or a folder of files."""

SUFFIXES = {FILES: ".parquet", DIRECTORIES: "/"}
"""``hats_npix_suffix`` of HATS."""

TAKEN_UP = 2
"""A new file absorbs earlier ones, youngest first, that have fewer than this many times its rows.

Every file then has at least twice the rows of the next one. There are log2(rows / rows per night) files, and a row is
written about as often: the logarithmic method of Bentley and Saxe (1980).
"""


class File(NamedTuple):
    """A file of a partition.

    Attributes
    ----------
    generation : int
        Generation that wrote it.
    n_row, size : int
        Rows and bytes.
    """

    generation: int
    n_row: int
    size: int


def partition_path(pixel: Pixel, layout: str, generation: int) -> str:
    """Return the path of a generation's file of a partition, relative to the catalogue."""
    folder = f"{DATASET}/Norder={pixel.norder}/Dir={pixel.npix // 10_000 * 10_000}/Npix={pixel.npix}"
    return f"{folder}.parquet" if layout == FILES else f"{folder}/part_g{generation}.parquet"


def n_staying(files: Sequence[File], n_row: int) -> int:
    """Return how many of a partition's files stay when rows are added; the younger ones are absorbed."""
    staying = len(files)
    while staying and files[staying - 1].n_row < TAKEN_UP * n_row:
        staying -= 1
        n_row += files[staying].n_row
    return staying


def margin_name(product: str, arcsec: float) -> str:
    """Return the name of a margin catalogue."""
    return f"{product}_{arcsec:g}arcs".replace(".", "p")


def index_name(product: str, column: str) -> str:
    """Return the name of an index catalogue."""
    return f"{product}_{column}"


def sky_fraction(pixels: Sequence[Pixel]) -> float:
    """Return the fraction of the sky that partitions cover."""
    return sum(4.0**-pixel.norder for pixel in pixels) / 12.0


def properties_text(values: Mapping[str, object]) -> str:
    """Return a Java properties file: ``key=value`` lines in ASCII, special characters escaped."""
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in values.items())


def _escaped(text: str) -> str:
    special = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "=": "\\=", ":": "\\:", "#": "\\#", "!": "\\!"}
    plain = "".join(special.get(char, char) for char in text)
    return "".join(char if " " <= char <= "~" else "".join(f"\\u{unit:04x}" for unit in _utf16(char)) for char in plain)


def _utf16(char: str) -> list[int]:
    packed = char.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(packed[k : k + 2]) for k in range(0, len(packed), 2)]


def write_properties(place: Place, name: str, values: Mapping[str, object]) -> None:
    """Write a properties file atomically."""
    place.write(name, properties_text(values).encode("ascii"))


def write_partition_info(place: Place, pixels: Sequence[Pixel]) -> None:
    """Write the list of partitions."""
    rows = "".join(f"{pixel.norder},{pixel.npix}\n" for pixel in pixels)
    place.write("partition_info.csv", f"Norder,Npix\n{rows}".encode())


def write_metadata(place: Place, paths: Sequence[str], schema: pa.Schema) -> int:
    """Write ``_metadata``, the footers of files, and return their number of rows."""
    footers: pq.FileMetaData | None = None
    for path, footer in zip(paths, place.footers(paths), strict=True):
        footer.set_file_path(path.removeprefix(f"{DATASET}/"))
        if footers is None:
            footers = footer
        else:
            footers.append_row_groups(footer)
    path = f"{DATASET}/_metadata"
    if footers is None:
        place.make(path, lambda waiting: pq.write_metadata(schema, waiting))
        return 0
    place.make(path, footers.write_metadata_file)
    return int(footers.num_rows)


def catalogue_properties(
    name: str,
    kind: str,
    pixels: Sequence[Pixel],
    n_row: int,
    size: int,
    *,
    layout: str,
    default: Sequence[str],
    more: Mapping[str, object],
) -> dict[str, object]:
    """Return the properties of a catalogue whose partitions are `pixels`."""
    return {
        "obs_collection": name,
        "dataproduct_type": kind,
        "hats_nrows": n_row,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_cols_default": " ".join(default),
        "hats_col_healpix": "_healpix_29",
        "hats_col_healpix_order": HPX_ORDER,
        "hats_npix_suffix": SUFFIXES[layout],
        "hats_order": max((pixel.norder for pixel in pixels), default=0),
        "moc_sky_fraction": f"{sky_fraction(pixels):.6g}",
        "hats_estsize": int(np.ceil(size / 1024)),
        "hats_frame": "equatorial",
        "hats_release_date": "2025-08-22",
        "hats_version": "v1.0",
        "obs_regime": "Optical",
        **more,
    }
