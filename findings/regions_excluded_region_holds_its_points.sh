#!/bin/sh
# A region that a DS9 file takes out, `-circle(…)`, is read by `regions` as a region like any other; one version earlier it held all points but those in it.
#
# The minus sign of a DS9 file (and the `!` of a FITS region table) ends in `meta["include"]` = 0, which nothing in regions 0.12 reads: `contains`, `to_mask`, `area` and
# `photutils.aperture.region_to_aperture` treat the excluded circle as an included one. Whoever adds up the masks of a file of stars to keep and a bleed trail to leave out gets the trail as well.
# In regions 0.11 `contains` of such a region was true outside and false inside, while its `to_mask` was already the inside, so the two contradicted each other. `contains` changed its answer without a
# warning. Both write the region back to DS9 without its minus sign, as `circle(…) # include=0`.
# What follows: look at `meta.get("include", True)` of each region after reading, and take the masks of excluded regions away from those before them, in the order of the file.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >run.py <<'PY'
import sys

import numpy as np
import regions
from regions import PixCoord, Regions

WRITTEN = "image\ncircle(51,51,20)\n-circle(51,51,10)\n"
late = sys.argv[1] == "0.12"
kept, excluded = Regions.parse(WRITTEN, format="ds9")
inside, ring, outside = (PixCoord(x, 50) for x in (50, 65, 90))
print("regions", regions.__version__, [dict(one.meta) for one in (kept, excluded)])
assert not excluded.meta["include"] and kept.meta["include"]
holds = [bool(excluded.contains(one)) for one in (inside, ring, outside)]
print("the excluded circle contains its middle, the ring around it, a point far away:", holds)
assert holds == ([True, False, False] if late else [False, True, True]), "contains answers otherwise now"
mask = excluded.to_mask(mode="center").to_image((101, 101))
assert mask[50, 50] == 1 and mask[50, 90] == 0 and np.isclose(excluded.area, np.pi * 100)
union = sum(one.to_mask(mode="center").to_image((101, 101)) for one in (kept, excluded)) > 0
print("the middle in the sum of both masks:", bool(union[50, 50]))
assert union[50, 50]
back = Regions([kept, excluded]).serialize(format="ds9").splitlines()[-1]
print("written back:", back)
assert back.startswith("circle(") and back.endswith("# include=0")
table = Regions([kept, excluded]).serialize(format="fits")
assert [str(one).strip() for one in table["SHAPE"]] == ["circle", "!circle"]
_, again = Regions.parse(table, format="fits")
assert bool(again.contains(inside)) is late
if late:
    from photutils.aperture import region_to_aperture

    assert region_to_aperture(excluded).area == excluded.area
PY
for version in 0.11 0.12; do
    python3 -m venv "$work/$version"
    more=$([ "$version" = 0.12 ] && echo photutils==3.0.0 || true)
    # shellcheck disable=SC2086
    "$work/$version/bin/python" -m pip install --quiet "regions==$version" astropy==8.0.2 numpy==2.4.6 $more
    "$work/$version/bin/python" -W ignore::DeprecationWarning run.py "$version"
done
echo "as described"
