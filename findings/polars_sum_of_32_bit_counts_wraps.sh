#!/bin/sh
# polars adds up 32-bit integers in 32 bits: two bright pixels sum to a negative number, while 8 and 16 bits are safe.
#
# polars 2.1.0 sums Int8, Int16, UInt8 and UInt16 as 64-bit integers "to prevent overflow", and Int32 and UInt32 in their own type, without a warning. This is so for `Series.sum`,
# in `group_by`, over a window, lazily and streamed, in `cum_sum`, and in polars' own SQL. The mean is right, so a check of one by the other fails. pandas, numpy, pyarrow and DuckDB widen 32 bits.
# Counts are of that type more often than not: FITS BITPIX 32, `int` of VOTable and of PostgreSQL, numbers of pixels or of photons in Parquet. A table that
# was stored with narrower columns to save room gives right sums until a column needed 32 bits.
# What follows: cast before summing, `pl.col("counts").cast(pl.Int64).sum()`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet polars==2.1.0 pyarrow==26.0.1 pandas==3.1.1 duckdb==2.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" -W error - <<'PY'
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

print("polars", pl.__version__)


def sums(counts: np.ndarray) -> dict[str, int]:
    """The sum of one column by each of polars' ways."""
    frame = pl.DataFrame({"star": np.ones(len(counts), np.int64), "counts": counts})
    total = pl.col("counts").sum()
    return {
        "Series.sum": frame["counts"].sum(),
        "select": frame.select(total)["counts"][0],
        "group_by": frame.group_by("star").agg(total)["counts"][0],
        "over": frame.select(total.over("star"))["counts"][0],
        "streaming": frame.lazy().select(total).collect(engine="streaming")["counts"][0],
        "SQL": frame.sql("select sum(counts) as counts from self")["counts"][0],
        "cum_sum": frame.select(pl.col("counts").cum_sum())["counts"][-1],
    }


for kind in (np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32):
    full = np.iinfo(kind).max
    counts = np.array([full, 1], kind)
    true = int(full) + 1
    arrow = pa.table({"counts": counts})
    others = {
        "numpy": int(counts.sum()),
        "pandas": int(pd.Series(counts).sum()),
        "pyarrow": pc.sum(arrow["counts"]).as_py(),
        "duckdb": int(duckdb.sql("select sum(counts) from arrow").fetchall()[0][0]),
    }
    assert set(others.values()) == {true}, others
    found = sums(counts)
    print(f"{np.dtype(kind).name}: {full} + 1 = {true}; polars {found['Series.sum']} {found}")
    wrapped = int(np.array([true]).astype(kind)[0])
    expected = wrapped if counts.itemsize == 4 else true
    assert set(found.values()) == {expected}, "polars widens other types now"
    assert pl.Series(counts).mean() == true / 2
assert pl.Series(np.array([2**31 - 1, 1], np.int32)).cast(pl.Int64).sum() == 2**31
PY
echo "as described"
