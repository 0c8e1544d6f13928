#!/bin/sh
# astropy: a row whose first text begins with ``#`` is written to ECSV without quotes, and is a comment when the file is read: the row is lost without a word.
#
# The writer quotes a text only where it holds the delimiter, a quote or a line feed, and the reader drops every line that begins with ``#``, also below the names.
# Both are astropy's own, with default options, and neither warns. So a catalogue that names its stars ``#1``, ``#2``, … is empty when it is read
# again, and the rows of two files that belong together no longer correspond. The text formats ``ascii.basic``, ``ascii.tab``, ``ascii.rst`` and
# ``ascii.commented_header`` do the same; ``ascii.csv``, ``ascii.ipac`` and ``ascii.fixed_width`` keep the row. A further text that str.splitlines divides, such as U+2028 or a
# vertical tab in a form, is written without quotes as well, and the whole file can then not be read.
# What follows: put a column of numbers first, or quote texts oneself. Compare the number of rows after a round trip.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.1
cd "$work"
"$work/env/bin/python" - <<'PY'
import io
import warnings

import astropy
from astropy.io.ascii import InconsistentTableError
from astropy.table import Table

warnings.simplefilter("error")  # there is none


def again(table, form):
    text = io.StringIO()
    table.write(text, format=form)
    return Table.read(text.getvalue(), format=form, guess=False)


print("astropy", astropy.__version__)
stars = Table({"name": ["#1", "#2", "V1", "#3"], "mag": [17.0, 18.0, 19.0, 20.0]})
for form in ("ascii.ecsv", "ascii.basic", "ascii.tab", "ascii.commented_header"):
    back = again(stars, form)
    print(f"{form}: wrote {len(stars)} rows, read {len(back)}: {back['name'].tolist()}")
    assert back["name"].tolist() == ["V1"], "the rows are kept now"
for form in ("ascii.csv", "ascii.ipac"):
    back = again(stars, form)
    print(f"{form}: wrote {len(stars)} rows, read {len(back)}")
    assert back["name"].tolist() == stars["name"].tolist()
assert again(stars["mag", "name"], "ascii.ecsv")["name"].tolist() == stars["name"].tolist(), "as a second column it is kept"
try:
    again(Table({"name": ["\u2028", "V1"], "mag": [17.0, 18.0]}), "ascii.ecsv")
except InconsistentTableError as exc:
    print("ascii.ecsv with U+2028:", str(exc).splitlines()[0])
else:
    raise AssertionError("a text that divides lines is read again now")
PY
