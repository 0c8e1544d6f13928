#!/bin/sh
# A NULL among the 64-bit ids of one nested list changes the other ids of that list, in the frame of a row only.
#
# nested-pandas 0.7.2 opens a Parquet column list<struct<id: int64, mag: double>> as a nested column. `frame["lc.id"]` (all rows, flat) keeps
# int64 and NULL exactly. `frame["lc"].iloc[k]` (the light curve of one row, what a function for `map_rows` or a plot takes) makes a NumPy-typed
# frame: where that one list holds a NULL, its ids become float64, and 2**60 + 1 is read as 2**60. The next row, without a NULL, is exact, so the
# dtype of a light curve's ids changes from object to object.
# What follows for writers: no nullable id inside a nested list; a stand-in such as -1, or no such column.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet nested-pandas==0.7.2 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import pyarrow as pa
import pyarrow.parquet as pq
from nested_pandas import read_parquet

EXACT = 2**60 + 1
epoch = pa.struct([("id", pa.int64()), ("mag", pa.float64())])
with_null = [{"id": EXACT, "mag": 17.0}, {"id": None, "mag": 17.1}]
without = [{"id": EXACT, "mag": 18.0}]
pq.write_table(pa.table({"object": [1, 2], "lc": pa.array([with_null, without], pa.list_(epoch))}), "objects.parquet")

frame = read_parquet("objects.parquet")
flat = frame["lc.id"]
first, second = frame["lc"].iloc[0]["id"], frame["lc"].iloc[1]["id"]
print("flat column:      ", flat.dtype, [None if v is None else v for v in flat.array.to_numpy(dtype=object, na_value=None)])
print("row with a NULL:  ", first.dtype, int(first.iloc[0]), "is", int(first.iloc[0]) - EXACT, "off")
print("row without NULLs:", second.dtype, int(second.iloc[0]), "is", int(second.iloc[0]) - EXACT, "off")

assert flat.iloc[0] == EXACT
assert first.dtype == "float64" and int(first.iloc[0]) == EXACT - 1
assert second.dtype == "int64" and int(second.iloc[0]) == EXACT
PY
echo "as described"
