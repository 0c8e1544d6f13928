#!/bin/sh
# DuckDB finds other rows in a pandas frame than in the Parquet file or Arrow table of the same numbers: NaN is NULL in one and the largest number in the others.
#
# DuckDB 2.0.1 reads a NaN of pandas' float columns and of numpy arrays as NULL, and a NaN of Arrow, polars, Parquet or pandas' own Arrow columns as NaN, which it holds, as PostgreSQL does, to be equal to
# itself and greater than every number. So `snr > 5` leaves unmeasured rows out of a pandas frame and finds them in the file that it was read from; `count(snr)`, `max(snr)` and
# `avg(snr)` differ, too. polars 2.1.0 compares as DuckDB does (`filter(snr > 5)` keeps NaN), but its `max` and `arg_max` pass NaN over, while `sort` and `top_k` have it as the largest. pandas and pyarrow
# keep no NaN in `snr > 5`. The frame that DuckDB gives back has NaN for both, so that nothing is seen when the answer is looked at.
# What follows: say what a missing value is in the statement, `where snr > 5 and not isnan(snr)`, which is right for all of them, or write NULL into files.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet duckdb==2.0.1 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" -W error - <<'PY'
import math

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

print("duckdb", duckdb.__version__, "polars", pl.__version__, "pandas", pd.__version__)
snr = np.array([1.0, 10.0, np.nan])
arrow = pa.table({"snr": snr})
pq.write_table(arrow, "stars.parquet")
sources = {
    "pandas": pd.read_parquet("stars.parquet"),
    "numpy": {"snr": snr},
    "pandas, Arrow columns": pd.read_parquet("stars.parquet", dtype_backend="pyarrow"),
    "pyarrow": arrow,
    "polars": pl.from_arrow(arrow),
    "the file": duckdb.read_parquet("stars.parquet"),
}
statement = "select count(*) filter (where snr > 5), count(snr), max(snr), avg(snr), count(*) filter (where snr > 5 and not isnan(snr)) from stars"
for name, stars in sources.items():
    (row,) = duckdb.sql(statement).fetchall()
    print(f"{name}: snr > 5 {row[0]}, count {row[1]}, max {row[2]}, avg {row[3]}, with isnan {row[4]}")
    if name in ("pandas", "numpy"):
        assert row[:4] == (1, 2, 10.0, 5.5), "NaN of pandas is no longer NULL"
    else:
        assert row[:2] == (2, 3) and math.isnan(row[2]) and math.isnan(row[3]), "NaN is no longer the largest number"
    assert row[4] == 1

stars = arrow
back = duckdb.sql("select * from stars").df()["snr"]
stars = back.to_frame()
again = duckdb.sql("select * from stars").df()["snr"]
assert np.isnan(back[2]) and np.isnan(again[2])

series = pl.from_arrow(arrow)["snr"]
assert (series > 5).sum() == 2 and series.max() == 10.0 and series.arg_max() == 1, "polars compares NaN otherwise now"
assert math.isnan(series.sort()[-1]) and math.isnan(series.top_k(1)[0])
assert (sources["pandas"]["snr"] > 5).sum() == 1 and arrow.filter(pc.field("snr") > 5).num_rows == 1
print("polars: snr > 5 2, max 10, sorted last nan; pandas and pyarrow: snr > 5 1")
PY
echo "as described"
