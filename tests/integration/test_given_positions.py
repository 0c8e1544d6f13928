"""A `SkyCoord` with proper motion is followed wherever an archive takes a position."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.utils.masked import Masked

import ztfdb
from ztfdb import image as images_of_files
from ztfdb.simulate import make_science_image
from ztfdb.sky.angles import separation
from ztfdb.sky.motion import julian_year, move

MJDS = (58300.2, 58900.3, 59500.25, 60100.4)
STAR = SkyCoord(
    180.0 * u.deg, 10.0 * u.deg, pm_ra_cosdec=3000 * u.mas / u.yr, pm_dec=4000 * u.mas / u.yr,
    obstime=Time(2016.0, format="jyear"),
)  # fmt: skip
NUMBERS = {"pmra": 3000.0, "pmdec": 4000.0, "epoch": 2016.0}
NEAR = 0.3
"""Arcsec; a star of 17 mag is measured to some 0.02 arcsec, and moves 8 arcsec from epoch to epoch."""


def place(mjd):
    return move(180.0, 10.0, 3000.0, 4000.0, julian_year(np.asarray(mjd)) - 2016.0)


@pytest.fixture
def moving(archive, tmp_path):
    """A star that moves 5 arcsec a year, at four times."""
    for k, mjd in enumerate(MJDS):
        ra, dec = place(mjd)
        made = make_science_image(
            tmp_path,
            sky_stars=(np.atleast_1d(ra), np.atleast_1d(dec), np.array([17.0])),
            shape=(200, 200),
            ra=180.0,
            dec=10.0,
            obsmjd=mjd,
            seed=k,
        )
    assert archive.ingest(tmp_path).stored == len(MJDS)
    return archive, made.sci


def test_every_question_follows_the_star(moving):
    archive, _ = moving
    many = STAR.reshape(1)
    curves = {
        "light_curve": archive.light_curve(STAR).to_pandas(),
        "galactic": archive.light_curve(STAR.galactic).to_pandas(),
        "complete": archive.light_curve(STAR, complete=True, keep=False).to_pandas(),
        "light_curves": archive.light_curves(many),
        "iter": next(archive.iter_light_curves(many)),
        "cone": archive.cone(STAR, radius=1.5).sort_values("obsmjd").rename(columns={"obsmjd": "mjd"}),
    }
    for name, found in curves.items():
        assert found["mjd"].to_numpy() == pytest.approx(MJDS), name
        assert (found["separation"] < NEAR).all(), name
    assert len(archive.light_curve(180.0, 10.0, **NUMBERS)) == len(MJDS)


def test_images_and_stamps_follow_the_star(moving):
    archive, _ = moving
    covering = archive.images(STAR)
    assert len(covering) == len(MJDS)
    fixed = archive.images(180.0, 10.0)
    assert (
        np.hypot(covering["x"] - fixed["x"], covering["y"] - fixed["y"]).min() > 10
    )  # 12 arcsec or more, 1 arcsec/pix
    for stamp, mjd in zip(archive.stamps(STAR), MJDS, strict=True):
        assert separation(stamp.ra, stamp.dec, *place(mjd)) < 1e-3  # the start instead of the middle is 5e-6 arcsec
    for image_id, mjd in zip(covering["image_id"], MJDS, strict=True):
        one = archive.stamp(STAR, image_id=image_id)
        several = archive.stamps_on_image(STAR.reshape(1), image_id=image_id)[0]
        for stamp in (one, several):
            assert separation(stamp.ra, stamp.dec, *place(mjd)) < 1e-3
            peak = np.unravel_index(np.nanargmax(stamp.data), stamp.data.shape)
            assert np.abs(np.array(peak) - 11).max() <= 1


def test_an_image_takes_the_star_to_its_own_date(moving):
    _, path = moving
    z = images_of_files.ScienceImage.from_filename(path)
    expected = z.coords_to_pixels(*place(MJDS[-1]))
    assert z.coords_to_pixels(STAR) == pytest.approx(expected, abs=1e-3)
    flux = z.get_aperture(STAR, None, 3.0)[0]
    assert flux == pytest.approx(z.get_aperture(*expected, 3.0)[0], rel=1e-3)


def test_a_path_is_a_sky_coord_with_times(moving):
    archive, _ = moving
    times = np.linspace(MJDS[0] - 5, MJDS[-1] + 5, 200)
    ra, dec = place(times)
    path = SkyCoord(ra * u.deg, dec * u.deg, obstime=Time(times, format="mjd", scale="utc"))
    assert len(archive.light_curve_on_path(path, complete=False)) == len(MJDS)
    assert len(archive.stamps_on_path(path)) == len(MJDS)
    with pytest.raises(ValueError, match="obstime for each"):
        archive.stamps_on_path(SkyCoord(ra * u.deg, dec * u.deg))


def test_where_motion_makes_no_sense_it_is_refused(moving):
    archive, _ = moving
    with pytest.raises(ValueError, match="region does not move"):
        archive.get_matched_entries(["ra"], "aperture", "ps1", region=(STAR, 10.0))
    with pytest.raises(ValueError, match="region does not move"):
        archive.crossmatch("ps1", region=(STAR, 10.0))
    with pytest.raises(ValueError, match="phot='psfcat'"):
        archive.light_curve(STAR, phot="psfcat")
    with pytest.raises(TypeError, match="of its own"):
        archive.light_curve(STAR, pmra=1.0, pmdec=2.0)
    with pytest.raises(ValueError, match="epoch without a proper motion"):
        archive.light_curve(180.0, 10.0, epoch=2016.0)
    with pytest.raises(ValueError, match="Julian year such as 2016"):
        archive.light_curve(180.0, 10.0, pmra=1.0, pmdec=2.0, epoch=59000.0)


def test_masked_names_and_second_positions_are_errors(archive: ztfdb.Archive):
    masked = Masked(180.0 * u.deg, mask=True)
    for question in (archive.cone, archive.light_curve, archive.images, archive.stamps):
        with pytest.raises(ValueError, match="ra is masked"):
            question(masked, 10.0 * u.deg)
        with pytest.raises(ValueError, match="from_name"):
            question("M31")
        with pytest.raises(ValueError, match="from_name"):
            question("M", "31")
        with pytest.raises(TypeError, match="radius=3"):
            question(SkyCoord(1 * u.deg, 2 * u.deg), 3.0)
    column = Masked([180.0, 181.0] * u.deg, mask=[False, True])
    for table in ({"ra": column, "dec": [10.0, 10.0]}, {"ra": np.ma.array([1.0, 2.0], mask=[0, 1]), "dec": [1.0, 2.0]}):
        with pytest.raises(ValueError, match=r"row 1: .*masked"):
            archive.light_curves(table)
    with pytest.raises(ValueError, match="radius is masked"):
        archive.cone(180.0, 10.0, Masked(1 * u.arcsec, mask=True))


def test_text_and_other_columns_are_errors_that_say_what_is_wanted(archive: ztfdb.Archive):
    with pytest.raises(ValueError, match=r"'stars\.csv' is text: expected a table") as told:
        archive.light_curves("stars.csv")
    assert "from_name" not in str(told.value)
    with pytest.raises(ValueError, match=r"'10\.5' is not a position in degrees, but text") as told:
        archive.cone("10.5", "3.0")
    assert "from_name" not in str(told.value)
    for table in ({"lon": [1.0], "lat": [2.0]}, Table({"lon": [1.0], "lat": [2.0]})):
        with pytest.raises(ValueError, match="'ra' and 'dec'; this one has lon, lat"):
            archive.light_curves(table)
