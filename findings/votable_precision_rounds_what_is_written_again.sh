#!/bin/sh
# A VOTable that says how many digits to show makes astropy write new values with no more digits than that.
#
# The attribute `precision` of a FIELD is advice for display; many services set it. astropy 8.0.2 reads all digits of the data and keeps the advice with the column, as
# its format and in its `meta`. From then on it holds for whatever is in the column when it is written as text: after `table["ra"] += 1.2e-5`, with precision="4",
# VOTables in their default serialisation (TABLEDATA), CSV and IPAC tables are rounded to 0.36 arcsec without a warning. FITS, ECSV, and VOTable as "binary2" are exact, and so is the
# table in memory, so what is lost depends on the name of the file. FITS tables do the same to CSV and IPAC by their TDISPn cards, which SExtractor writes, but not to VOTable.
# What follows: before text is written from a table that was read, set `column.info.format = None` and take "precision" out of `column.info.meta`, for each column. Without
# the second step VOTables are still rounded.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import io
import warnings

import numpy as np
from astropy.io import fits
from astropy.table import Table

warnings.simplefilter("error")
VOTABLE = b"""<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results"><TABLE>
<FIELD name="ra" datatype="double" precision="4" unit="deg"/><DATA><TABLEDATA><TR><TD>58.00315123456789</TD></TR></TABLEDATA></DATA>
</TABLE></RESOURCE></VOTABLE>"""
WAYS = {
    "votable": {"format": "votable"}, "binary2": {"format": "votable", "tabledata_format": "binary2"}, "csv": {"format": "ascii.csv"},
    "ipac": {"format": "ascii.ipac"}, "ecsv": {"format": "ascii.ecsv"}, "fits": {"format": "fits"},
}


def lost(table, way):
    """By how many arcsec the position differs that is read back."""
    options = WAYS[way]
    table.write(f"t.{way}", overwrite=True, **options)
    return abs(float(Table.read(f"t.{way}", format=options["format"])["ra"][0]) - float(table["ra"][0])) * 3600


def losses(table):
    return {way: round(lost(table, way), 4) for way in WAYS}


read = Table.read(io.BytesIO(VOTABLE), format="votable")
assert read["ra"][0] == 58.00315123456789
read["ra"] += 1.2e-5
from_votable = losses(read)
print("arcsec lost after a VOTable with precision=4:", from_votable)

display = fits.Column("ra", "D", array=np.array([58.00315123456789]), disp="F9.4")
fits.BinTableHDU.from_columns([display]).writeto("disp.fits")
from_fits = losses(Table.read("disp.fits"))
print("arcsec lost after FITS with TDISP F9.4:      ", from_fits)

for column in read.itercols():
    column.info.format = None
without_format = losses(read)
print("arcsec lost without the format:              ", without_format)
for column in read.itercols():
    del column.info.meta["precision"]
without_both = losses(read)
print("arcsec lost without format and precision:    ", without_both)

text, exact = ("csv", "ipac"), ("binary2", "ecsv", "fits")
assert all(from_votable[way] > 0.1 for way in ("votable", *text)) and all(from_votable[way] == 0 for way in exact)
assert all(from_fits[way] > 0.1 for way in text) and all(from_fits[way] == 0 for way in ("votable", *exact))
assert without_format["votable"] > 0.1 and all(without_format[way] == 0 for way in (*text, *exact))
assert set(without_both.values()) == {0.0}
PY
echo "as described"
