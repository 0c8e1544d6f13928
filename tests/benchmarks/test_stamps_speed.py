"""How many stamps a second: ztfdb against memory-mapped astropy and Cutout2D, the same work side by side.

The work: from (ra, dec) of a star on 300 uncompressed quadrants to 23 × 23 pixels of data and mask with their WCS,
every file opened anew. Of 142 small frames of integers: against reading each file whole, as a compressed one is.
"""

from __future__ import annotations

import time
import warnings
from unittest.mock import patch

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

import ztfdb
from tests.benchmarks.conftest import N_SMALL
from tests.support.integers import read_by_astropy
from tests.support.quadrants import N_IMAGE, SPOT
from ztfdb.frame.window import PixelFile
from ztfdb.sky.projection import pixel_to_sky

pytestmark = pytest.mark.benchmark

SIZE = 23
RATIO = 30.0
PER_SECOND = 3_000.0
INTEGERS_RATIO = 3.0
N_POSITION = 20
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


def test_stamps_of_integers(small_frames, engine_url):
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(small_frames)
        image = archive.sql("select image_id, nx, ny from image order by obsmjd limit 1", force=True)
        bright = archive.sql(
            "select ra, dec from source where image_id = :i and x between 30 and 600 and y between 30 and 450 "
            "order by flux_aper4 desc limit :n",
            i=int(image["image_id"][0]), n=N_POSITION, force=True,
        )  # fmt: skip
        places = list(zip(bright["ra"].tolist(), bright["dec"].tolist(), strict=True))
        for stamp in list(archive.stamps(*places[0], size=SIZE))[::20]:
            rows, cols = slice(stamp.y0, stamp.y0 + SIZE), slice(stamp.x0, stamp.x0 + SIZE)
            np.testing.assert_array_equal(stamp.data, read_by_astropy(stamp.facts["path"])[rows, cols])

        def cost():
            used = time.process_time()
            n = sum(len(archive.stamps(*place, size=SIZE)) for place in places)
            assert n == N_POSITION * N_SMALL
            return (time.process_time() - used) / n

        table = {"ra": [ra for ra, _ in places], "dec": [dec for _, dec in places]}
        together, pairs = [], []
        for _ in range(5):
            ours = cost()
            used = time.process_time()
            assert len(archive.stamps_at(table, size=SIZE)) == N_POSITION * N_SMALL
            together.append((time.process_time() - used) / (N_POSITION * N_SMALL))
            with patch.object(PixelFile, "_is_plain", lambda self: False):
                pairs.append((ours, cost()))
        ratio = np.median([whole / ours for ours, whole in pairs])
        ours, whole = np.median(pairs, axis=0)
        name = archive.url.partition(":")[0]
        figures = f"{1e3 * ours:.3f} CPU ms each, files read whole {1e3 * whole:.3f}, ratio {ratio:.1f}"
        print(f"\n{name}: stamps of integers {figures}; of a table {1e3 * np.median(together):.3f} CPU ms each")
        assert whole / np.median(together) >= INTEGERS_RATIO
        assert ratio >= INTEGERS_RATIO
