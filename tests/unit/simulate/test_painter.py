"""How artificial stars are painted: by a DAOPHOT PSF file as ZTF's own stars look, else by the growth of stars."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits

from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.dao import PsfModel, read_psf, write_psf
from ztfdb.errors import PsfFileError
from ztfdb.simulate.painter import own_profile, painter
from ztfdb.simulate.profile import Profile

NAME = "ztf_20200924431759_000655_zr_c13_o_q3_"
NO_GROWTH = np.empty((0, 6))


@pytest.fixture
def beside(tmp_path):
    """Path of an image beside which a PSF file lies that varies over the quadrant."""
    tables = np.random.default_rng(1).normal(0, 4, (3, 47, 47))
    psf = PsfModel("GAUSSIAN", 13.5, 7000.0, 1535.5, 1539.5, np.array([1.4, 1.3]), tables, 3, 0)
    write_psf(psf, tmp_path / f"{NAME}sciimgdao.psf")
    return str(tmp_path / f"{NAME}sciimg.fits")


def growth_of(profile):
    return np.array([[1e5 * profile.aperture_share(d / 2) for d in APERTURE_DIAMETERS]])


def test_a_painted_star_is_the_psf_at_its_place_of_the_quadrant(beside):
    window = (1000, 500)
    kind, paint, _ = painter(beside, window, NO_GROWTH, np.nan)
    psf = read_psf(beside.replace("sciimg.fits", "sciimgdao.psf"))
    light = paint((60, 50), np.array([20.3]), np.array([31.6]), np.array([5e3]))
    rows, columns = np.indices((60, 50))
    dx, dy = columns - 20.3, rows - 31.6
    expected = 5e3 * psf.value(dx, dy, 20.3 + window[0], 31.6 + window[1]) / psf.flux_scale
    assert kind == "dao"
    np.testing.assert_allclose(light, np.where(np.hypot(dx, dy) <= psf.radius, expected, 0.0), atol=1e-9)
    assert light.max() > 100 and (light[0] == 0).all()


def test_stars_at_the_edge_are_cut_and_stars_add_up(beside):
    _, paint, _ = painter(beside, (0, 0), NO_GROWTH, np.nan)
    x, y, flux = np.array([1.2, 33.0, 36.0]), np.array([58.9, 20.0, 22.0]), np.array([4e3, 1e3, 2e3])
    both = paint((60, 50), x, y, flux)
    wide = paint((120, 110), x + 30, y + 30, flux)  # elsewhere on the quadrant: a little another PSF
    one_by_one = sum(paint((60, 50), x[k : k + 1], y[k : k + 1], flux[k : k + 1]) for k in range(3))
    np.testing.assert_allclose(both, one_by_one, atol=1e-9)
    assert both.sum() == pytest.approx(wide[30:90, 30:80].sum(), rel=0.02)
    assert both.sum() < 0.95 * wide.sum()
    assert not paint((60, 50), x[:0], y[:0], flux[:0]).any()


def test_painted_stars_are_ztfs_stars_pixel_by_pixel(shared_data, tmp_path):
    """Of psfcat's flux at psfcat's place; the share of the light in 6 px is the header's APCOR."""
    chi, ratio, n = [], [], 0
    for exposure in json.loads((shared_data / "psf" / "manifest.json").read_text())["images"]:
        folder = shared_data / "psf" / exposure["stem"]
        (tmp_path / f"{NAME}sciimgdao.psf").write_bytes((folder / exposure["psf"]).read_bytes())
        for target in exposure["targets"]:
            if target["kind"] != "star":
                continue
            with fits.open(folder / target["file"]) as hdus:
                header, data = hdus[0].header, hdus[0].data.astype(float)
            window = round(1536.5 - header["CRPIX1"]), round(1540.5 - header["CRPIX2"])
            _, paint, share = painter(str(tmp_path / f"{NAME}sciimg.fits"), window, NO_GROWTH, np.nan)
            # ZTF's own correction, made from the same stars: good to half a percent
            assert share == pytest.approx(10 ** (0.4 * header["APCOR4"]), abs=0.005)
            x, y = target["xpos"] - 1 - window[0], target["ypos"] - 1 - window[1]
            light = paint(data.shape, np.array([x]), np.array([y]), np.array([target["flux"]]))
            assert light.sum() == pytest.approx(target["flux"], rel=0.006)
            apart = np.hypot(*(grid - at for grid, at in zip(np.indices(data.shape), (y, x), strict=True)))
            ring = data[(apart > 15) & (apart < 30)]
            sky, rms = np.median(ring), 1.4826 * np.median(np.abs(ring - np.median(ring)))
            own = apart <= 3
            noise = np.sqrt(rms**2 + light[own] / header["GAIN"])
            chi.append(np.sqrt(np.mean(((data - sky - light)[own] / noise) ** 2)))
            ratio.append(light[own].sum() / (data - sky)[own].sum())
            n += 1
    assert n == 27
    assert np.median(ratio) == pytest.approx(1.0, abs=0.005)
    assert np.median(chi) < 1.3  # 1 but for a sky that is the ring's median, and a few neighbours


def test_without_a_file_the_growth_of_stars_tells_the_profile(tmp_path):
    true = Profile.moffat(2.3, 3.0)
    path = str(tmp_path / f"{NAME}sciimg.fits")
    kind, paint, share = painter(path, (0, 0), growth_of(true), np.nan)
    assert kind == "moffat" and share == pytest.approx(true.aperture_share(3.0), abs=0.003)
    assert own_profile(growth_of(true)).aperture_share(1.5) == pytest.approx(true.aperture_share(1.5), abs=0.005)
    light = paint((101, 101), np.array([50.0]), np.array([50.0]), np.array([1e4]))
    assert light.sum() == pytest.approx(1e4, rel=0.02)
    # what the header says of the 6 px aperture is kept there
    _, stated, share = painter(path, (0, 0), growth_of(true), -0.3)
    assert share == 10 ** (0.4 * -0.3)
    rows, columns = np.indices((101, 101))
    inside = np.hypot(rows - 50, columns - 50) <= 2.5
    ratio = stated((101, 101), np.array([50.0]), np.array([50.0]), np.array([1e4]))[inside].sum() / light[inside].sum()
    assert ratio == pytest.approx(share / true.aperture_share(3.0), rel=0.01)


@pytest.mark.parametrize(("fwhm", "beta"), [(1.25, 2.8), (1.73, 2.7), (2.1, 3.2), (3.33, 4.2)])
def test_the_width_is_fitted_between_those_of_the_table(fwhm, beta):
    """A limit within 0.01 mag needs the peak within a per cent; profiles are exact to 0.1 %."""
    true = Profile.moffat(fwhm, beta)
    own = own_profile(growth_of(true))
    assert own.peak_share() == pytest.approx(true.peak_share(), rel=0.002)
    assert own.aperture_share(1.5) == pytest.approx(true.aperture_share(1.5), rel=0.001)


def test_neither_file_nor_star_is_an_error(tmp_path):
    for name in (f"{NAME}sciimg.fits", "own_name.fits"):
        with pytest.raises(ValueError, match="there is no PSF file, and no clean bright star to derive the PSF from"):
            painter(str(tmp_path / name), (0, 0), NO_GROWTH, np.nan)
    (tmp_path / f"{NAME}sciimgdao.psf").write_text("no PSF")
    with pytest.raises(PsfFileError):
        painter(str(tmp_path / f"{NAME}sciimg.fits"), (0, 0), NO_GROWTH, np.nan)
