from __future__ import annotations

import numpy as np
import pytest

from ztfdb.product import other_content, other_product, product_in_name, without_sky

STEM = "ztf_20200924431759_000655_zr_c13_o_q3_"


@pytest.mark.parametrize("suffix", ["sciimg.fits", "sciimg_ra33.9_dec-26.5_asec600.fits", "sciimg.fits?center=1,2"])
def test_a_science_image_is_one_whatever_follows_its_product(suffix):
    assert product_in_name(STEM + suffix) == "sciimg"
    assert other_product(STEM + suffix) is None


@pytest.mark.parametrize(
    "name",
    [
        *(STEM + s for s in ("scimrefdiffimg.fits.fz", "diffimgpsf.fits", "sciimgdao.psf", "sciimgdaopsfcent.fits")),
        *(STEM + s for s in ("sexcat.fits", "log.txt", "sciimlog.txt", "diffimlog.txt", "rawimg.fits", "new.fits")),
        *("ztf_000655_zr_c13_q3_" + s for s in ("refcov.fits", "refunc.fits", "refdepth.fits", "refsexcat.fits")),
        "ztf_20200924_zr_c13_q3_hifreqflat.fits",
        "my_scimrefdiffimg_copy.fits",
        "REFCOV.fits",
    ],
)
def test_every_other_product_is_known_by_its_name(name):
    assert other_product(name) is not None


@pytest.mark.parametrize("name", ["comet1.fits", "a_star.fits", "rediffimgs.fits", "my_sciimg.fits"])
def test_a_name_that_spells_no_product_says_nothing(name):
    assert other_product(name) is None


def test_the_header_speaks_where_the_name_does_not():
    assert "HOTPANTS" not in (other_product("x.fits", {"DIFFIM"}) or "")
    assert "DIFFIM" in (other_product("x.fits", {"DIFFIM"}) or "")
    assert "difference" in (other_product("x.fits", {}, STEM + "scimrefdiffimg.fits") or "")
    assert other_product("x.fits", {"MAGZP"}, "ztf_20200924431759_000655_zr_c13_o.fits") is None  # as in real headers


def test_pixels_about_zero_are_no_science_image():
    noise = np.random.default_rng(1).normal(0.0, 10.0, (300, 300))
    assert "difference" in (other_content(noise, "sci") or "")
    assert other_content(noise + 60.0, "cutout") is None
    assert other_content(noise, "ref") is None
    assert other_content(np.full((9, 9), np.nan), "sci") is None


def test_a_star_that_fills_its_cutout_stands_on_a_sky():
    y, x = np.mgrid[-5:5, -5:5]
    star = 150.0 + 5e4 * np.exp(-(x**2 + y**2) / 6.0)
    low, middle, high = np.percentile(star, (16, 50, 84))
    assert (high - low) / 2 > middle
    assert other_content(star, "cutout") is None


def test_whole_numbers_are_no_reference():
    depth = np.random.default_rng(1).integers(0, 16, (300, 300)).astype("f4")
    assert "coverage" in (other_content(depth, "ref") or "")
    assert other_content(depth + 0.25, "ref") is None


def test_no_sky_is_less_than_the_noise():
    assert without_sky(-0.2, 12.0) is not None
    assert without_sky(150.0, 12.0) is None
    assert without_sky(0.0, 0.0) is None
