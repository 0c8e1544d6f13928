#!/bin/sh
# pandas: a carriage return within a text is written to CSV without quotes up to Python 3.12, and read as the end of a row: rows are added, ids become doubles.
#
# `to_csv` hands its rows to `csv.writer` with the line feed of the system as end of the lines. Up to Python 3.12 that quotes a text with a delimiter, a quote or a character of its
# own line end, so a lone carriage return, as old Mac files and FITS comments have it, stays as it is. `read_csv` ends rows at carriage returns as well. It fills up
# the short rows without a warning, and a column of 64-bit ids turns into doubles because of the NULLs, so that the ids of all other rows lose digits, too.
# Python 3.13 quotes both characters whatever the line end is: the same pandas writes another file. `csv.writer` with its own line end (``\r\n``) quotes them everywhere.
# What follows: write with `lineterminator="\r\n"`, and have the lines end with a line feed afterwards where that matters.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pandas==3.1.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import io
import sys
import warnings

import numpy as np
import pandas as pd

warnings.simplefilter("error")  # there is none
ID = 2**60 + 1
stars = pd.DataFrame({"name": ["V1", "V2\rnote", "V3"], "id": [ID, ID + 1, ID + 2]})
print("Python", sys.version.split()[0], "pandas", pd.__version__, "numpy", np.__version__)
for end in (None, "\r\n"):
    text = stars.to_csv(index=False, lineterminator=end)
    back = pd.read_csv(io.StringIO(text, newline=""))
    print(f"lineterminator={end!r}: wrote {len(stars)} rows, read {len(back)}; the first id is off by {int(back['id'][0]) - ID} as {back['id'].dtype}")
    if end is None and sys.version_info < (3, 13):
        assert "\nV2\rnote," in text, "it is in quotes now"
        assert len(back) == 4 and back["id"].dtype == np.float64 and int(back["id"][0]) != ID, "the rows are kept now"
    else:
        assert '"V2\rnote"' in text
        assert back["id"].tolist() == stars["id"].tolist() and back["name"].tolist() == stars["name"].tolist()
PY
