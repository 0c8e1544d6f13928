#!/bin/sh
# ztfquery says that no field of ZTF contains (359.9, 10), and that two fields contain (-0.1, 10), the same place.
#
# `ztfquery.fields.get_fields_containing_target` of ztfquery 1.28.0 compares the right ascension, as a plain number, with outlines that run past 360 or
# below 0 degrees. A field across RA 0 is found from one of its sides only. Of random places with a right ascension from 352 to 360 a quarter lose
# fields, and one in eleven all of them; from 0 to 8 it is a fifth and one in sixty. Between 100 and 108 none does. Nothing is warned of: an empty answer reads like "ZTF never looked
# there". Within a degree of the pole the outlines contain nothing either, though fields are centred at a declination of 88.5.
# What follows: ask for the right ascension, for it less 360 and for it plus 360, and join the three; near the pole ask for the images of a position.
# numpy is held at 2.2, as this version of ztfquery calls `numpy.in1d`, which newer ones no longer have.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet ztfquery==1.28.0 numpy==2.2.6 geopandas==1.2.0
cd "$work"
HOME="$work" "$work/env/bin/python" -W ignore - <<'PY'
import numpy as np
import ztfquery
from ztfquery import fields

N_PLACE = 300


def found(ra, dec):
    return set(fields.get_fields_containing_target(ra, dec).tolist())


print("ztfquery", ztfquery.__version__, "numpy", np.__version__)
for ra in (359.9, -0.1, 360.1, 0.1):
    print(f"({ra}, 10): fields {sorted(found(ra, 10.0))}")
assert found(-0.1, 10.0) and not found(359.9, 10.0), "the same place has the same fields now"
rng = np.random.default_rng(1)
lost = {}
for low in (352, 0, 100):
    places = zip(rng.uniform(low, low + 8, N_PLACE), rng.uniform(-25, 75, N_PLACE))
    pairs = [(found(ra, dec), found(ra, dec) | found(ra - 360, dec) | found(ra + 360, dec)) for ra, dec in places]
    fewer = sum(len(one) < len(whole) for one, whole in pairs)
    none = sum(not one and bool(whole) for one, whole in pairs)
    lost[low] = (fewer, none)
    print(f"RA {low} to {low + 8}: {fewer} of {N_PLACE} places lose fields, {none} lose all")
assert lost[352][0] > 50 and lost[0][0] > 40 and lost[100] == (0, 0), "fields are found across RA 0 now"
centres = fields.FIELD_DATAFRAME
print(f"(10, 89.5): fields {sorted(found(10.0, 89.5))}; centred above declination 88: {sorted(centres.index[centres['Dec'] > 88].tolist())}")
assert not found(10.0, 89.5)
PY
echo "as described"
