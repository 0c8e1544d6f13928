#!/bin/sh
# Astropy writes a masked column of flags to FITS so that rows with all six bits set, 63, come back masked too.
#
# A column with masked integers gets TNULL, which astropy 8.0.2 takes from the column's `fill_value`: numpy's 999999, cut down to the type. That is 63 in
# a column of bytes, 16959 in one of 16 bits and 999999 in wider ones. None of them is checked against the values that are there, so rows that hold this
# number are masked after they are read. The file says so itself: a reader that heeds TNULL takes them for missing. A masked boolean comes back as True,
# as astropy writes no third state. Nothing is warned of. ECSV, VOTable and Parquet keep both.
# What follows: set `fill_value` to a number that does not occur before writing a masked column of integers; write masked booleans as integers.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6 fitsio==1.3.0
cd "$work"
"$work/env/bin/python" -W error - <<'PY'
import astropy
import fitsio
import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table

print("astropy", astropy.__version__, "numpy", np.__version__)
for kind, taken in (("u1", 63), ("i2", 16959), ("i4", 999999), ("i8", 999999)):
    table = Table({"flags": MaskedColumn(np.array([taken, 1, 7], kind), mask=[False, False, True])})
    table.write(f"{kind}.fits")
    null = fits.getheader(f"{kind}.fits", 1)["TNULL1"]
    back = Table.read(f"{kind}.fits")["flags"]
    print(f"{kind}: {table['flags'].tolist()} -> TNULL {null} -> {back.tolist()}")
    assert null == taken and np.ma.getmaskarray(back).tolist() == [True, False, True], "the value is kept now"
    raw = fitsio.read(f"{kind}.fits")["flags"].tolist()
    assert raw[0] == raw[2] == null, "the file tells the two rows apart now"

    column = table["flags"].copy()
    column.fill_value = np.iinfo(kind).max
    Table({"flags": column}).write(f"{kind}_set.fits")
    assert Table.read(f"{kind}_set.fits")["flags"].tolist() == [taken, 1, None]
print("with a fill_value that does not occur: kept")

table = Table({"seen": MaskedColumn([True, False, False], mask=[False, False, True])})
table.write("seen.fits")
back = Table.read("seen.fits")["seen"].tolist()
print(f"booleans: {table['seen'].tolist()} -> {back}")
assert back == [True, False, True], "a masked boolean is kept now"
table.write("seen.ecsv")
assert Table.read("seen.ecsv")["seen"].tolist() == [True, False, None]
PY
echo "as described"
