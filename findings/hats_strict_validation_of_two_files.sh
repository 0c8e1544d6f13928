#!/bin/sh
# hats calls a catalogue invalid as soon as one of its partitions has two files, and reads it all the same.
#
# HATS allows a partition to be a folder of Parquet files (`hats_npix_suffix=/`), which is how rows are appended without rewriting a
# partition. hats 0.11.1 loads such a catalogue. `is_valid_catalog(strict=True)` is True with one file per folder and False with two where a
# `dataset/_metadata` file is there: the pixels named in `_metadata` are compared as a list, one entry per file, with those of
# `partition_info.csv`, one entry per partition. Its message names no difference ("Extra: set() Missing: set()"). Without `_metadata`, which is
# optional, the same files are valid.
# What follows for writers: leave `_metadata` out of catalogues whose partitions grow by files, or compact before validation.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet hats==0.11.1 nested-pandas==0.7.2 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import logging
from pathlib import Path

import hats
import pyarrow as pa
import pyarrow.parquet as pq
from hats.io import write_parquet_metadata
from hats.io.validation import is_valid_catalog

ORDER, PIXEL = 3, 20


def write(root, n_file):
    folder = Path(root) / f"dataset/Norder={ORDER}/Dir=0/Npix={PIXEL}"
    folder.mkdir(parents=True)
    first = PIXEL << 2 * (29 - ORDER)
    for k in range(n_file):
        rows = {"_healpix_29": pa.array([first + k]), "ra": [50.0], "dec": [10.0], "id": pa.array([k])}
        pq.write_table(pa.table(rows), folder / f"part{k}.parquet")
    (Path(root) / "partition_info.csv").write_text(f"Norder,Npix\n{ORDER},{PIXEL}\n")
    facts = {
        "obs_collection": "example", "dataproduct_type": "object", "hats_nrows": n_file, "hats_col_ra": "ra",
        "hats_col_dec": "dec", "hats_col_healpix": "_healpix_29", "hats_col_healpix_order": 29, "hats_npix_suffix": "/",
        "hats_order": ORDER, "hats_version": "v1.0", "moc_sky_fraction": 0.0013,
    }
    (Path(root) / "hats.properties").write_text("".join(f"{name}={value}\n" for name, value in facts.items()))
    write_parquet_metadata(root)


def judge(root):
    return is_valid_catalog(root, strict=True), len(hats.read_hats(root).get_healpix_pixels())


logging.basicConfig(level=logging.WARNING, format="  hats: %(message)s")
seen = {}
for name, n_file in (("one", 1), ("two", 2)):
    write(name, n_file)
    print(f"{n_file} file(s), with _metadata:")
    seen[name] = judge(name)
    print("  valid, partitions read:", *seen[name])
(Path("two") / "dataset/_metadata").unlink()
print("2 file(s), without _metadata:")
seen["without"] = judge("two")
print("  valid, partitions read:", *seen["without"])
assert seen["one"][0] is True
assert seen["two"][0] is False
assert seen["without"][0] is True
PY
echo "as described"
