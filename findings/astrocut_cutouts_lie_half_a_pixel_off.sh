#!/bin/sh
# The position that an astrocut cutout was asked for lies up to one pixel behind the cutout's middle, never before it.
#
# astrocut 1.4.0 `fits_cut` rounds the edges of a cutout in such a way that the position is 0 to 1 pixel behind the middle, half a pixel in the mean, for odd and even sizes. `Cutout2D` of
# astropy 8.0.2 places it within half a pixel on either side: of 21 pixels around a star at pixel 1000.6 its middle one is 1001, astrocut's 1000. The two are one pixel apart for
# half of the positions, in each direction. The WCS of both is right.
# What follows: whoever takes the middle pixel, or lays an aperture there, without asking the WCS, measures half of the stars one pixel off; a stack of such
# cutouts is shifted by half a pixel. Ask the WCS for the position.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astrocut==1.4.0 astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import numpy as np
from astrocut import fits_cut
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

N = 2048
wcs = WCS(naxis=2)
wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [58.0, 35.7], [1024.0, 1024.0]
wcs.wcs.cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) * 1.01 / 3600
column = np.broadcast_to(np.arange(N, dtype="f4"), (N, N)).copy()  # each pixel holds the number of its column
fits.PrimaryHDU(column, wcs.to_header()).writeto("columns.fits")
FRACTIONS = np.arange(0.05, 1.0, 0.1)


def behind_the_middle(size):
    """How far positions lie behind the middle of astrocut's and of astropy's cutouts, pixels."""
    found = []
    for fraction in FRACTIONS:
        position = SkyCoord.from_pixel(1000 + fraction, 1000 + fraction, wcs)
        hdu = fits_cut("columns.fits", position, (size, size), memory_only=True, single_outfile=True)[0][1]
        other = Cutout2D(column, position, (size, size), wcs=wcs)
        assert hdu.data.shape == other.data.shape == (size, size)
        own = [1000 + fraction - one[0, 0] - (size - 1) / 2 for one in (hdu.data, other.data)]
        by_wcs = position.to_pixel(WCS(hdu.header))[0] - (size - 1) / 2
        assert abs(own[0] - by_wcs) < 1e-3, "the WCS is not that of the pixels"
        found.append(own)
    return np.array(found).T


print("position of a star in its pixel:   ", *np.round(FRACTIONS, 2))
for size in (21, 20):
    for name, one in zip(("astrocut", "Cutout2D"), behind_the_middle(size)):
        print(f"{size} pixels, {name}, behind the middle:", *np.round(one, 2))
for size in (21, 20):
    astrocuts, astropys = behind_the_middle(size)
    assert (astrocuts > 0).all() and (astrocuts < 1).all() and abs(astrocuts.mean() - 0.5) < 0.01, "they are centred now"
    assert (np.abs(astropys) < 0.5).all() and abs(astropys.mean()) < 0.06
    apart = astrocuts - astropys
    assert ((np.abs(apart) < 1e-3) | (np.abs(apart - 1) < 1e-3)).all() and (apart > 0.5).sum() == 5
PY
echo "as described"
