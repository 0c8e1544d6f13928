"""Cutouts around bright stars: what the star's wings in the sky make wrong by more than its error is flagged."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from tests.support.quadrant import real_data
from ztfdb.bits import Caveat, SourceFlag
from ztfdb.extract.measure import measure_image
from ztfdb.extract.sky import AREA
from ztfdb.simulate import make_science_image

X, Y = 200.3, 199.6


def cut(full, x, y, side, path):
    x0, y0 = round(x) - side // 2, round(y) - side // 2
    header = fits.getheader(full)
    header["CRPIX1"] -= x0
    header["CRPIX2"] -= y0
    fits.PrimaryHDU(fits.getdata(full)[y0 : y0 + side, x0 : x0 + side], header).writeto(path, overwrite=True)
    return measure_image(path, find_mask=False), x0, y0


def pairs(cutout, x0, y0, whole):
    """Yield the rows of sources in a cutout and of the same in the whole image, but those that the edge truncates."""
    for k in range(len(cutout)):
        apart = np.hypot(whole.x - cutout.x[k] - x0, whole.y - cutout.y[k] - y0)
        if apart.min() < 0.3 and not cutout.flags[k] & SourceFlag.APERTURE_TRUNCATED:
            yield k, int(np.argmin(apart))


@pytest.mark.parametrize("mag", [11.5, 14.0, 16.0])
def test_nothing_in_a_cutout_is_good_and_off_by_more_than_its_error(tmp_path, mag):
    flux = 10 ** (0.4 * (26.285 - np.array([mag, 19.5, 18.5])))
    stars = (X + np.array([0.0, 7.0, -7.5]), Y + np.array([0.0, 6.0, -6.5]), flux)
    how = {"shape": (400, 400), "mask": False, "saturate": 1e9, "moffat": 2.5, "seed": 3}
    full = make_science_image(tmp_path / "full.fits", stars=stars, **how).sci
    whole = measure_image(full, find_mask=False)
    assert not (whole.sources.flags & SourceFlag.SKY_BIASED).any() and not whole.caveats & Caveat.SKY_BIASED
    for side in (28, 36, 48, 60, 80):
        small, x0, y0 = cut(full, X, Y, side, tmp_path / "cut.fits")
        one, other = (list(column) for column in zip(*pairs(small.sources, x0, y0, whole.sources), strict=True))
        error = small.sources.flux_aper_err[3, one]
        off = np.abs(small.sources.flux_aper[3, one] - whole.sources.flux_aper[3, other]) / error
        good = (small.sources.flags[one] & SourceFlag.SKY_BIASED) == 0
        assert (off[good] < 1).all(), (side, off)
        blank = (small.background - whole.background) * AREA / (small.background_rms * np.sqrt(AREA))
        assert blank < 1 or small.caveats & Caveat.SKY_BIASED, (side, blank)
        if side == 28:
            assert (blank > 1) == (mag < 15)  # there is something to tell
        assert side < 80 or good.all()


def test_real_cutouts_of_stars_and_of_blank_sky_stay_good():
    folder = real_data() / "psf"
    images = sorted(folder.glob("*/*_0*.fits"))
    assert len(images) == 39
    for path in images[::3]:
        measured = measure_image(path, find_mask=False)
        assert not (measured.sources.flags & SourceFlag.SKY_BIASED).any(), path
        assert not measured.caveats & Caveat.SKY_BIASED, path
