#!/bin/sh
# ztfimg's aperture photometry of a science image counts the pixels of its mask, and with dask it has no errors and no background.
#
# `ScienceQuadrant.get_aperture` of ztfimg 0.19.0 says that `mask` is an image whose pixels are left out, and that the mask of the image is used if none is
# given. It passes none on: a hit by a cosmic ray in the aperture, flagged in ZTF's mask, is part of the flux, with the mask of the image, with a mask that is
# given and without, and the flag of the measurement is 0. `Image.get_aperture`, which it calls, takes a mask and obeys it. With `use_dask=True`, `err`,
# `bkgann` and the mask are all left out: errors are 0, and the sky is part of the flux. The same call gives 2.9e5 on an array and 3.0e5 with dask, where
# sep gives 2.3e5.
# What follows: call `sep.sum_circle` on `get_data()` with the mask and the noise.
# Older versions are pinned, as ztfimg needs numpy 1. `get_data()` is a view from behind, which sep does not take, so a copy is given.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet ztfimg==0.19.0 ztfquery==1.28.0 sep==1.4.1 numpy==1.26.4 scipy==1.14.1 pandas==2.3.3 \
    pyarrow==19.0.1 astropy==6.1.7 dask==2025.1.0 pyyaml==6.0.2
cd "$work"
HOME="$work" "$work/env/bin/python" -W ignore - <<'PY'
import numpy as np
import sep
import ztfimg
from astropy.io import fits

SHAPE, RADIUS, SKY = (3080, 3072), 5.0, (10.0, 20.0)
ROW, COLUMN = 1200, 1000  # as in get_data(), which turns the image by 180 degrees
NAME = "ztf_20220704387176_000695_zr_c11_o_q3_sciimg.fits"
MASK = NAME.replace("sciimg", "mskimg")

rng = np.random.default_rng(1)
image = rng.normal(100.0, 5.0, SHAPE).astype(np.float32)
flags = np.zeros(SHAPE, np.int16)
y, x = np.mgrid[-10:11, -10:11]
turned = image[::-1, ::-1]
turned[ROW - 10 : ROW + 11, COLUMN - 10 : COLUMN + 11] += 1e4 * np.exp(-(x**2 + y**2) / 8.0)
turned[ROW, COLUMN + 1] += 5e4
flags[::-1, ::-1][ROW, COLUMN + 1] = 1 << 8  # saturated
fits.PrimaryHDU(image).writeto(NAME)
fits.PrimaryHDU(flags).writeto(MASK)

quadrant = ztfimg.ScienceQuadrant.from_filename(NAME, filename_mask=MASK)
data, mask = (np.ascontiguousarray(part) for part in (quadrant.get_data().astype("f4"), quadrant.get_mask()))
noise = np.full(SHAPE, 5.0, np.float32)
place = np.array([float(COLUMN)]), np.array([float(ROW)]), np.array([[RADIUS]])
assert np.argwhere(mask).tolist() == [[ROW, COLUMN + 1]]


def measured(image, **options):
    found = image.get_aperture(*place, err=noise, **options)
    return [float(one) for one in np.asarray(found.compute() if hasattr(found, "compute") else found).ravel()]


def truth(**options):
    return [float(one[0]) for one in sep.sum_circle(data, *place[:2], RADIUS, err=noise, subpix=0, **options)]


print("ztfimg", ztfimg.__version__, "sep", sep.__version__)
print("sep, without and with the mask:", truth(), truth(mask=mask))
print("ScienceQuadrant, no mask given: ", measured(quadrant, data=data))
print("ScienceQuadrant, mask given:    ", measured(quadrant, data=data, mask=mask))
assert np.allclose(measured(quadrant, data=data), truth()) and np.allclose(measured(quadrant, data=data, mask=mask), truth()), "masks count now"
plain = np.asarray(ztfimg.Image.get_aperture(quadrant, *place, data=data, err=noise, mask=mask, as_dataframe=False)).ravel()
print("Image, mask given:              ", plain.tolist())
assert np.allclose(plain, truth(mask=mask)) and truth()[0] - plain[0] > 5e4

dask = ztfimg.ScienceQuadrant.from_filename(NAME, filename_mask=MASK, use_dask=True)
print("background of a ring: sep", truth(mask=mask, bkgann=SKY), "array", measured(quadrant, data=data, bkgann=SKY), "dask", measured(dask, bkgann=SKY))
assert np.allclose(measured(quadrant, data=data, bkgann=SKY), truth(bkgann=SKY))
assert np.allclose(measured(dask, bkgann=SKY), [truth()[0], 0.0, 0.0]), "dask gives errors and a background now"
PY
echo "as described"
