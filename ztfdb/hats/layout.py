"""Names and small files of a HATS catalogue and of the collection around it.

The format as the hats libraries read it (v1.0): https://hats.readthedocs.io, and the IVOA note on HATS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ztfdb.hats.files import make_atomically, write_atomically
from ztfdb.hats.tiling import Pixel
from ztfdb.sky.cells import HPX_ORDER

PROPERTIES = "hats.properties"
COLLECTION = "collection.properties"
DATASET = "dataset"


def partition_path(pixel: Pixel) -> Path:
    """Return where a partition lies below its catalogue."""
    folder = pixel.npix // 10_000 * 10_000
    return Path(DATASET) / f"Norder={pixel.norder}" / f"Dir={folder}" / f"Npix={pixel.npix}.parquet"


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


def write_properties(folder: Path, name: str, values: Mapping[str, object]) -> None:
    """Write a properties file; it appears when it is whole."""
    write_atomically(folder / name, properties_text(values).encode("ascii"))


def write_partition_info(folder: Path, pixels: Sequence[Pixel]) -> None:
    """Write which partitions there are."""
    rows = "".join(f"{pixel.norder},{pixel.npix}\n" for pixel in pixels)
    write_atomically(folder / "partition_info.csv", f"Norder,Npix\n{rows}".encode())


def write_metadata(folder: Path, pixels: Sequence[Pixel], schema: pa.Schema) -> int:
    """Write ``_metadata``, the footers of all partitions, and return how many rows they hold."""
    footers: pq.FileMetaData | None = None
    for pixel in sorted(pixels):
        relative = partition_path(pixel)
        footer = pq.read_metadata(folder / relative)
        footer.set_file_path(str(relative.relative_to(DATASET)))
        if footers is None:
            footers = footer
        else:
            footers.append_row_groups(footer)
    path = folder / DATASET / "_metadata"
    if footers is None:
        make_atomically(path, lambda waiting: pq.write_metadata(schema, waiting))
        return 0
    make_atomically(path, footers.write_metadata_file)
    return int(footers.num_rows)


def catalogue_properties(
    name: str,
    kind: str,
    pixels: Sequence[Pixel],
    n_row: int,
    size: int,
    *,
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
        "hats_npix_suffix": ".parquet",
        "hats_order": max((pixel.norder for pixel in pixels), default=0),
        "moc_sky_fraction": f"{sky_fraction(pixels):.6g}",
        "hats_estsize": int(np.ceil(size / 1024)),
        "hats_frame": "equatorial",
        "hats_release_date": "2025-08-22",
        "hats_version": "v1.0",
        "obs_regime": "Optical",
        **more,
    }
