#!/bin/sh
# A filter finds rows with NaN in a table and not in the Parquet file of the same table: pyarrow and DuckDB pass the row group over.
#
# Least and largest values in Parquet's statistics leave NaN out, as the format demands, and are silent about whether there is any. pyarrow 26.0.1 (`read_table(filters=)`,
# datasets) and DuckDB 2.0.1 read them as bounds of all values. A filter that is false between the bounds and true for NaN then skips the row group: `~(mag < 20)` in both; in DuckDB
# also `isnan(mag)` and `mag > 20` (NaN is its largest number); in pyarrow also `is_nan(mag)` where all numbers of the row group are equal. The same filter on the table in memory finds the row.
# In a file with several row groups some such rows are missing and others not, depending on their neighbours. The rows of `mag < 20` and of its negation then
# do not add up to all rows, and a count of the NaN says 0. polars 2.1.0 finds the row.
# What follows: write NULL where a measurement is missing (its count is in the statistics), or filter floats after reading.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

table = pa.table({"id": [1, 2, 3, 4], "mag": [17.0, float("nan"), 18.0, 19.0]})
pq.write_table(table, "mags.parquet")
mag, column = pc.field("mag"), pl.col("mag")
pq.write_table(pa.table({"id": [1, 2, 3], "mag": [17.0, float("nan"), 17.0]}), "equal.parquet")
duck = duckdb.connect()
duck.execute("create table mags as select * from 'mags.parquet'")


def in_pyarrow(file, cut):
    return [found["id"].to_pylist() for found in (pq.read_table(file).filter(cut), pq.read_table(file, filters=cut))]


def in_duckdb(source, where):
    return [row[0] for row in duck.execute(f"select id from {source} where {where} order by id").fetchall()]


def show(reader, text, memory, file):
    print(f"{reader:8} {text:15} in memory: {memory}  from the file: {file}")
    return memory, file


found = {
    (reader, text): show(reader, text, memory, file)
    for reader, text, memory, file in (
        ("pyarrow", "~(mag < 20)", *in_pyarrow("mags.parquet", ~(mag < 20))),
        ("pyarrow", "is_nan(mag)", *in_pyarrow("equal.parquet", pc.is_nan(mag))),
        *(
            ("duckdb", text, in_duckdb("mags", text), in_duckdb("'mags.parquet'", text))
            for text in ("isnan(mag)", "not mag < 20", "mag > 20")
        ),
        *(
            ("polars", text, pl.read_parquet("mags.parquet").filter(cut)["id"].to_list(),
             pl.scan_parquet("mags.parquet").filter(cut).collect()["id"].to_list())
            for text, cut in (("is_nan(mag)", column.is_nan()), ("~(mag < 20)", ~(column < 20)))
        ),
    )
}
for (reader, text), (memory, file) in found.items():
    assert memory == [2], (reader, text)
    assert file == ([2] if reader == "polars" else []), f"{reader} finds the row by {text} now"
PY
echo "as described"
