#!/bin/sh
# Pixels that FITS declares as undefined are ordinary numbers for fitsio, so the same file has another mean in fitsio and in astropy.
#
# In an image of integers the keyword BLANK names the value of undefined pixels. astropy 8.0.2 makes floats of such an image, with NaN there. fitsio 1.4.2 gives the integers as they are, scaled if BSCALE and BZERO
# stand in the header, without a word, also from a compressed image and for a part of an image; there is no option to have them marked. TNULL of a table's column is passed over in the same way.
# (Images of floats have NaN in both, compressed ones too.)
# What follows: with fitsio, compare the raw integers with `header["BLANK"]` before any sum. A value of -32768 is seen soon; one in the middle of the range is not.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet fitsio==1.4.2 astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import fitsio
import numpy as np
from astropy.io import fits

counts = np.full((40, 50), 200, "i2")
counts[:, :10] = 255  # undefined, a fifth of the image
header = fits.Header({"BLANK": 255})
scaled = fits.Header({"BLANK": 255, "BSCALE": 0.5, "BZERO": 10.0})
for name, one in (("plain", header), ("scaled", scaled)):
    hdu = fits.PrimaryHDU(counts)
    hdu.header.update(one)
    hdu.writeto(f"{name}.fits")
packed = fits.CompImageHDU(counts, header, compression_type="RICE_1")
packed.writeto("packed.fits")
column = fits.Column("flag", "I", null=255, array=np.array([1, 255, 3], "i2"))
fits.BinTableHDU.from_columns([column]).writeto("table.fits")

means = {}
for name, ext in (("plain", 0), ("scaled", 0), ("packed", 1)):
    ours, theirs = fits.getdata(f"{name}.fits", ext), fitsio.read(f"{name}.fits", ext=ext)
    with fitsio.FITS(f"{name}.fits") as file:
        part = file[ext][:10, :20]
    undefined = int(np.isnan(ours).sum())
    means[name] = (float(np.nanmean(ours)), float(theirs.mean()), float(part.mean()))
    print(f"{name}: astropy has {undefined} NaN and the mean {means[name][0]}, fitsio {theirs.dtype} and the mean {means[name][1]}")
    assert undefined == 400, name
assert means == {"plain": (200.0, 211.0, 227.5), "scaled": (110.0, 115.5, 123.75), "packed": (200.0, 211.0, 227.5)}, means
flags = fitsio.read("table.fits")["flag"]
print("TNULL 255:", flags.tolist())
assert flags.tolist() == [1, 255, 3]
PY
echo "as described"
