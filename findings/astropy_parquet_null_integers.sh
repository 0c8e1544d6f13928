#!/bin/sh
# One NULL makes astropy's Parquet reader round every 64-bit integer of that column, without a warning.
#
# astropy 8.0.2 `Table.read(path)` takes a Parquet column through pyarrow's `to_numpy()`. An int64 column with a NULL comes back as float64 with
# NaN, neither masked nor int64: 2**60 + 1 is read as 2**60. The same column without a NULL is exact, so a table of ids is right until the first
# row without one. pyarrow 26.0.1 reads the same file exactly, and pandas 3.1.1 does with dtype_backend="numpy_nullable". astropy writes its own masked integers as two columns, the ids with
# a stand-in below the mask and `id.mask`: it reads them back exactly, but every other reader takes the stand-in for an id.
# A text column with a NULL fails with "object of type 'NoneType' has no len()" unless the file says how long its texts are
# (`table::len::NAME`); with a length of 1 the NULL is read as the text "N", with 4 as "None".
# What follows: take Parquet with NULL ids by way of pandas, Table.from_pandas(pandas.read_parquet(path, dtype_backend="numpy_nullable")), which
# masks them exactly.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, Table

warnings.simplefilter("error")
EXACT = 2**60 + 1

pq.write_table(pa.table({"id": [EXACT, None]}), "null.parquet")
pq.write_table(pa.table({"id": [EXACT, 7]}), "full.parquet")
null, full = Table.read("null.parquet")["id"], Table.read("full.parquet")["id"]
print("with a NULL: ", null.dtype, int(null[0]), "is", int(null[0]) - EXACT, "off;", type(null).__name__)
print("without:     ", full.dtype, int(full[0]), "is", int(full[0]) - EXACT, "off")
assert null.dtype == np.float64 and int(null[0]) == EXACT - 1 and not isinstance(null, MaskedColumn)
assert full.dtype == np.int64 and full[0] == EXACT

assert pq.read_table("null.parquet")["id"].to_pylist() == [EXACT, None]
frame = pd.read_parquet("null.parquet", dtype_backend="numpy_nullable")
around = Table.from_pandas(frame)["id"]
print("through pandas:", around.dtype, around.tolist())
assert around.dtype == np.int64 and around.tolist() == [EXACT, None]

Table({"id": MaskedColumn([EXACT, 5], mask=[False, True])}).write("own.parquet")
own, others = Table.read("own.parquet")["id"], pq.read_table("own.parquet").to_pydict()
print("astropy's own:", own.tolist(), "for others:", others)
assert own.tolist() == [EXACT, None]
assert others == {"id": [EXACT, 5], "id.mask": [False, True]}

text = pa.table({"t": ["x", None]})
pq.write_table(text, "text.parquet")
try:
    Table.read("text.parquet")
    raise SystemExit("a NULL text is read without its length now")
except TypeError as exc:
    print("text without a length:", exc)
for length, seen in (("1", "N"), ("4", "None")):
    pq.write_table(text.replace_schema_metadata({"table::len::t": length}), "text.parquet")
    found = Table.read("text.parquet")["t"].tolist()
    print(f"text of length {length}:", found)
    assert found == ["x", seen]
PY
echo "as described"
