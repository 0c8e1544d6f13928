"""Simulated files: valid FITS, ZTF's ids and WCS, the noise and defects asked for."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from ztfdb.simulate import Exposure, make_science_image

A = {
    "obsmjd": 58116.1738079,
    "field": 651,
    "ccdid": 3,
    "qid": 1,
    "filtercode": "zg",
    "ra": 23.34894444544,
    "dec": 30.91859533121,
}


def test_files_pass_strict_fits_verification(tmp_path: Path) -> None:
    image = make_science_image(tmp_path, n_star=30, shape=(200, 190), dead_pixels=5, nan_pixels=3, cosmic_rays=2)
    assert image.msk is not None
    for path, bitpix in ((image.sci, -32), (image.msk, 16)):
        assert path.stat().st_size % 2880 == 0
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 1
            header = hdus[0].header
            assert (header["BITPIX"], header["NAXIS1"], header["NAXIS2"]) == (bitpix, 190, 200)
            assert header["SIMULATE"] is True
            for card in header.cards:
                assert re.fullmatch(r"[A-Z0-9_-]{1,8}", card.keyword)
                assert len(card.image) == 80
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                WCS(header)


def test_ids_follow_ztf_formulas(tmp_path: Path) -> None:
    image = make_science_image(tmp_path, shape=(20, 20), **A)
    header = fits.getheader(image.sci)
    assert image.sci.name == "ztf_20171229173807_000651_zg_c03_o_q1_sciimg.fits"
    assert image.msk is not None
    assert image.msk.name == image.sci.name.replace("sciimg", "mskimg")
    assert [header[k] for k in ("EXPID", "DBEXPID", "DBNID", "DBRID", "DBPID")] == [
        36217380,
        36217380,
        362,
        3621738008,
        362173800815,
    ]
    assert [header[k] for k in ("RCID", "CCDID", "QID", "FIELDID", "FILTERID")] == [8, 3, 1, 651, 1]
    assert Exposure(obsmjd=58967.501713, ccdid=14, qid=4, filtercode="zi").pid == 1213501715515


def test_wcs_reproduces_a_real_quadrant(tmp_path: Path) -> None:
    header = fits.getheader(make_science_image(tmp_path, shape=(3080, 3072), noise=False, mask=False, **A).sci)
    wcs = WCS(header)
    assert (header["CRPIX1"], header["CRPIX2"]) == (1536.5, 1540.5)
    for xy, sky in (
        ((0, 0), (23.85202739, 31.35253978)),
        ((3071, 3079), (22.85022148, 30.48250263)),
        ((100.25, 2000.75), (23.81954944, 30.78994602)),
    ):
        np.testing.assert_allclose(np.ravel(wcs.all_pix2world(*xy, 0)), sky, atol=6e-9)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9, -30.0), (120.0, 89.7), (10.0, -89.9)])
def test_a_window_keeps_the_quadrants_sky(tmp_path: Path, ra: float, dec: float) -> None:
    star = ([100.0], [50.0], [1e4])
    window = make_science_image(
        tmp_path / "w", stars=star, shape=(128, 256), x0=2700, y0=31, ra=ra, dec=dec, noise=False
    )
    header = fits.getheader(window.sci)
    assert (header["CRPIX1"], header["CRPIX2"]) == (1536.5 - 2700, 1540.5 - 31)
    whole = WCS(header)
    whole.wcs.crpix = [1536.5, 1540.5]
    x, y = whole.all_world2pix(window.truth.ra, window.truth.dec, 0)
    np.testing.assert_allclose([x[0], y[0]], [2800.0, 81.0], atol=1e-5)
    assert 0 <= window.truth.ra[0] < 360


def test_stars_on_the_sky_land_on_their_pixels(tmp_path: Path) -> None:
    first = make_science_image(tmp_path / "a", stars=([30.2], [40.7], [5e4]), ra=0.001, dec=10.0, shape=(80, 80))
    sky = (np.append(first.truth.ra, 180.0), np.append(first.truth.dec, 0.0), np.append(first.truth.mag, 15.0))
    second = make_science_image(tmp_path / "b", sky_stars=sky, ra=0.001, dec=10.0, shape=(80, 80), magzp=25.0)
    assert len(second.truth) == 1
    np.testing.assert_allclose([second.truth.x[0], second.truth.y[0]], [30.2, 40.7], atol=1e-6)
    assert second.truth.mag[0] == pytest.approx(first.truth.mag[0])
    assert second.truth.flux[0] < first.truth.flux[0]


def test_noise_is_poisson_plus_read_noise(tmp_path: Path) -> None:
    image = make_science_image(
        tmp_path, shape=(400, 400), sky=200.0, sky_gradient=(0.0, 0.0), gain=5.0, readnoi=10.0, mask=False
    )
    data = fits.getdata(image.sci)
    assert data.mean() == pytest.approx(200.0, abs=0.1)
    # variance of 160,000 pixels is known to 0.35 %; four sigma
    assert data.var() == pytest.approx(200 / 5.0 + (10.0 / 5.0) ** 2, rel=0.015)


def test_gradient_and_smooth_noise(tmp_path: Path) -> None:
    flat = make_science_image(tmp_path / "a", shape=(300, 300), sky_gradient=(100.0, -50.0), noise=False, mask=False)
    data = fits.getdata(flat.sci).astype(float)
    assert data[150, 299] - data[150, 0] == pytest.approx(29.9, abs=0.01)
    assert data[299, 150] - data[0, 150] == pytest.approx(-14.95, abs=0.01)
    smooth = make_science_image(tmp_path / "b", shape=(300, 300), correlated_rms=4.0, mask=False, seed=2)
    blocks = fits.getdata(smooth.sci).reshape(60, 5, 60, 5).mean(axis=(1, 3))
    white = np.sqrt(150 / 6.2 + (9 / 6.2) ** 2) / 5
    assert blocks.std() > 2 * white


def test_saturation_defects_and_source_bits_are_in_the_mask(tmp_path: Path) -> None:
    image = make_science_image(
        tmp_path, stars=([30.0, 60.0, 62.0], [30.0, 60.0, 90.0], [2e6, 3e4, 1.0]), shape=(100, 100), saturate=58647.152,
        dead_pixels=4, nan_pixels=2, bad_columns=(5,), cosmic_rays=3, seed=8,
    )  # fmt: skip
    data, bits = fits.getdata(image.sci), fits.getdata(image.msk)
    assert np.nanmax(data) >= 58647.152
    np.testing.assert_array_equal((bits & 256) > 0, data >= 58647.152)
    assert ((bits & 256) > 0).sum() >= 4
    np.testing.assert_array_equal((bits & 1024) > 0, np.isnan(data))
    assert np.isnan(data).sum() == 2
    assert np.all(bits[:, 5] & 512)
    assert np.nanmax(np.abs(data[:, 5])) == 0
    assert ((bits & 512) > 0).sum() >= 104 - 2
    assert (bits & 128).any()
    assert bits[60, 60] & 2048
    assert bits[60, 60] & 2
    assert not bits[90, 62] & 2050


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    paths = [
        make_science_image(tmp_path / n, n_star=50, seed=s, shape=(64, 64)).sci
        for n, s in (("a", 4), ("b", 4), ("c", 5))
    ]
    first, second, other = (p.read_bytes() for p in paths)
    assert first == second
    assert first != other


def test_a_named_file_and_no_mask(tmp_path: Path) -> None:
    image = make_science_image(tmp_path / "deep" / "x_sciimg.fits", shape=(10, 10), mask=False)
    assert image.sci.exists()
    assert image.msk is None
    assert make_science_image(tmp_path / "x_sciimg.fits", shape=(10, 10)).msk == tmp_path / "x_mskimg.fits"


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="three columns"):
        make_science_image(tmp_path, stars=([1.0], [1.0, 2.0], [3.0]))
    with pytest.raises(ValueError, match="filtercode"):
        make_science_image(tmp_path, filtercode="g")
    with pytest.raises(TypeError):
        make_science_image(tmp_path, seeing=2.0)
    with pytest.raises(ValueError, match="ccdid"):
        Exposure(ccdid=17)
    assert list(tmp_path.iterdir()) == []
