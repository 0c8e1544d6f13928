#!/bin/sh
# Whether a row can be taken out of an Arrow-backed frame depends on how large its ids are, and on whether there is a column of text.
#
# Frames with Arrow types (`dtype_backend="pyarrow"`, and what LSDB hands out) hold 64-bit ids exactly. pandas 3.1.1 makes one type for the values of a row: of int64 and double, double. With an id of
# 2**60 + 1, as source ids of surveys are, `frame.iloc[k]`, `frame.loc[label]` and `frame.apply(..., axis=1)` raise ArrowInvalid "outside of the range exactly representable". An id below 2**53
# becomes a double, and code that was tried on small ids or on a frame with one column of text (the row is then of Python objects, each exact) fails on real ones.
# 2**60 is refused as well, although a double holds it exactly. `iterrows` and `itertuples` are exact. With the types "numpy_nullable" the same row is rounded without an error.
# What follows: take rows by `itertuples`, or keep a text column in the frame, such as the filter's name, whenever rows are looked at.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

WIDE = 2**60 + 1
pq.write_table(pa.table({"id": [WIDE, 7, 2**60], "mag": [17.5, 18.0, 18.5]}), "two.parquet")
pq.write_table(pa.table({"id": [WIDE], "mag": [17.5], "filter": ["zg"]}), "text.parquet")
frame = pd.read_parquet("two.parquet", dtype_backend="pyarrow")


def tried(call):
    try:
        return call()
    except pa.ArrowInvalid as exc:
        return f"ArrowInvalid: {exc}"


refused = {
    "iloc": tried(lambda: frame.iloc[0]["id"]),
    "loc": tried(lambda: frame.loc[0]["id"]),
    "apply": tried(lambda: frame.apply(lambda row: row["id"], axis=1)),
}
for name, answer in refused.items():
    print(f"{name:10} of {WIDE}: {answer}")
    assert str(answer).startswith("ArrowInvalid"), f"{name} takes it now"

small, power = frame.iloc[1]["id"], tried(lambda: frame.iloc[2]["id"])
exact = {"iterrows": next(frame.iterrows())[1]["id"], "itertuples": next(frame.itertuples()).id}
with_text = pd.read_parquet("text.parquet", dtype_backend="pyarrow").iloc[0]["id"]
nullable = pd.read_parquet("two.parquet", dtype_backend="numpy_nullable").iloc[0]["id"]
print("iloc of 7:", repr(small), " of 2**60:", power)
print("iterrows, itertuples:", *exact.values(), " iloc beside a text:", with_text)
print("numpy_nullable:", int(nullable), "is", int(nullable) - WIDE, "off")
assert isinstance(small, float) and str(power).startswith("ArrowInvalid")
assert set(exact.values()) == {WIDE} and with_text == WIDE
assert int(nullable) == WIDE - 1
PY
echo "as described"
