#!/bin/sh
# sep: an aperture gets the same error however much of it is masked.
#
# sep 1.4.1 fills masked pixels of an aperture with the mean of the others, as its documentation says. One expects the error to grow with the part that is filled. It stays as it
# is without a mask: the variance is scaled up by the same factor as the flux, where the square of that factor belongs. With 58 % of a circle of radius 4 left and noise of 1 per pixel,
# the sums scatter by 8.8 and `sumerr` says 7.1; with 27 % left by 12.9, and `sumerr` says 7.1. So what lies half under a mask looks more significant than it is.
# photutils 3.0.0 leaves masked pixels out of the sum and out of its error: their ratio is right, and half of sep's in the second case.
# What follows: divide `sumerr` by the square root of the share of the aperture that is left. `sum_circle` of an image that is 1 where nothing is masked and 0 elsewhere tells the share.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet sep==1.4.1 photutils==3.0.0 astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import numpy as np
import sep
from photutils.aperture import CircularAperture, aperture_photometry

RADIUS, TIMES = 4.0, 3000
rng = np.random.default_rng(1)
noise = rng.normal(0, 1, (TIMES, 21, 21))
print("sep", sep.__version__)
errors = []
for first in (21, 13, 11, 9):
    mask = np.zeros((21, 21), bool)
    mask[:, first:] = True
    left = sep.sum_circle((~mask).astype(float), [10.0], [10.0], RADIUS, subpix=0)[0][0] / (np.pi * RADIUS**2)
    sums = [sep.sum_circle(image, [10.0], [10.0], RADIUS, err=1.0, mask=mask, subpix=0)[:2] for image in noise]
    scatter, error = np.std([flux[0] for flux, _ in sums]), float(sums[0][1][0])
    other = aperture_photometry(noise[0], CircularAperture((10, 10), RADIUS), error=np.ones((21, 21)), mask=mask)
    ratio, theirs = float(sums[0][0][0] / error), float(other["aperture_sum"][0] / other["aperture_sum_err"][0])
    print(f"{left:.2f} left: scatter {scatter:.2f}, error {error:.2f}, divided by the root {error / left**0.5:.2f}; flux/error {ratio:.2f}, photutils {theirs:.2f}")
    errors.append(error)
    # partly covered pixels count a little more than they scatter, which makes both errors 5 % larger
    assert 1 < error / left**0.5 / scatter < 1.1
    assert abs(ratio * left**0.5 - theirs) < 1e-3 * abs(theirs)
assert max(errors) - min(errors) < 1e-9, "the error depends on the masked share now"
assert left < 0.3
PY
echo "as described"
