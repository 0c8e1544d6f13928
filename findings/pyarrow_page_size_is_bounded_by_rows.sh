#!/bin/sh
# pyarrow's data_page_size does nothing above 20,000 rows a page, and split floats pay for short pages.
#
# pyarrow 26.0.1 `write_table(data_page_size=…)` has a second bound beside it, max_rows_per_page, 20,000 by default. A page of doubles so ends at 160,000 bytes
# and one of singles at 80,000, whatever data_page_size above that says: files written with 256 KB, 1 MB and 16 MB have the same bytes. Who reads the documentation
# of data_page_size alone ("set a target threshold for the approximate encoded size of data pages") and tries larger pages finds no difference and concludes
# that the page size does not matter.
# It does for BYTE_STREAM_SPLIT with zstd: each byte of a value is a stream of its own, and a stream compresses by itself only where it fills blocks of zstd
# (128 KB). Magnitudes rounded to a thousandth (singles, 17 significant bits set to zero at the end) take 12 % less as one page of 131,072 rows than in pages of 20,000.
# What follows: give max_rows_per_page together with data_page_size.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

rng = np.random.default_rng(1)
n = 131_072
mag = (np.round((21 - rng.exponential(1.2, n)) * 1024) / 1024).astype("f4")
table = pa.table({"mag": mag, "x": rng.uniform(0, 3072, n)})


def size(page, **more):
    pq.write_table(table, "t.parquet", compression="zstd", compression_level=3, use_dictionary=False, data_page_size=page,
                   column_encoding={"mag": "BYTE_STREAM_SPLIT", "x": "BYTE_STREAM_SPLIT"}, **more)
    group = pq.read_metadata("t.parquet").row_group(0)
    return [group.column(k).total_compressed_size / n for k in range(2)]


bounded = {page: size(page) for page in (1 << 18, 1 << 20, 1 << 24)}
free = size(1 << 20, max_rows_per_page=n)
for page, (m, x) in bounded.items():
    print(f"data_page_size {page:>9}: {m:.3f} bytes a magnitude, {x:.3f} a double")
print(f"and max_rows_per_page {n}: {free[0]:.3f} and {free[1]:.3f}")
assert len({tuple(found) for found in bounded.values()}) == 1
assert free[0] < 0.95 * bounded[1 << 20][0] and free[1] < bounded[1 << 20][1]
PY
echo "as described"
