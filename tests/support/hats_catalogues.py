"""HATS catalogues as others might write them, made with pyarrow alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ztfdb.sky.cells import neighbours, sky_to_cell


def write_hats(
    folder: Path,
    columns: dict,
    *,
    ra: str = "ra",
    dec: str = "dec",
    order: int = 5,
    index: str | None = "_healpix_29",
    index_order: int = 29,
    directories: bool = False,
    listed: bool = True,
    shuffled: bool = False,
    strays: float = 0.0,
    group: int = 400,
    product: str = "object",
) -> Path:
    """Write a catalogue in partitions of one order, and return its folder.

    Parameters
    ----------
    columns : dict
        Arrays or pyarrow arrays, positions in deg among them.
    index : str, optional
        Name of the spatial index, None for none; of cells of `index_order`.
    directories : bool
        Each partition is a folder of two files.
    listed : bool
        With a partition_info.csv.
    shuffled : bool
        Rows lie in no order.
    strays : float
        Share of rows whose cell is one beside their own, as where libraries round differently.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    cell = sky_to_cell(np.mod(np.asarray(columns[ra], float), 360.0), np.asarray(columns[dec], float))
    stray = rng.random(len(cell)) < strays
    beside = neighbours(cell, 29)[rng.integers(0, 8, len(cell)), np.arange(len(cell))]
    cell = np.where(stray & (beside >= 0), beside, cell)
    by = rng.permutation(len(cell)) if shuffled else np.argsort(cell, kind="stable")
    table = pa.table(columns)
    if index is not None:
        table = table.append_column(index, pa.array(cell >> 2 * (29 - index_order)))
    table, pixel = table.take(pa.array(by)), cell[by] >> 2 * (29 - order)
    pixels = np.unique(pixel).tolist()
    for npix in pixels:
        place = folder / "dataset" / f"Norder={order}" / f"Dir={npix // 10_000 * 10_000}"
        place.mkdir(parents=True, exist_ok=True)
        rows = table.take(pa.array(np.flatnonzero(pixel == npix)))
        if directories:
            (place / f"Npix={npix}").mkdir()
            half = rows.num_rows // 2
            for number, part in enumerate((rows.slice(0, half), rows.slice(half))):
                pq.write_table(part, place / f"Npix={npix}" / f"{number}.parquet", row_group_size=group)
        else:
            pq.write_table(rows, place / f"Npix={npix}.parquet", row_group_size=group)
    pq.write_metadata(table.schema, folder / "dataset" / "_common_metadata")
    if listed:
        lines = "".join(f"{order},{npix}\n" for npix in pixels)
        (folder / "partition_info.csv").write_text(f"Norder,Npix\n{lines}")
    words = {
        "obs_collection": folder.name,
        "dataproduct_type": product,
        "hats_nrows": table.num_rows,
        "hats_col_ra": ra,
        "hats_col_dec": dec,
        "hats_npix_suffix": "/" if directories else ".parquet",
    }
    if index is not None:
        words |= {"hats_col_healpix": index, "hats_col_healpix_order": index_order}
    (folder / "hats.properties").write_text("#HATS catalog\n" + "".join(f"{k}={v}\n" for k, v in words.items()))
    return folder


def collected(folder: Path, primary: str) -> Path:
    """Put a collection around a catalogue in `folder`, and return `folder`."""
    words = f"obs_collection=made\nhats_primary_table_url={primary}\n"
    (folder / "collection.properties").write_text(words)
    return folder
