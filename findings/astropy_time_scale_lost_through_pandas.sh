#!/bin/sh
# Times of the scale TDB come back from pandas as UTC with the same clock reading: 69 seconds off.
#
# astropy 8.0.2 `Table.to_pandas()` turns a column of `Time` into datetime64 and `Table.from_pandas()` turns datetime64 into a column of `Time` again. One expects instants to survive, or
# the clock to be set to UTC, which is what datetime64 and a time zone of UTC mean to others. What goes into the frame is the reading in the column's own scale, TDB for
# barycentric times of light curves, without a note; what comes back has the scale UTC. There is no warning in either direction. A column in UTC survives, so tests
# with UTC see nothing. Who sets the time zone UTC in pandas gets the same 69 seconds.
# What follows: pass `.utc` into pandas, or numbers (`bjd_tdb = time.tdb.jd`) whose name carries the scale.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 pandas==3.1.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import warnings

import pandas as pd
from astropy.table import Table
from astropy.time import Time

warnings.simplefilter("error")
START = Time([2459000.75], format="jd", scale="tdb")

moved = {}
for name, times in (("tdb", START), ("utc", START.utc)):
    frame = Table({"time": times, "mag": [17.5]}).to_pandas()
    back = Table.from_pandas(frame)["time"]
    stamp = frame["time"].iloc[0].tz_localize("UTC")
    outside = stamp.timestamp() - times.unix[0]
    moved[name] = float((back - times)[0].sec)
    print(f"{name}: in pandas {frame['time'].iloc[0]}, back as {back.scale}, moved by {moved[name]:.3f} s; as seen by others {outside:.3f} s")
    assert back.scale == "utc" and pd.api.types.is_datetime64_dtype(frame["time"])
    assert abs(outside - moved[name]) < 1e-3
assert 69.1 < moved["tdb"] < 69.2, "the scale survives now"
assert abs(moved["utc"]) < 1e-5
PY
echo "as described"
