#!/bin/sh
# Astropy drops BSCALE and BZERO from a header that is given with raw pixels, also when it is told not to scale: 104.5 becomes 189.
#
# To compress or cut images of scaled integers without a loss, one opens them with `do_not_scale_image_data=True` and hands the raw pixels and their
# header to a new `PrimaryHDU`, `ImageHDU` or `CompImageHDU`. In astropy 8.0.2 the new HDU has neither BSCALE nor BZERO, whatever its own
# `do_not_scale_image_data` is, and the file is written without them: each reader takes the raw numbers for the values. No warning is given. The header
# that was handed over still has both. `HDUList.writeto` of the HDU that was opened keeps them.
# What follows: set the two keywords in the new HDU's header once it is made, which is kept and obeyed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" -W error - <<'PY'
from pathlib import Path

import astropy
import numpy as np
from astropy.io import fits

print("astropy", astropy.__version__, "numpy", np.__version__)
raw = (3 * np.arange(64, dtype=np.int16)).reshape(8, 8)
cards = [("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 8), ("NAXIS2", 8), ("BSCALE", 0.5), ("BZERO", 10.0)]
pixels = raw.astype(">i2").tobytes()
Path("image.fits").write_bytes(fits.Header(cards).tostring().encode() + pixels + b"\0" * (-len(pixels) % 2880))


def last_pixel(name):
    with fits.open(name) as found:
        return float(found[-1].data[7, 7])


value = last_pixel("image.fits")
print(f"as stored: {raw[7, 7]}, its value: {value}")
assert value == 0.5 * raw[7, 7] + 10
with fits.open("image.fits", do_not_scale_image_data=True) as found:
    data, header = found[0].data, found[0].header
    found.writeto("again.fits")
    assert data[7, 7] == raw[7, 7] and (header["BSCALE"], header["BZERO"]) == (0.5, 10.0)
    for kind in (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU):
        for scaled in (False, True):
            name = f"{kind.__name__}_{scaled}.fits"
            kind(data, header.copy(), do_not_scale_image_data=not scaled).writeto(name)
            print(f"{kind.__name__}, do_not_scale_image_data={not scaled}: {last_pixel(name)}")
            assert last_pixel(name) == raw[7, 7], "the scale is kept now"
        made = kind(data, header.copy())
        made.header["BSCALE"], made.header["BZERO"] = 0.5, 10.0
        made.writeto(f"{kind.__name__}_set.fits")
        assert last_pixel(f"{kind.__name__}_set.fits") == value
assert last_pixel("again.fits") == value
print("set afterwards, or written by the HDU that was opened: kept")
PY
echo "as described"
