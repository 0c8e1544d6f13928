"""ScienceImage on an image whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sep
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from ztfdb import image
from ztfdb.errors import ImageReadError, MaskError
from ztfdb.image.photometry import ApertureFlag
from ztfdb.simulate import SimulatedImage, make_science_image

FLAGS = {
    "tracks": 0, "sexsources": 1, "lowresponsivity": 2, "highresponsivity": 3, "noisy": 4, "ghosts": 5, "spillage": 6,
    "spikes": 7, "saturated": 8, "dead": 9, "nan": 10, "psfsources": 11, "brightstarhalo": 12,
}  # fmt: skip


# -- attributes ----------------------------------------------------------------------------------------------------


def test_attributes_come_from_the_header(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    header = fits.getheader(simulated.sci)
    assert (z.shape, z.data.dtype, z.mask.dtype) == ((400, 400), np.float32, np.uint16)
    assert (z.filtername, z.filterid, z.filter_lbda) == ("ZTF_r", 2, 6421.81)
    assert (z.rcid, z.ccdid, z.qid, z.fieldid) == (50, 13, 3, 655)
    assert (z.magzp, z.saturation, z.gain) == (header["MAGZP"], header["SATURATE"], header["GAIN"])
    assert (z.obsmjd, z.exptime, z.pixel_scale) == (header["OBSMJD"], 30.0, 1.012)
    assert z.obsjd == pytest.approx(header["OBSJD"])
    assert z.maglim == header["MAGLIM"]
    assert not z.is_data_bad()
    assert z.header["FIELDID"] == 655
    assert Path(z.filename) == simulated.sci
    np.testing.assert_array_equal(z.get_center(), [199.5, 199.5])
    np.testing.assert_allclose(z.get_center(inpixel=False), WCS(header).all_pix2world(199.5, 199.5, 0))
    assert z.get_diagonal(inpixel=False) == pytest.approx(400 * np.sqrt(2) * 1.012 / 3600)


def test_from_filename_finds_the_mask(simulated: SimulatedImage, tmp_path: Path) -> None:
    assert image.ScienceImage.from_filename(simulated.sci).mask is not None
    assert image.ScienceImage(simulated.sci).mask is None
    alone = make_science_image(tmp_path, shape=(64, 64), mask=False, status=0)
    opened = image.ScienceImage.from_filename(alone.sci)
    assert opened.mask is None
    assert opened.is_data_bad()


def test_unusable_files_are_typed_errors(simulated: SimulatedImage, tmp_path: Path) -> None:
    with pytest.raises(ImageReadError):
        image.ScienceImage(tmp_path / "none_sciimg.fits")
    other = make_science_image(tmp_path, shape=(64, 64))
    with pytest.raises(MaskError):
        image.ScienceImage(simulated.sci, other.msk)


# -- coordinates -----------------------------------------------------------------------------------------------------


def test_coordinates_both_ways(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    x, y = z.coords_to_pixels(t.ra, t.dec)
    np.testing.assert_allclose([x, y], [t.x, t.y], atol=1e-5)
    ra, dec = z.pixels_to_coords(t.x, t.y)
    np.testing.assert_allclose([ra, dec], WCS(z.header).all_pix2world(t.x, t.y, 0), atol=1e-9)
    one = z.coords_to_pixels(t.ra[0], t.dec[0])
    assert one.shape == (2,)
    assert one[0] == x[0]
    np.testing.assert_array_equal(z.coords_to_pixels(SkyCoord(t.ra * u.deg, t.dec * u.deg)), [x, y])
    assert z.coords_to_pixels([], []).shape == (2, 0)
    assert np.isnan(z.coords_to_pixels((t.ra[0] + 180) % 360, -t.dec[0])).all()
    with pytest.raises(ValueError, match="dec is missing"):
        z.coords_to_pixels(3.0)
    with pytest.raises(ValueError, match="only a SkyCoord"):
        z.coords_to_pixels(SkyCoord(1 * u.deg, 2 * u.deg), 3.0)


# -- masks -----------------------------------------------------------------------------------------------------------


def test_default_mask_is_6141_and_what_is_not_finite(z: image.ScienceImage) -> None:
    np.testing.assert_array_equal(z.get_mask(), ((z.mask & 6141) > 0) | ~np.isfinite(z.data))
    assert sum(z.get_mask(getflags=True)) == 6141
    assert z.get_mask().sum() >= 40


@pytest.mark.parametrize(("flag", "bit"), FLAGS.items())
def test_each_flag_is_its_bit(tmp_path: Path, flag: str, bit: int) -> None:
    simulated = make_science_image(tmp_path, shape=(40, 40))
    with fits.open(simulated.msk, mode="update", memmap=False) as hdus:
        hdus[0].data[:] = 0
        hdus[0].data.ravel()[:16] = (1 << np.arange(16)).astype(np.uint16).view(np.int16)
    z = image.ScienceImage(simulated.sci, simulated.msk)
    only = z.get_mask(**{name: name == flag for name in FLAGS})
    np.testing.assert_array_equal(np.flatnonzero(only), [bit])
    assert z.get_mask(getflags=True, **{name: name == flag for name in FLAGS}) == [1 << bit]
    without = z.get_mask(**{flag: False, **{name: True for name in FLAGS if name != flag}})
    np.testing.assert_array_equal(np.flatnonzero(without), [b for b in range(13) if b != bit])
    assert z.get_mask(alltrue=True).sum() == 16


def mask_of_stars(table: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Pixels within six times the major half axis of a source."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    near = np.zeros(shape, bool)
    for row in table.itertuples():
        near |= np.hypot(xx - row.x, yy - row.y) < 6 * row.a
    return near


def test_source_ellipses_replace_the_bits(z: image.ScienceImage) -> None:
    with pytest.raises(ValueError, match="extract_sources"):
        z.get_mask(from_sources=True)
    z.extract_sources()
    mask = z.get_mask(from_sources=True, r=5)
    t = z.sources
    assert mask[np.rint(t.y).astype(int), np.rint(t.x).astype(int)].all()
    assert mask.sum() < z.get_mask(from_sources=t, r=8).sum()
    assert not mask[((z.mask & 512) > 0) & ~mask_of_stars(t, z.shape)].any()
    with pytest.raises(ValueError, match="no column b"):
        z.get_mask(from_sources=t.drop(columns="b"))


def test_unknown_flags_are_refused(z: image.ScienceImage) -> None:
    with pytest.raises(TypeError, match="trackss"):
        z.get_mask(trackss=True)


# -- background and noise --------------------------------------------------------------------------------------------


def test_background_is_seps_of_what_no_bit_marks(z: image.ScienceImage) -> None:
    left_out = (z.mask > 0) | ~np.isfinite(z.data)
    theirs = sep.Background(np.where(left_out, np.float32(0), z.data), mask=left_out)
    np.testing.assert_array_equal(z.background, theirs.back())
    assert z.get_noise() == z.get_noise("sep") == theirs.globalrms
    np.testing.assert_array_equal(z.get_noise("rms"), theirs.rms())
    clean = z.dataclean
    np.testing.assert_array_equal(np.isnan(clean), z.get_mask())
    good = ~z.get_mask()
    np.testing.assert_array_equal(clean[good], (z.data - theirs.back())[good])
    assert abs(np.nanmedian(clean)) < 0.5


@pytest.mark.parametrize("options", [{}, {"bitmask_sources": False}, {"method": "mesh"}, {"box": 128}])
def test_every_background_follows_the_sky(simulated: SimulatedImage, options: dict[str, object]) -> None:
    z = image.ScienceImage(simulated.sci, simulated.msk)
    z.load_source_background(**options)
    x0, y0 = simulated.exposure.window
    j, i = np.mgrid[:400, :400]
    sky = 150 + 10 * (i + x0 - 1535.5) / 1000 + 5 * (j + y0 - 1539.5) / 1000
    assert abs(np.mean(z.background - sky)) < 0.15
    # a box knows its level to 0.1 DN; wings of bright stars lift single boxes, and corners are extrapolated
    assert np.percentile(np.abs(z.background - sky), 95) < 1.5
    assert np.abs(z.background - sky).max() < 3
    assert z.get_noise("sep") == pytest.approx(simulated.exposure.sky_noise, rel=0.05)
    assert z.get_noise("std") == pytest.approx(simulated.exposure.sky_noise, rel=0.05)


def test_background_without_a_mask_masks_sources_by_ellipses(simulated: SimulatedImage) -> None:
    z = image.ScienceImage(simulated.sci)
    z.load_source_background()
    assert np.median(z.background) == pytest.approx(150, abs=0.3)
    assert z.sources is None
    assert "sources" not in z.catalogs


def test_background_can_be_set_and_named(z: image.ScienceImage) -> None:
    first = z.dataclean
    z.set_background(10.0)
    assert z.get_background() == 10.0
    assert np.nanmedian(z.dataclean) > 130
    assert z.dataclean is not first
    z.set_background("median")
    assert z.background == pytest.approx(150, abs=0.5)
    z.set_background(np.full(z.shape, 149.0))
    assert np.nanmedian(z.dataclean) == pytest.approx(1, abs=0.3)
    before = z.background
    for wrong in (np.zeros((3, 3)), np.nan, "darkest"):
        with pytest.raises(ValueError, match=r"shape|finite|none of"):
            z.set_background(wrong)
    assert z.background is before
    with pytest.raises(ValueError, match="none of sep, mesh"):
        z.load_source_background(method="spline")
    with pytest.raises(ValueError, match="none of"):
        z.get_noise("loud")


def test_dataclean_loads_the_background_by_itself(simulated: SimulatedImage) -> None:
    z = image.ScienceImage(simulated.sci, simulated.msk)
    assert z.background is None
    assert z.get_noise() == z.get_noise("nmad")
    assert abs(np.nanmedian(z.dataclean)) < 0.5
    assert z.background is not None


def test_get_data_is_a_copy_as_asked(z: image.ScienceImage) -> None:
    raw = z.get_data(applymask=False, rmbkgd=False)
    np.testing.assert_array_equal(raw, z.data)
    raw[:] = 0
    assert np.nanmedian(z.data) > 100
    filled = z.get_data(maskvalue=-1.0, dead=True)
    assert np.all(filled[z.get_mask()] == -1)
    np.testing.assert_array_equal(z.get_data(), z.dataclean)
    assert np.isnan(z.get_data(sexsources=True)).sum() > np.isnan(z.dataclean).sum()


# -- sources ---------------------------------------------------------------------------------------------------------


def test_extracted_sources_are_the_stars(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    assert z.sources is None
    assert z.extract_sources(thresh=3, data="dataclean", setmag=True) is None
    table, t = z.sources, simulated.truth
    assert list(table)[:3] == ["thresh", "npix", "tnpix"]
    assert list(table)[-3:] == ["ra", "dec", "mag"]
    z.set_catalog(pd.DataFrame({"ra": t.ra, "dec": t.dec, "mag": t.mag}), "truth")
    pairs = z.catalogs.get_matched_entries(["x", "y", "mag"], "sources", "truth")
    assert len(pairs) == 100
    assert np.hypot(pairs.sources_x - pairs.truth_x, pairs.sources_y - pairs.truth_y).max() < 0.3
    # isophotal magnitudes lose a few percent and never gain much
    assert np.median(pairs.sources_mag - pairs.truth_mag) == pytest.approx(0.05, abs=0.05)


def test_extraction_options(z: image.ScienceImage) -> None:
    plain = z.extract_sources(thresh=5, update=False, setradec=False, setmag=False)
    assert z.sources is None
    assert "ra" not in plain
    assert "mag" not in plain
    absolute = z.extract_sources(thresh=5 * z.get_noise(), err="None", update=False)
    pd.testing.assert_series_equal(absolute["x"], plain["x"])
    everything = z.extract_sources(thresh=5, mask="None", update=False)
    assert len(everything) >= len(plain)
    assert len(z.extract_sources(thresh=5, mask=np.ones(z.shape, bool), update=False)) == 0
    for wrong in ({"data": "datadirty"}, {"data": np.zeros((2, 2))}, {"mask": np.zeros((2, 2), bool)}, {"err": "loud"}):
        with pytest.raises(ValueError, match=r"none of|shape"):
            z.extract_sources(**wrong)


def test_set_catalog_completes_positions(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    mine = pd.DataFrame({"x": t.x, "y": t.y})
    z.set_catalog(mine, "mine")
    np.testing.assert_allclose(z.catalogs.get_catalog("mine")["ra"], t.ra, atol=1e-8)
    assert list(mine) == ["x", "y"]
    with pytest.raises(ValueError, match="neither"):
        z.set_catalog(pd.DataFrame({"flux": [1.0]}), "bare")
    assert "bare" not in z.catalogs


# -- apertures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1.0, 3.0, 5.0, 7.0, 20.0])
def test_apertures_are_photutils(z: image.ScienceImage, simulated: SimulatedImage, radius: float) -> None:
    photutils = pytest.importorskip("photutils.aperture")
    t = simulated.truth
    clean = z.data - z.background
    counts, _, flag = z.get_aperture(t.x, t.y, radius, get_flag=True)
    sums = photutils.CircularAperture(np.transpose([t.x, t.y]), radius).do_photometry(clean)[0]
    free = flag == 0
    assert free.sum() > 50
    np.testing.assert_allclose(counts[free], sums[free], rtol=1e-5)


def test_aperture_shapes(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    one = z.get_aperture(t.x[0], t.y[0], 5)
    assert [np.shape(v) for v in one] == [(), ()]
    assert z.get_aperture(t.x, t.y, 5)[0].shape == (100,)
    several = z.get_aperture(t.x, t.y, [3, 5])[0]
    assert several.shape == (2, 100)
    np.testing.assert_array_equal(several, z.get_aperture(t.x, t.y, np.array([[3], [5]]))[0])
    np.testing.assert_array_equal(several[1], z.get_aperture(t.x, t.y, 5)[0])
    assert z.get_aperture(t.x[0], t.y[0], [3, 5])[0].shape == (2,)
    sky = z.get_aperture(t.ra, t.dec, 5, system="radec")[0]
    np.testing.assert_allclose(sky, several[1], rtol=1e-5)
    np.testing.assert_array_equal(z.get_aperture(SkyCoord(t.ra * u.deg, t.dec * u.deg), None, 5)[0], sky)
    assert z.get_aperture([], [], 5)[0].shape == (0,)


def test_magnitudes_with_apcor_are_the_truth(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    mag, error, flag = z.get_aperture(t.x, t.y, [1.5, 2, 2.5, 3, 5, 7], unit="mag", apcor=True, get_flag=True)
    for k in range(6):
        good = (flag[k] == 0) & (t.flux > 5e3)
        pull = (mag[k] - t.mag)[good] / np.hypot(error[k][good], 0.01)
        assert abs(np.median(mag[k] - t.mag)) < 0.01
        assert np.abs(pull).max() < 5
    counts = z.get_aperture(t.x, t.y, 3)[0]
    np.testing.assert_allclose(z.get_aperture(t.x, t.y, 3, unit="flux")[0], z.counts_to_flux(counts)[0])
    np.testing.assert_allclose(z.get_aperture(t.x, t.y, 3, unit="ujy")[0], z.counts_to_microjansky(counts)[0])


def test_error_is_sky_and_poisson(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    counts, error = z.get_aperture(t.x[0], t.y[0], 4, noise=6.0, gain=5.0)
    assert error == pytest.approx(np.sqrt(np.pi * 16 * 36 + counts / 5.0), rel=1e-5)
    _, with_map = z.get_aperture(t.x[0], t.y[0], 4, noise=np.full(z.shape, 6.0), gain=5.0)
    assert with_map == pytest.approx(error)
    _, annulus = z.get_aperture(t.x[0], t.y[0], 4, bkgann=(8, 12), noise=6.0, gain=5.0)
    assert annulus > error


def test_errors_know_that_sky_pixels_are_correlated(tmp_path: Path) -> None:
    made = make_science_image(tmp_path, shape=(800, 800), correlated_rms=2.0, correlated_scale=3.0, seed=6)
    z = image.ScienceImage(made.sci, made.msk)
    z.load_source_background()
    ratio = z.get_noise_ratio([1, 3, 5, 7, 12])
    assert np.all(np.diff(ratio[:4]) > 0)
    assert ratio[4] == ratio[3] > 1.5
    x, y = np.random.default_rng(2).uniform(10, 790, (2, 1500))
    counts, error = z.get_aperture(x, y, [3, 5, 7])
    # 1,500 blank apertures know their scatter to 2 %
    np.testing.assert_allclose(np.std(counts / error, axis=1), 1, atol=0.08)
    _, plain = z.get_aperture(x, y, 5, noise="sep")
    np.testing.assert_allclose(error[1] / plain, ratio[2], rtol=0.02)


def test_white_noise_and_small_images_have_ratio_one(tmp_path: Path, z: image.ScienceImage) -> None:
    white = make_science_image(tmp_path / "a", shape=(800, 800), seed=6)
    assert abs(image.ScienceImage(white.sci, white.msk).get_noise_ratio(5.0) - 1) < 0.08
    small = make_science_image(tmp_path / "b", shape=(48, 48), seed=6)
    assert image.ScienceImage(small.sci, small.msk).get_noise_ratio([3, 5]).tolist() == [1, 1]


def test_annulus_takes_the_local_sky_off(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    raw, _ = z.get_aperture(t.x, t.y, 5, bkgann=(9, 14), data="data")
    clean, error = z.get_aperture(t.x, t.y, 5)
    assert np.abs((raw - clean) / error).max() < 4
    assert np.median(raw - clean) == pytest.approx(0, abs=20)


def test_an_annulus_without_good_pixels_costs_only_that_source(
    z: image.ScienceImage, simulated: SimulatedImage
) -> None:
    t = simulated.truth
    mask = z.get_mask()
    yy, xx = np.mgrid[:400, :400]
    r = np.hypot(xx - t.x[55], yy - t.y[55])
    mask[(r > 7) & (r < 16)] = True
    value, error, flag = z.get_aperture(t.x[54:57], t.y[54:57], 5, bkgann=(9, 14), mask=mask, get_flag=True)
    np.testing.assert_array_equal(np.isnan(value), [False, True, False])
    np.testing.assert_array_equal(np.isnan(error), [False, True, False])
    assert flag[1] & ApertureFlag.NO_ANNULUS
    assert not flag[0] & ApertureFlag.NO_ANNULUS


def test_masked_edge_and_lost_apertures_are_flagged(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    mask = np.zeros(z.shape, bool)
    i, j = round(t.x[44]), round(t.y[44])
    mask[j, i + 2] = True
    whole = z.get_aperture(t.x[44], t.y[44], 4, mask=np.zeros(z.shape, bool))[0]
    value, _, flag = z.get_aperture(t.x[44], t.y[44], 4, mask=mask, get_flag=True)
    assert flag == ApertureFlag.INCOMPLETE
    # the masked pixel counts as the mean of the others: documented, and 2 px from the centre nearly harmless
    assert value == pytest.approx(whole, rel=0.05)
    assert z.get_aperture(1.0, 200.0, 5, get_flag=True)[2] == ApertureFlag.TRUNCATED
    x = np.array([-100.0, 1e12, np.nan, 200.0])
    value, error, flag = z.get_aperture(x, np.full(4, 200.0), 5, get_flag=True)
    np.testing.assert_array_equal(np.isnan(value), [True, True, True, False])
    np.testing.assert_array_equal(np.isnan(error), [True, True, True, False])
    assert np.all(flag[:3] & ApertureFlag.EMPTY)
    everything = np.ones(z.shape, bool)
    value, _, flag = z.get_aperture(200.0, 200.0, 5, mask=everything, get_flag=True)
    assert np.isnan(value)
    assert flag & ApertureFlag.EMPTY


def test_wrong_aperture_arguments_are_refused(z: image.ScienceImage) -> None:
    for wrong in (
        {"unit": "ABmag"}, {"system": "uv"}, {"radius": 0}, {"radius": [3, -1]}, {"radius": []}, {"data": "raw"},
        {"mask": np.zeros((3, 3), bool)}, {"noise": np.zeros((3, 3))}, {"noise": "loud"}, {"bkgann": (9, 5)},
        {"radius": 12, "apcor": True}, {"y0": None},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"none of|positive|shape|annulus|exist|missing"):
            z.get_aperture(**{"x0": 100.0, "y0": 100.0, "radius": 5.0, **wrong})


def test_aperture_corrections_are_the_headers(z: image.ScienceImage) -> None:
    header = [z.header[f"APCOR{k}"] for k in range(1, 7)]
    np.testing.assert_allclose(z.aperture_correction([1, 1.5, 2, 3, 5, 7]), header)
    between = z.aperture_correction(4.0)
    assert header[3] < between < header[4]


# -- PSF, stamps -----------------------------------------------------------------------------------------------------


def test_stamps_follow_the_readme(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    t = simulated.truth
    x, y = t.x[33], t.y[33]
    stamp = z.get_stamp(x, y, dx=23, dy=23)
    assert stamp.data.shape == (23, 23)
    np.testing.assert_allclose(stamp.wcs.all_pix2world(stamp.xref, stamp.yref, 0), [t.ra[33], t.dec[33]], atol=1e-8)
    np.testing.assert_array_equal(stamp.mask, np.isnan(stamp.data))
    assert np.unravel_index(np.nanargmax(stamp.data), (23, 23)) in {(11, 11), (11, 10), (10, 11), (11, 12), (12, 11)}
    np.testing.assert_array_equal(z.get_stamp(x, y, dx=23, dy=23, asarray=True), stamp.data)
    many = z.get_stamps(t.x[:4], t.y[:4], 5, 7, asarray=True)
    assert many.shape == (4, 7, 5)
    assert len(z.get_stamps(t.x[:4], t.y[:4])) == 4
    assert np.nanmedian(z.get_stamp(x, y, data="data").data) > 100
    with pytest.raises(ValueError, match="outside"):
        z.get_stamp(-40.0, 3.0)


def test_psf_photometry_returns_flux_and_shape(z: image.ScienceImage, simulated: SimulatedImage) -> None:
    from ztfdb.dao import PsfModel

    half = simulated.exposure.fwhm / 2
    psf = PsfModel("GAUSSIAN", 13.5, 1e3, 1535.5, 1539.5, np.array([half, half]), np.zeros((0, 47, 47)), 0, 0)
    t = simulated.truth
    table = z.get_psf_photometry(t.x, t.y, psf)
    assert list(table)[:6] == ["x", "y", "flux", "flux_err", "mag", "mag_err"]
    pull = (table.flux - t.flux) / table.flux_err
    assert np.abs(pull).max() < 4.5
    assert np.median(table.mag - t.mag) == pytest.approx(0, abs=0.005)
    assert np.median(table.chi) == pytest.approx(1, abs=0.05)
    sky = z.get_psf_photometry(t.ra, t.dec, psf, system="radec", fit_position=True)
    assert np.hypot(sky.x - t.x, sky.y - t.y).max() < 0.1
    with pytest.raises(TypeError, match="PsfModel"):
        z.get_psf_photometry(t.x, t.y, "psf.psf")


# -- pictures --------------------------------------------------------------------------------------------------------


def test_show_draws_what_there_is(z: image.ScienceImage) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = z.show()
    assert abs(np.ma.median(ax.images[0].get_array())) < 1
    assert np.ma.median(z.show("data").images[0].get_array()) > 100
    with pytest.raises(ValueError, match="extract_sources"):
        z.show(show_sources=True)
    z.extract_sources()
    assert len(z.show(show_sources=True, sky_axes=True, stretch="arcsinh").collections) == 1
    with pytest.raises(ValueError, match="none of"):
        z.show("raw")
    plt.close("all")
