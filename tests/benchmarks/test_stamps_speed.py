"""How many stamps a second: ztfdb against memory-mapped astropy and Cutout2D, the same work side by side.

The work: from (ra, dec) of a star on 300 uncompressed quadrants to 23 × 23 pixels of data and mask with their WCS,
every file opened anew.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from tests.support.quadrants import N_IMAGE, SPOT
from ztfdb.sky.projection import pixel_to_sky

pytestmark = pytest.mark.benchmark

SIZE = 23
RATIO = 30.0
PER_SECOND = 3_000.0
N_ASTROPY = 40
"""Images that astropy is timed on: it takes tens of milliseconds for each."""


def cut_with_astropy(sci, msk, position):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(sci, memmap=True) as image, fits.open(msk, memmap=True) as mask:
            wcs = WCS(image[0].header)
            data = Cutout2D(image[0].data, position, SIZE, wcs=wcs, mode="partial", copy=True)
            bits = Cutout2D(mask[0].data, position, SIZE, wcs=wcs, mode="partial", fill_value=0, copy=True)
    return data, bits


def test_stamps_of_one_position(seen):
    archive, wcs = seen
    ra, dec = pixel_to_sky(wcs, *SPOT)
    series = archive.stamps(ra, dec, size=SIZE)
    paths = series.to_pandas()["path"].tolist()
    assert len(series) == N_IMAGE
    position = SkyCoord(ra * u.deg, dec * u.deg)
    for number in range(0, N_IMAGE, max(1, N_IMAGE // 5)):
        data, bits = cut_with_astropy(paths[number], paths[number].replace("sciimg", "mskimg"), position)
        np.testing.assert_array_equal(series[number].data, data.data)
        np.testing.assert_array_equal(series[number].mask, bits.data)
        assert np.allclose(series[number].wcs.wcs.crpix, data.wcs.wcs.crpix)
    ours, cpu, theirs = [], [], []
    for _ in range(7):
        start, used = time.perf_counter(), time.process_time()
        archive.stamps(ra, dec, size=SIZE)
        ours.append(N_IMAGE / (time.perf_counter() - start))
        cpu.append(N_IMAGE / (time.process_time() - used))
        start = time.perf_counter()
        for path in paths[: N_ASTROPY // 4]:
            cut_with_astropy(path, path.replace("sciimg", "mskimg"), position)
        theirs.append(len(paths[: N_ASTROPY // 4]) / (time.perf_counter() - start))
    ratio = np.median(np.array(ours) / np.array(theirs))
    name = archive.url.partition(":")[0]
    figures = (
        f"{np.median(ours):,.0f} stamps/s ({np.median(cpu):,.0f} per CPU second), astropy {np.median(theirs):,.1f}/s"
    )
    print(f"\n{name}: {figures}, ratio {ratio:.0f}")
    assert ratio >= RATIO
    assert max(*ours, *cpu) >= PER_SECOND  # warm files wait for nothing but the CPU, which others use, too
