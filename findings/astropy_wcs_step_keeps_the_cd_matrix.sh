#!/bin/sh
# Every second pixel of an image with a CD matrix: astropy moves the reference pixel of its WCS and leaves the scale.
#
# astropy 8.0.2 `WCS` takes slices with a step (`wcs[::2, ::2]`), and CCDData passes its own on to it (`ccd[::2, ::2]`), as for quick looks. With PC and CDELT the new
# WCS is right. With a CD matrix, which most survey images have (ZTF's among them), CRPIX is divided by the step and the matrix stays as it was: the scale goes into CDELT,
# which is ignored beside CD. Positions are then wrong by half of their distance from the reference pixel, 8 arcmin in the example. All that is said is the RuntimeWarning
# "cdelt will be ignored since cd is present", which any look at `wcs.cdelt` gives. `SlicedLowLevelWCS` refuses a step by an IndexError.
# What follows: after a slice with a step multiply the columns of `wcs.cd` by the steps of the axes, or turn CD into PC and CDELT first (`wcs.to_header()` writes PC).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import warnings

import numpy as np
from astropy.nddata import CCDData
from astropy.wcs import WCS

SCALE = 1.0125 / 3600


def image(matrix):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [58.0, 35.0], [1536.5, 1540.5]
    if matrix == "CD":
        wcs.wcs.cd = [[-SCALE, 0], [0, -SCALE]]
    else:
        wcs.wcs.cdelt = [-SCALE, -SCALE]
    return CCDData(np.zeros((3080, 3072), "f4"), wcs=wcs, unit="adu")


def off(full, thin):
    """By how many arcsec a pixel of every second pixel is off the place of the four it stands for."""
    return float(thin.pixel_to_world(1000, 1200).separation(full.pixel_to_world(2000.5, 2400.5)).arcsec)


found = {}
for matrix in ("PC", "CD"):
    full = image(matrix)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        thin, ccd = full.wcs[::2, ::2], full[::2, ::2]
    found[matrix] = off(full.wcs, thin)
    print(f"{matrix}: off by {found[matrix]:.3f} arcsec;", "warnings:", {str(one.message) for one in seen} or "none")
    assert ccd.shape == (1540, 1536) and abs(off(full.wcs, ccd.wcs) - found[matrix]) < 1e-6
    assert not seen or all("cdelt will be ignored" in str(one.message) for one in seen)
assert found["PC"] < 1e-3
assert found["CD"] > 60, "the CD matrix is scaled now"

again = WCS(image("CD").wcs.to_header())[::2, ::2]
print(f"CD through to_header(), then every second pixel: off by {off(image('CD').wcs, again):.3f} arcsec")
assert off(image("CD").wcs, again) < 1e-3
PY
echo "as described"
