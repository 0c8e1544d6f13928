#!/bin/sh
# ccdproc combines images without a look at their errors: a pixel that only one image has comes out with an error of zero.
#
# Arithmetic of CCDData carries errors through, and so do `subtract_dark` and `flat_correct`. `combine` and `Combiner.average_combine`, `median_combine` and `sum_combine` of ccdproc 2.5.1 put the scatter of the
# values in their place: numpy's `std` (divided by n, not by n - 1) over sqrt(n). One value has no scatter, so where all images but one are masked or rejected, as under cosmic rays and at the edges of a dither,
# the error is 0, and a fit with weights 1/error^2 stops there or follows that pixel alone. Equal values, of short integer exposures for instance, have 0 as well.
# With few images the error is too small on average: by sqrt((n - 1)/n), and 1 sigma of the mean of two images holds 40 % of the pixels, not 68 %. The result is a StdDevUncertainty like those that went in.
# What follows: combine the variances oneself (the mean of n has sqrt(sum of variances)/n), or treat errors of pixels with few values as unknown; `uncertainty_func=` gets the values only, not their errors.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet ccdproc==2.5.1 astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" -W error -W ignore::DeprecationWarning - <<'PY'
import ccdproc
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty

print("ccdproc", ccdproc.__version__)
SIGMA = 2.0


def image(values: np.ndarray, mask: np.ndarray | None = None) -> CCDData:
    """An image whose error is `SIGMA` in each pixel."""
    return CCDData(values, unit="adu", mask=mask, uncertainty=StdDevUncertainty(np.full(values.shape, SIGMA)))


masked = np.array([[True, False]])
one, other = image(np.array([[10.0, 10.0]]), masked), image(np.array([[10.5, 10.5]]))
assert np.allclose(one.add(other).uncertainty.array[0, 1], SIGMA * np.sqrt(2))
for method in ("average", "median", "sum"):
    both = ccdproc.combine([one, other], method=method)
    print(f"{method} of one value and of two: {both.data[0]} +- {both.uncertainty.array[0].round(3)}, masked {both.mask[0]}")
    assert both.data[0, 0] == 10.5 and not both.mask[0, 0]
    assert both.uncertainty.array[0, 0] == 0.0, "a single value has an error now"
    assert both.uncertainty.array[0, 1] < 0.5, "the errors of the images count now"
same = ccdproc.combine([image(np.full((1, 2), 10.0)) for _ in range(3)], method="average")
assert (same.uncertainty.array == 0.0).all()

rng = np.random.default_rng(1)
for n in (2, 5):
    images = [image(rng.normal(100.0, SIGMA, (300, 300))) for _ in range(n)]
    mean = ccdproc.combine(images, method="average")
    rms = np.sqrt(np.mean(mean.uncertainty.array**2))
    within = np.mean(np.abs(mean.data - 100.0) < mean.uncertainty.array)
    print(f"mean of {n}: scatter {np.std(mean.data):.3f}, rms of the errors {rms:.3f}, within 1 sigma {within:.0%}")
    assert np.isclose(np.std(mean.data), SIGMA / np.sqrt(n), rtol=0.02)
    assert np.isclose(rms, SIGMA / np.sqrt(n) * np.sqrt((n - 1) / n), rtol=0.02)
    assert within < (0.41 if n == 2 else 0.60)
PY
echo "as described"
