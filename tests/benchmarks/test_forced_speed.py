"""Forced photometry of 1,000 positions in six apertures, beside photutils' exact apertures on the same arrays.

Reading and the background are left out on both sides: both get the same background-subtracted pixels and the map of
excluded ones. ztfdb's time holds sums, effective areas, errors, flags and mask bits; that of photutils its sums and
errors.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.aperture import aperture_sums, flux_errors, mask_in_aperture
from ztfdb.extract.flags import aperture_flags
from ztfdb.extract.prepare import background_mask, excluded_pixels, flagged_pixels, subtract_background
from ztfdb.frame.background import background_at, background_surface, measure_background
from ztfdb.frame.read import read_frame

pytestmark = pytest.mark.benchmark

N_POSITION = 1_000
REPEATS = 9
LEAST_RATIO = 5.0


def test_forced_apertures_beside_photutils(quadrant):
    frame = read_frame(*quadrant)
    mesh = measure_background(frame.data, background_mask(frame.mask))
    excluded = excluded_pixels(frame.data, flagged_pixels(frame.mask))
    data = frame.data
    subtract_background(data, mesh, excluded)
    # float64 as photutils would make it of any other type, outside of its time
    wide, error = data.astype(float), background_surface(mesh, rms=True).astype(float)
    rng = np.random.default_rng(5)
    x, y = rng.uniform(20.0, data.shape[1] - 20.0, N_POSITION), rng.uniform(20.0, data.shape[0] - 20.0, N_POSITION)
    gain, ones = frame.info.gain, np.ones((6, 1))

    def ours():
        sums = aperture_sums(data, x, y, excluded)
        errors = flux_errors(sums.flux, sums.area, background_at(mesh, x, y)[1], ones, gain)
        return sums, errors, aperture_flags(sums), mask_in_aperture(frame.mask, x, y)

    def theirs():
        circles = [CircularAperture(np.transpose([x, y]), r=diameter / 2) for diameter in APERTURE_DIAMETERS]
        return aperture_photometry(wide, circles, error=error, method="exact")

    sums, table = ours()[0], theirs()
    clean = ~sums.incomplete.any(axis=0)
    assert clean.mean() > 0.9
    for k in range(len(APERTURE_DIAMETERS)):
        np.testing.assert_allclose(sums.flux[k, clean], table[f"aperture_sum_{k}"][clean], rtol=1e-5, atol=2e-3)
    pairs = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        pairs.append((middle - start, time.perf_counter() - middle))
    one, other = np.median(pairs, axis=0)
    ratio = float(np.median([b / a for a, b in pairs]))
    print(
        f"\n{N_POSITION} positions, six apertures: ztfdb {1e3 * one:.1f} ms, photutils {1e3 * other:.1f} ms, "
        f"ratio {ratio:.1f} (bar {LEAST_RATIO:g})"
    )
    assert ratio >= LEAST_RATIO
