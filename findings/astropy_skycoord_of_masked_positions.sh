#!/bin/sh
# A star without a position matches: SkyCoord forgets the mask of a table's columns, and where it keeps a mask, the search for the nearest star does not look at it.
#
# astropy 8.0.2. A CSV file of targets lacks one right ascension. `Table.read` masks that cell, and a zero lies beneath.
# 1. `SkyCoord(table["ra"], table["dec"])`, and `SkyCoord.guess_from_table(table)`, give a coordinate that is not masked: the star stands at right ascension 0, and whatever
#    is there is "found". The same file as a `QTable` gives a masked coordinate, so one expects the same, or an error, of a `Table`. `Column.quantity` drops the mask too.
# 2. `match_to_catalog_sky` in a catalogue that is masked so returns the masked entry, not the star 3.6 arcsec away which is the nearest of those with a position. The separation that it
#    returns is masked: who cuts by `separation < radius` loses the match that exists. `search_around_sky` lists the masked entry as a neighbour within the radius.
# There is no warning in any of these.
# What follows: drop rows with a masked coordinate before a SkyCoord is made of a table, for the targets and for the catalogue.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6 scipy==1.17.1
cd "$work"
cat >targets.csv <<'CSV'
name,ra,dec
first,10.5,1.5
unknown,,2.5
third,0.001,2.5
CSV
"$work/env/bin/python" - <<'PY'
import warnings

import astropy.units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

warnings.simplefilter("error")
table = Table.read("targets.csv", format="ascii.csv")
table["ra"].unit = table["dec"].unit = "deg"
assert table["ra"].mask.tolist() == [False, True, False]

print("1. the star without a right ascension:")
for how, made in (
    ("SkyCoord(ra, dec)", SkyCoord(table["ra"], table["dec"])),
    ("guess_from_table", SkyCoord.guess_from_table(table)),
    ("of quantities", SkyCoord(table["ra"].quantity, table["dec"].quantity)),
):
    print(f"   {how}: masked {made.masked}, at {made[1].to_string('decimal')}")
    assert not made.masked and made[1].ra.deg == 0, "the mask is kept now"
masked = SkyCoord(QTable(table)["ra"], QTable(table)["dec"])
print(f"   of a QTable: masked {masked.masked}")
assert masked.masked

print("2. nearest to 0 2.5, where the third star is 3.6 arcsec away:")
here = SkyCoord([0.0] * u.deg, [2.5] * u.deg)
index, separation, _ = here.match_to_catalog_sky(masked)
print(f"   match_to_catalog_sky: {table['name'][index[0]]}, separation masked {bool(separation.mask[0])}")
assert table["name"][index[0]] == "unknown" and separation.mask[0], "masked entries are left out now"
entries = here.search_around_sky(masked, 10 * u.arcsec)[0]
print(f"   search_around_sky: {[str(name) for name in table['name'][entries]]}")
assert sorted(table["name"][entries]) == ["third", "unknown"]
PY
echo "as described"
